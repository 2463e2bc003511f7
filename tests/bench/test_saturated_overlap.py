"""AU-sPRO: by hand, by a plain loop, as AUPRO where all of a region is wanted, in a bench."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad import Sample
from vlmad.errors import InputError
from vlmad_evaluation._cell_metrics import measure
from vlmad_evaluation._saturated_overlap import read_config, saturation_problems
from vlmad_evaluation.curves import metrics_of
from vlmad_evaluation.labelled_maps import EIGHT_NEIGHBOURS, LabelledMap, SaturatedRegion
from vlmad_evaluation.metric import ANOMALIES, AU_SPRO_LIMITS, METRICS, SATURATED_METRICS
from vlmad_evaluation.pixel_metrics import SortedPixels, pixel_metrics
from vlmad_evaluation.result_documents import BenchSettings
from vlmad_evaluation.result_folders import Scored, read_results
from vlmad_run.pictures import png, to_16_bits
from vlmad_run.rows import ScoreRow

NAMES = tuple(AU_SPRO_LIMITS)
SIDE = 20
CONFIG = [
    {"defect_name": "dent", "pixel_value": 200, "saturation_threshold": 1.0}
    | {"relative_saturation": True},
    {"defect_name": "missing", "pixel_value": 3, "saturation_threshold": 9}
    | {"relative_saturation": False},
    {"defect_name": "swapped", "pixel_value": 255, "saturation_threshold": 0.3}
    | {"relative_saturation": True},
]
ENOUGH = {200: lambda area: area, 3: lambda area: min(9, area), 255: lambda area: int(0.3 * area)}


def measured(images: list[LabelledMap]) -> dict[str, float | None]:
    curve = SortedPixels.of(images).curve()
    return {name: metric.value for name, metric in metrics_of(curve, NAMES).items()}


def plain_loop(
    images: list[tuple[np.ndarray, list[tuple[np.ndarray, float]]]], limit: float
) -> float:
    """Integrate the mean of min(found / saturation, 1) over all thresholds, one after another."""
    scores = sorted({float(v) for heat, _ in images for v in heat.ravel()}, reverse=True)
    area, x0, y0 = 0.0, 0.0, 0.0
    for threshold in scores:
        overlaps, false, normal = [], 0, 0
        for heat, regions in images:
            defective = np.zeros(heat.shape, bool)
            for mask, saturation in regions:
                defective |= mask
                overlaps.append(min((heat[mask] >= threshold).sum() / saturation, 1.0))
            false += (heat[~defective] >= threshold).sum()
            normal += (~defective).sum()
        x1, y1 = false / normal, float(np.mean(overlaps))
        end = min(x1, limit)
        if end > x0:
            y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
        x0, y0 = x1, y1
    return area / limit


def test_a_region_is_found_when_as_much_of_it_is_as_is_enough() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    mask = np.array([[True, False, True, True, False, False]])
    image = LabelledMap(scores, mask, regions=(SaturatedRegion(mask, 2),))
    # half of two pixels up to a rate of 1/3, all of them from there on
    assert measured([image])["pixel_au_spro_05"] == pytest.approx(0.5)
    assert measured([image])["pixel_au_spro_100"] == pytest.approx(0.5 / 3 + 2 / 3)


@pytest.mark.slow
@given(st.integers(0, 10**6), st.sampled_from(NAMES))
def test_it_is_that_of_a_plain_loop_also_where_regions_overlap_and_scores_are_tied(
    seed: int, name: str
) -> None:
    rng = np.random.default_rng(seed)
    plain, images = [], []
    for _ in range(3):
        heat = rng.integers(0, 9, (6, 7)).astype(np.float32)
        masks = [rng.random(heat.shape) < 0.2 for _ in range(rng.integers(1, 4))]
        regions = [(m, float(rng.integers(1, m.sum() + 1))) for m in masks if m.any()]
        union = np.any([m for m, _ in regions], axis=0) if regions else np.zeros(heat.shape, bool)
        plain.append((heat, regions))
        images.append(LabelledMap(heat, union, None, tuple(SaturatedRegion(*r) for r in regions)))
    if any(regions for _, regions in plain):
        assert measured(images)[name] == pytest.approx(plain_loop(plain, AU_SPRO_LIMITS[name]))


def test_where_all_of_a_region_is_wanted_it_is_aupro() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(4, 12, 12)).astype(np.float32), rng.random((4, 12, 12)) < 0.1
    images = []
    for heat, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
        own = (labels == number for number in range(1, count + 1))
        regions = tuple(SaturatedRegion(each, float(each.sum())) for each in own)
        images.append(LabelledMap(heat, mask, None, regions))
    found, usual = measured(images), pixel_metrics(maps, masks).metrics
    assert found["pixel_au_spro_30"] == pytest.approx(usual["pixel_aupro_30"].value, abs=1e-12)
    assert found["pixel_au_spro_05"] == pytest.approx(usual["pixel_aupro_05"].value, abs=1e-12)


def draw_loco(root: Path, kinds: tuple[str, ...] = ANOMALIES) -> list[tuple[Sample, np.ndarray]]:
    """Write a category of LOCO's layout; return its test images with a map of each."""
    rng, folder, found = np.random.default_rng(0), root / "box", []
    folder.mkdir(parents=True)
    (folder / "defects_config.json").write_text(json.dumps(CONFIG))
    for split in ("train", "test"):
        for index in range(4):
            path = folder / split / "good" / f"{index:03d}.png"
            save(path, rng.integers(60, 120, (SIDE, SIDE, 3)))
            if split == "test":
                found.append((Sample(path, "normal", "box"), rng.normal(size=(SIDE, SIDE))))
    for kind in kinds:
        for index in range(3):
            path = folder / "test" / f"{kind}_anomalies" / f"{index:03d}.png"
            heat, pixels = rng.normal(size=(SIDE, SIDE)), rng.integers(60, 120, (SIDE, SIDE, 3))
            masks = folder / "ground_truth" / path.parent.name / path.stem
            for number, value in enumerate((200, 3, 255)[index:] if kind == "logical" else (200,)):
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[number : 5 + number, 2 + index : 8 + index] = value
                save(masks / f"{number:03d}.png", mask)
                pixels[mask > 0], heat[mask > 0] = 250, heat[mask > 0] + 1
            save(path, pixels)
            found.append((Sample(path, "anomalous", "box", defect=kind, mask=masks), heat))
    return found


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def stored(folder: Path, drawn: list[tuple[Sample, np.ndarray]]) -> list[Scored]:
    """Write the maps as a run leaves them."""
    (folder / "maps").mkdir()
    scored = []
    for index, (sample, heat) in enumerate(drawn):
        levels, scale = to_16_bits(heat.astype(np.float32))
        (folder / f"maps/{index}.png").write_bytes(png(Image.fromarray(levels)))
        row = ScoreRow(
            image=str(sample.image),
            score=float(heat.max()),
            map=f"maps/{index}.png",
            map_low=scale.low,
            map_high=scale.high,
            overlay=f"overlays/{index}.jpg",
        )
        scored.append(Scored(sample, row, folder))
    return scored


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1 << 26, 1])
def test_logical_and_structural_anomalies_count_the_same_with_all_good_images_each(
    tmp_path: Path, at_once: int
) -> None:
    drawn = draw_loco(tmp_path)
    found = measure(stored(tmp_path, drawn), BenchSettings(replicates=30), at_once).metrics
    by_kind = {}
    for kind in ANOMALIES:
        images = []
        for sample, heat in drawn:
            files = sorted(sample.mask.glob("*.png")) if sample.mask else []
            masks = [np.asarray(Image.open(file)) for file in files]
            regions = [(m > 0, ENOUGH[int(m.max())](int((m > 0).sum()))) for m in masks]
            if sample.defect in (kind, "good"):
                images.append((heat.astype(np.float32), regions))
        for name, limit in AU_SPRO_LIMITS.items():
            metric = found[f"{name}_{kind}"]
            by_kind[kind, name] = plain_loop(images, limit)
            assert abs(metric.value - by_kind[kind, name]) <= metric.error + 1e-12
            assert metric.error < 0.02
    for name in NAMES:
        mean = (by_kind["logical", name] + by_kind["structural", name]) / 2
        assert abs(found[name].value - mean) <= found[name].error + 1e-12
        assert found[name].low <= found[name].value <= found[name].high


