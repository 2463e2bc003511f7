"""Metrics from stored maps, what is kept of them, their averages and comparisons."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmad import Sample
from vlmad.errors import OutputError
from vlmad_evaluation._bench_plan import Cell
from vlmad_evaluation._cell_metrics import measure, measure_cell
from vlmad_evaluation._detector_pairs import compare_pairs
from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.bootstrap import bootstrap_images
from vlmad_evaluation.comparison import compare_auroc
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.metric import AUPRO_200, METRICS, best_value, undefined
from vlmad_evaluation.notation import remark_on
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, pixel_metrics
from vlmad_evaluation.result_documents import BenchCell, BenchSettings, PairEntry
from vlmad_evaluation.result_folders import (
    CellResult,
    Scored,
    read_result,
    read_results,
    write_result,
)
from vlmad_run.pictures import png, to_16_bits
from vlmad_run.places import folder_name
from vlmad_run.rows import ScoreRow

SETTINGS = BenchSettings(replicates=40)
SIDE = 24


def stored(folder: Path, seed: int = 0, count: int = 6) -> tuple[list[Scored], list[np.ndarray]]:
    """Write images, masks and maps; return them as a run leaves them, and the maps themselves."""
    rng = np.random.default_rng(seed)
    (folder / "maps").mkdir(exist_ok=True)
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
        (folder / f"maps/{index}.png").write_bytes(png(Image.fromarray(levels)))
        row = ScoreRow(
            image=str(image),
            score=float(heat.max()),
            map=f"maps/{index}.png",
            map_low=scale.low,
            map_high=scale.high,
            overlay=f"overlays/{index}.jpg",
        )
        label = "anomalous" if index % 2 else "normal"
        scored.append(Scored(Sample(image, label, "part", mask=mask), row, folder))
        maps.append(heat)
    return scored, maps


def result_of(folder: Path, category: str = "part", seed: int | None = None) -> CellResult:
    """Measure a cell."""
    scored, _ = stored(folder, seed or 0)
    samples = tuple(each.sample for each in scored)
    cell = Cell("clip", category, category, 0 if seed is None else 1, seed, samples)
    return measure_cell(cell, scored, [], SETTINGS)


@pytest.mark.parametrize(
    ("at_once", "loosest", "how"), [(1 << 26, 1e-3, "exact"), (1, 1e-2, "streamed")]
)
def test_metrics_of_stored_maps_are_within_their_bound_of_those_of_the_maps(
    tmp_path: Path, at_once: int, loosest: float, how: str
) -> None:
    for seed in range(3):
        scored, maps = stored(tmp_path, seed)
        found = measure(scored, SETTINGS, at_once)
        truth = pixel_metrics(maps, [each.map().mask for each in scored]).metrics
        for name in EXACT_METRICS:
            metric = found.metrics[name]
            assert abs(metric.value - truth[name].value) <= metric.error + 1e-12
            assert metric.error < loosest
            assert metric.low <= metric.high
        steps = [measure(scored, SETTINGS, each).metrics[AUPRO_200].value for each in (1, 1 << 26)]
        assert steps[0] == pytest.approx(steps[1], abs=1e-12)
        assert steps[0] is not None
        assert found.pixels.how == how


def test_the_resolution_is_that_of_the_evaluation(tmp_path: Path) -> None:
    scored, maps = stored(tmp_path)
    settings = BenchSettings(replicates=40, resolution="8 x 8")
    found = measure(scored, settings).metrics["pixel_auroc"]
    masks = [each.map().mask for each in scored]
    truth = pixel_metrics(maps, masks, resolution=(8, 8)).metrics["pixel_auroc"]
    assert found.value == pytest.approx(truth.value, abs=1e-4)


def test_a_damaged_map_is_an_error_that_names_what_to_delete(tmp_path: Path) -> None:
    scored, _ = stored(tmp_path)
    (tmp_path / "maps/0.png").write_bytes(b"cut off")
    with pytest.raises(OutputError, match=r"0\.png is damaged, or no map; delete"):
        measure(scored, SETTINGS)


def test_a_result_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    write_result(tmp_path / "cell", result)
    back = read_result(tmp_path / "cell")
    assert back is not None
    assert back.cell == result.cell
    for name, found in result.replicates.items():
        assert np.array_equal(back.replicates[name].values, found.values)
        assert back.replicates[name].reason == found.reason


@pytest.mark.parametrize("name", ["metrics.json", "replicates.npz"])
def test_a_damaged_result_is_taken_for_unfinished(tmp_path: Path, name: str) -> None:
    write_result(tmp_path, result_of(tmp_path))
    path = tmp_path / name
    for content in (path.read_bytes()[:-40], b"", b"{}", b"\x80\x04K\x01."):
        path.write_bytes(content)
        assert read_result(tmp_path) is None


def test_averages_are_those_of_the_seeds_and_categories(tmp_path: Path) -> None:
    results = [result_of(tmp_path, name, seed) for name in ("a", "b") for seed in (1, 2, 3)]
    by_key = over_seeds(results, 0.95)
    averages = over_categories(by_key, ["a", "b"], 0.95)
    for name in METRICS:
        values = [result.metrics[name].value for result in results]
        found = averages["clip", None, 1][name]
        assert found.metric.value == pytest.approx(np.mean(values))
        assert found.metric.deviation_over_seeds == pytest.approx(
            np.std(values[:3], ddof=1), abs=1e-12
        )
    assert by_key["clip", "a", 1]["pixel_auroc"].replicates is not None


@settings(max_examples=30)
@given(st.lists(st.text(min_size=1), min_size=2, max_size=8, unique=True))
def test_folder_names_are_safe_and_distinct(names: list[str]) -> None:
    made = [folder_name(name) for name in names]
    assert len({name.lower() for name in made}) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,79}", name) for name in made)


# comparisons


def with_scores(
    detector: str, normal: int, seed: int, category: str = "part", left_out: tuple[str, ...] = ()
) -> CellResult:
    """Return a cell with image scores alone."""
    rng = np.random.default_rng(seed)
    labels = np.arange(normal + 12) >= normal
    scores = rng.normal(size=len(labels)) + labels
    metrics = {**undefined(METRICS, "no mask"), **image_metrics(labels, scores)}
    cell = BenchCell(
        detector=detector,
        category=category,
        class_name=category,
        shots=0,
        seed=None,
        references=[],
        normal=normal,
        anomalous=12,
        failed=len(left_out),
        left_out=list(left_out),
        pixels=None,
        run="cells",
        threshold=None,
        metrics=metrics,
    )
    replicates = bootstrap_images(labels, scores, replicates=60)
    return CellResult(cell, replicates, labels, scores)


def compare(*results: CellResult, averages: bool = False) -> list[PairEntry]:
    """Compare detectors on categories, or on average."""
    categories = list(dict.fromkeys(result.cell.category for result in results))
    entries = compare_pairs(results, over_seeds(results, 0.95), categories, 0.95)
    return [entry for entry in entries if (entry.category is None) == averages]


@pytest.mark.parametrize(("normal", "method"), [(12, "DeLong"), (9, "paired bootstrap")])
def test_delong_compares_image_auroc_where_there_are_ten_images_of_each_class(
    normal: int, method: str
) -> None:
    first, second = (with_scores(name, normal, seed) for seed, name in enumerate("ab"))
    entries = compare(first, second)
    [entry] = [entry for entry in entries if entry.metric == "image_auroc"]
    assert (entry.detector, entry.against, entry.method) == ("b", "a", method)
    values = [result.metrics["image_auroc"].value for result in (first, second)]
    assert entry.difference == pytest.approx(values[1] - values[0])
    if method == "DeLong":
        truth = compare_auroc(second.labels, second.scores, first.scores)
        assert entry.p_value == truth.p_value
    [undefined_pair] = [entry for entry in entries if entry.metric == "pixel_auroc"]
    assert undefined_pair.reason == "the metric is undefined"


def test_detectors_that_failed_on_different_images_are_not_compared() -> None:
    entries = compare(
        with_scores("a", 12, 0, left_out=("/x/1.png",)),
        with_scores("b", 12, 1, left_out=("/x/2.png",)),
    )
    of_images = {entry.reason for entry in entries if entry.metric.startswith("image")}
    assert of_images == {"not the same images could be scored"}
    assert {entry.p_value_max_t for entry in entries} == {None}


def test_averages_over_different_categories_are_compared_over_those_that_both_have() -> None:
    both = [with_scores("a", 12, seed, category) for seed, category in enumerate(("one", "two"))]
    failed = with_scores("b", 12, 3, "two", left_out=("/x/1.png",))  # no such image of a's failed
    results = [*both, with_scores("b", 12, 2, "one"), failed]
    entries = {e.metric: e for e in compare(*results, averages=True)}
    values = [result.metrics["image_auroc"].value for result in (results[2], results[0])]
    assert entries["image_auroc"].difference == pytest.approx(values[0] - values[1])
    assert entries["image_auroc"].categories == ["one"]
    assert entries["pixel_auroc"].reason == "no category that both have"


def test_an_average_names_what_was_not_measured_and_is_held_against_none_of_other_categories() -> (
    None
):
    results = [with_scores("a", 12, 0, "one"), with_scores("a", 12, 1, "two")]
    results.append(with_scores("b", 12, 2, "one"))
    averages = over_categories(over_seeds(results, 0.95), ["one", "two"], 0.95)
    whole, part = (averages[name, None, 0]["image_auroc"].metric for name in "ab")
    assert (part.categories, part.left_out) == (["one"], {"two": "not measured"})
    assert remark_on(part) == "over 1 of 2 categories, not measured: two"
    assert best_value([whole, part]) is None
    assert best_value([part, part]) == part.value


def test_equal_numbers_of_images_do_not_make_categories_vary_together() -> None:
    def joint(*categories: str) -> set[float | None]:
        results = [with_scores(n, 12, s, c) for c in categories for s, n in enumerate("ab")]
        return {e.p_value_max_t for e in compare(*results) if e.metric == "image_auroc"}

    (alone,), (both,) = joint("part"), joint("part", "other")
    assert alone is not None
    assert both is not None
    assert 0 < alone < both <= 2 * alone


def test_a_bench_of_a_resolution_stores_maps_of_it_and_measures_the_same(
    run_bench, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    words = ["--detector", "clip", "--category", "bolt", "--replicates", "20", *small]
    for out, more in (("whole", []), ("less", ["--resolution", "20"])):
        ran = run_bench(two_categories, *words, *more, "--out", out, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
    whole, less = (read_results(tmp_path / out) for out in ("whole", "less"))
    [cell], [small_cell] = whole.cells(), less.cells()
    maps = [each.heat() for each in less.scored(small_cell)]
    assert {each.shape for each in maps} == {(20, 20)}
    pairs = [each.map() for each in whole.scored(cell)]
    truth = pixel_metrics(
        [pair.scores for pair in pairs], [pair.mask for pair in pairs], resolution=(20, 20)
    ).metrics["pixel_auroc"]
    found = small_cell.metrics["pixel_auroc"]
    assert found.value == pytest.approx(truth.value, abs=1e-3)
    assert len(list(less.scored(small_cell))) == len(pairs)
