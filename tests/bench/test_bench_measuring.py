"""Metrics from stored maps: how far they are from those of the maps themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad import Sample
from vlmad.errors import OutputError
from vlmad_evaluation._bench_folder import folder_name
from vlmad_evaluation._bench_plan import Settings
from vlmad_evaluation._cell_metrics import Scored, measure
from vlmad_evaluation.result_folders import NAMES, CellResult, read_result, write_result
from vlmad_evaluation._detector_pairs import compare_pairs
from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.bootstrap import bootstrap_images
from vlmad_evaluation.comparison import compare_auroc
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.metric import undefined
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, pixel_metrics
from vlmad_run.overlays import png, to_16_bits
from vlmad_run.rows import Row

SETTINGS = Settings(replicates=40)
SIDE = 24


def stored(folder: Path, seed: int = 0, count: int = 6) -> tuple[list[Scored], list[np.ndarray]]:
    """Write images, masks and maps; return them as a run leaves them, and the maps themselves."""
    rng = np.random.default_rng(seed)
    scored, maps = [], []
    for index in range(count):
        image, mask = folder / f"{index}.png", None
        Image.new("RGB", (SIDE, SIDE)).save(image)
        heat = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
        if index % 2:
            mask = folder / f"{index}_mask.png"
            marked = np.zeros((SIDE, SIDE), np.uint8)
            marked[3:9, index : index + 5] = 255
            Image.fromarray(marked).save(mask)
            heat[marked > 0] += 1
        levels, scale = to_16_bits(heat)
        (folder / f"{index}_map.png").write_bytes(png(Image.fromarray(levels)))
        label = "anomalous" if index % 2 else "normal"
        row = Row(str(image), float(heat.max()), map=f"{index}_map.png")
        row = replace(row, map_low=scale.low, map_high=scale.high)
        scored.append(Scored(Sample(image, label, "part", mask=mask), row, folder))
        maps.append(heat)
    return scored, maps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at_once", "loosest"), [(1 << 26, 1e-3), (1, 1e-2)], ids=["exact", "streamed"]
)
def test_metrics_of_stored_maps_are_within_their_bound_of_those_of_the_maps(
    tmp_path: Path, at_once: int, loosest: float
) -> None:
    for seed in range(5):
        scored, maps = stored(tmp_path, seed)
        found = measure(scored, SETTINGS, at_once)
        masks = [each.map().mask for each in scored]
        truth = pixel_metrics(maps, masks).metrics
        for name in EXACT_METRICS:
            metric = found.metrics[name]
            assert abs(metric.value - truth[name].value) <= metric.error + 1e-12
            assert metric.error < loosest
            assert metric.low <= metric.high
        assert found.pixels["how"] == ("streamed" if at_once == 1 else "exact")


def test_the_resolution_is_that_of_the_evaluation(tmp_path: Path) -> None:
    scored, maps = stored(tmp_path)
    found = measure(scored, replace(SETTINGS, resolution=(8, 8)))
    masks = [each.map().mask for each in scored]
    truth = pixel_metrics(maps, masks, resolution=(8, 8)).metrics["pixel_auroc"].value
    assert found.metrics["pixel_auroc"].value == pytest.approx(truth, abs=1e-4)


def test_a_damaged_map_is_an_error_that_says_what_to_delete(tmp_path: Path) -> None:
    scored, _ = stored(tmp_path)
    (tmp_path / "0_map.png").write_bytes(b"cut off")
    with pytest.raises(OutputError, match=r"0_map\.png is damaged; delete"):
        measure(scored, SETTINGS)


def result_of(folder: Path, category: str = "part", seed: int | None = None) -> CellResult:
    scored, _ = stored(folder, seed or 0)
    measured = measure(scored, SETTINGS)
    facts = {"detector": "clip", "category": category, "shots": 0 if seed is None else 1}
    labels = np.array([each.sample.anomalous for each in scored])
    scores = np.array([each.row.score for each in scored])
    facts |= {"seed": seed}
    return CellResult(facts, measured.metrics, measured.replicates, labels, scores)


def test_a_result_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    write_result(tmp_path / "cell", result)
    back = read_result(tmp_path / "cell")
    assert back is not None
    assert (back.facts, back.metrics) == (result.facts, result.metrics)
    for name, found in result.replicates.items():
        assert np.array_equal(back.replicates[name].values, found.values)
        assert back.replicates[name].reason == found.reason


@pytest.mark.parametrize("name", ["metrics.json", "replicates.npz"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\x80\x04K\x01.", None])
def test_a_damaged_result_is_taken_for_unfinished(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    write_result(tmp_path / "cell", result_of(tmp_path))
    path = tmp_path / "cell" / name
    if content is None:
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.write_bytes(content)
    assert read_result(tmp_path / "cell") is None


def test_averages_are_those_of_the_seeds_and_categories(tmp_path: Path) -> None:
    results = [
        result_of(tmp_path, category, seed) for category in ("a", "b") for seed in (1, 2, 3)
    ]
    by_key = over_seeds(results, 0.95)
    averages = over_categories(by_key, 0.95)
    for name in NAMES:
        values = [result.metrics[name].value for result in results]
        found = averages["clip", 1][name]
        assert found.metric.value == pytest.approx(np.mean(values))
        assert found.spread.deviation == pytest.approx(np.std(values[:3], ddof=1), abs=1e-12)
    assert by_key["clip", "a", 1]["pixel_auroc"].replicates is not None


@given(st.lists(st.text(min_size=1), min_size=2, max_size=20, unique=True))
def test_folder_names_are_safe_and_distinct(names: list[str]) -> None:
    made = [folder_name(name) for name in names]
    assert len({name.lower() for name in made}) == len(made)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
               for name in made)
    assert all(0 < len(name) < 80 for name in made)


def with_scores(detector: str, normal: int, seed: int) -> CellResult:
    rng = np.random.default_rng(seed)
    labels = np.arange(normal + 12) >= normal
    scores = rng.normal(size=len(labels)) + labels
    metrics = {**undefined(NAMES, "no mask"), **image_metrics(labels, scores)}
    replicates = bootstrap_images(labels, scores, replicates=60)
    facts = {"detector": detector, "category": "part", "shots": 0, "seed": None}
    return CellResult(facts, metrics, replicates, labels, scores)


@pytest.mark.parametrize(("normal", "method"), [(12, "DeLong"), (9, "paired bootstrap")])
def test_delong_compares_image_auroc_where_there_are_ten_images_of_each_class(
    normal: int, method: str
) -> None:
    first, second = (with_scores(name, normal, seed) for seed, name in enumerate("ab"))
    by_key = over_seeds([first, second], 0.95)
    entries = compare_pairs([first, second], by_key, over_categories(by_key, 0.95), 0.95)
    [entry] = [e for e in entries if e["metric"] == "image_auroc" and e["category"]]
    assert (entry["detector"], entry["against"], entry["method"]) == ("b", "a", method)
    values = [result.metrics["image_auroc"].value for result in (first, second)]
    assert entry["difference"] == pytest.approx(values[1] - values[0])
    if method == "DeLong":
        truth = compare_auroc(second.labels, second.scores, first.scores)
        assert entry["p_value"] == truth.p_value
    [undefined_pair] = [e for e in entries if e["metric"] == "pixel_auroc" and e["category"]]
    assert undefined_pair["reason"] == "the metric is undefined"


def test_detectors_that_failed_on_different_images_are_not_compared() -> None:
    first, second = (with_scores(name, 12, seed) for seed, name in enumerate("ab"))
    for result, image in ((first, "/x/1.png"), (second, "/x/2.png")):
        result.facts["left_out"] = [image]  # type: ignore[index]
    by_key = over_seeds([first, second], 0.95)
    entries = compare_pairs([first, second], by_key, over_categories(by_key, 0.95), 0.95)
    assert {entry["reason"] for entry in entries} == {"not the same images could be scored"}
    assert {entry["p_value_max_t"] for entry in entries} == {None}


def test_equal_numbers_of_images_do_not_make_categories_vary_together() -> None:
    one = [with_scores(name, 12, seed) for seed, name in enumerate("ab")]
    other = [replace(result, facts={**result.facts, "category": "other"}) for result in one]

    def joint(results: list[CellResult]) -> set[float]:
        by_key = over_seeds(results, 0.95)
        entries = compare_pairs(results, by_key, over_categories(by_key, 0.95), 0.95)
        known = [e for e in entries if e["metric"] == "image_auroc" and e["category"]]
        return {entry["p_value_max_t"] for entry in known}

    (alone,), (both,) = joint(one), joint([*one, *other])
    assert 0 < alone < both <= 2 * alone