def test_a_kind_that_is_not_there_leaves_the_mean_undefined_with_its_reason(tmp_path: Path) -> None:
    scored = stored(tmp_path, draw_loco(tmp_path, ("structural",)))
    found = measure(scored, BenchSettings(replicates=30)).metrics
    assert found["pixel_au_spro_05_structural"].value is not None
    assert found["pixel_au_spro_05"].reason == "no logical anomaly"


def test_without_the_file_there_is_no_such_metric(tmp_path: Path) -> None:
    drawn = draw_loco(tmp_path)
    (tmp_path / "box" / "defects_config.json").unlink()
    found = measure(stored(tmp_path, drawn), BenchSettings(replicates=30)).metrics
    assert tuple(found) == METRICS


def test_masks_that_do_not_fit_the_file_are_named_and_leave_the_metric_undefined(
    tmp_path: Path,
) -> None:
    drawn = draw_loco(tmp_path)
    mask = next(sample.mask for sample, _ in drawn if sample.mask)
    save(mask / "000.png", np.full((SIDE, SIDE), 7))
    [problem] = saturation_problems(sample for sample, _ in drawn)
    assert f"{mask}/000.png: the values [7], where" in problem.what
    found = measure(stored(tmp_path, drawn), BenchSettings(replicates=30)).metrics
    assert found["pixel_au_spro_05"].reason == "a mask does not fit defects_config.json"
    assert found["pixel_auroc"].value is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("{}", "no defectsconfig: defects"),
        (json.dumps([CONFIG[0] | {"pixel_value": 0}]), "pixel_value: Input should be greater"),
        (json.dumps([CONFIG[0] | {"saturation_threshold": 1.5}]), "a share above 1"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "defects_config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path)


@pytest.mark.slow
@pytest.mark.xdist_group("bench")
def test_a_bench_shows_it_where_the_data_set_brings_the_file(
    run_bench, small: list[str], tmp_path: Path
) -> None:
    draw_loco(tmp_path / "loco")
    words = ["loco", "--detector", "clip,winclip", *small, "--replicates", "20", "--out", "out"]
    ran = run_bench(*words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    document = read_results(tmp_path / "out").document
    assert tuple(document.cells[0].metrics) == (*METRICS, *SATURATED_METRICS)
    assert "pixel_au_spro_05" in {entry.metric for entry in document.comparisons}
    assert "AU-sPRO 0.05" in ran.stdout
    markdown = (tmp_path / "out" / "bench.md").read_text()
    assert "| AU-sPRO 0.05 | AU-sPRO 0.05, logical | AU-sPRO 0.05, structural |" in markdown
    assert "pixel_au_spro_01_logical" in (tmp_path / "out" / "bench.csv").read_text()
    config = tmp_path / "loco" / "box" / "defects_config.json"
    config.write_text(json.dumps([each | {"saturation_threshold": 1} for each in CONFIG]))
    again = run_bench(*words, cwd=tmp_path)
    assert "holds a bench that differs: categories.box.content" in again.stderr
