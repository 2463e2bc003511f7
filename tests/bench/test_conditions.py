"""Conditions: what they do to images and masks, and `vlmad bench --conditions`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad.images import Source
from vlmad.registry import Registry
from vlmad_evaluation.bootstrap import stratified_weights
from vlmad_evaluation.comparison import Comparison
from vlmad_evaluation.condition_tables import change_text, glance
from vlmad_evaluation.conditions import (
    ALLOWED,
    CONDITIONS,
    Change,
    ChangedSource,
    changes_of,
    cutoff,
    parse_conditions,
)
from vlmad_evaluation.feature_cache import image_digest
from vlmad_evaluation.labelled_maps import LabelledMap
from vlmad_evaluation.metric import Metric
from vlmad_evaluation.pixel_metrics import SortedPixels, pixel_metrics
from vlmad_evaluation.result_documents import BenchSettings, ConditionEntry
from vlmad_evaluation.result_folders import Results, read_results
from vlmad_evaluation.streaming import PixelStream

from .conftest import draw_category

pytestmark = pytest.mark.xdist_group("conditions")  # one worker makes the bench
SIDE = 40
ODD_PARTS = (Path(__file__).parents[1] / "plugins" / "odd_parts.py").read_text()
NEUTRAL = {"light": 0.0, "blur": 0.0, "noise": 0.0, "turn": 0.0, "shift": 0.0, "scale": 1.0}
FILES = [f"{number:02x}" * 32 for number in range(8)]
"""The hashes of some files, by which changes are drawn."""


def square() -> tuple[Image.Image, np.ndarray]:
    """Return black with a white square, and its mask."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[12:18, 20:24] = True
    return Image.fromarray(np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)), mask


def change(condition: str, amount: float) -> Change:
    return Change(condition=condition, severity=1, amount=amount)


@pytest.mark.parametrize(("condition", "amount"), [("turn", 90.0), ("shift", 25.0), ("scale", 2.0)])
def test_a_mask_moves_with_the_pixels_of_its_image(condition: str, amount: float) -> None:
    image, mask = square()
    for file in FILES:
        seen = np.asarray(change(condition, amount).of_image(image, file))[..., 0]
        moved, outside = change(condition, amount).of_mask(mask, file)
        assert np.array_equal((seen > 127) & ~outside, moved)
        assert not np.array_equal(moved, mask)


def test_a_quarter_turn_is_that_of_the_array_and_leaves_no_pixel_out() -> None:
    mask = square()[1]
    for file in FILES:
        moved, outside = change("turn", 90.0).of_mask(mask, file)
        assert any(np.array_equal(moved, np.rot90(mask, number)) for number in (1, 3))
        assert not outside.any()


def test_twice_as_near_is_four_times_as_many_pixels_and_twice_as_far_a_quarter() -> None:
    areas = {change("scale", 2.0).of_mask(square()[1], file)[0].sum() for file in FILES}
    assert areas == {96, 6}


def test_pixels_that_enter_from_outside_are_reflected_and_marked() -> None:
    ramp = np.repeat(np.arange(SIDE, dtype=np.uint8)[:, None, None], SIDE, axis=1).repeat(3, 2)
    for file in FILES:
        where = change("shift", 25.0).of_mask(np.zeros((SIDE, SIDE), bool), file)[1]
        seen = np.asarray(change("shift", 25.0).of_image(Image.fromarray(ramp), file))[..., 0]
        rows = where.all(axis=1)
        first = int(seen[~rows][0, 0])
        assert 0 < where.mean() < 0.5
        if rows[0]:  # moved down: above the first row it goes on backwards
            assert seen[: rows.sum(), 0].tolist() == list(range(first, first + rows.sum()))[::-1]


@pytest.mark.parametrize(("condition", "amount"), NEUTRAL.items())
def test_no_change_is_the_image_bit_for_bit(condition: str, amount: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (31, 46, 3)).astype(np.uint8)
    seen = change(condition, amount).of_image(Image.fromarray(pixels), FILES[0])
    assert np.array_equal(seen, pixels)


def test_a_change_hangs_on_the_file_alone_and_all_severities_go_the_same_way() -> None:
    pixels = np.random.default_rng(0).integers(60, 200, (31, 46, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    changes = changes_of(parse_conditions("all"))
    seen = {(c, f): np.asarray(c.of_image(image, f)) for c in changes for f in FILES}
    again = {(c, f): np.asarray(c.of_image(image, f)) for f in FILES[::-1] for c in changes[::-1]}
    assert all(np.array_equal(seen[key], again[key]) for key in seen)
    brighter = [
        {seen[c, f].mean() > pixels.mean() for c in changes if c.condition == "light"}
        for f in FILES
    ]
    assert {True} in brighter
    assert {False} in brighter
    assert all(len(each) == 1 for each in brighter)


def test_a_stop_is_twice_or_half_the_light() -> None:
    grey = Image.new("RGB", (1, 1), (128, 128, 128))  # 0.2159 of the light that is white
    seen = {change("light", 1.0).of_image(grey, f).getpixel((0, 0))[0] for f in FILES}
    assert seen == {176, 92}  # 0.4317 and 0.1079 of it


def test_unknown_conditions_name_the_known_ones() -> None:
    with pytest.raises(InputError, match=f"takes {', '.join(CONDITIONS)} or all") as caught:
        parse_conditions("light,focus")
    assert "no 'focus'" in str(caught.value)


def test_a_cutoff_lets_through_a_twentieth_of_the_normal_images() -> None:
    normal = np.arange(40.0)
    scores = np.append(normal, [40.0, 50.0])
    limit = cutoff(normal, scores)
    assert limit == 37.5
    assert np.mean(normal >= limit) == ALLOWED
    assert cutoff(normal[:19], scores) == 18.5  # a twentieth of 19 is no whole image
    assert cutoff(np.array([3.0]), np.array([3.0])) > 3
    assert cutoff(np.array([]), scores) is None


def test_features_of_changed_images_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    square()[0].save(path)
    changes = changes_of(parse_conditions("all"))
    digests = {image_digest(ChangedSource("image", path, each)) for each in changes}
    digests.add(image_digest(Source("image", path)))
    assert len(digests) == len(changes) + 1


def test_pixels_from_outside_count_in_no_metric() -> None:
    heat = np.random.default_rng(0).random((9, 12), np.float32)
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3:6] = True
    heat[:, 8:] = 5.0
    outside = np.zeros_like(mask)
    outside[:, 8:] = True
    stream = PixelStream()
    stream.add(heat, mask, outside)
    truth = pixel_metrics([heat[:, :8]], [mask[:, :8]]).metrics["pixel_auroc"].value
    assert stream.metrics()["pixel_auroc"].value == truth
    assert len(SortedPixels.of([LabelledMap(heat, mask, outside)]).normal) == 9 * 8 - 9


def test_a_change_over_fewer_categories_than_its_average_says_so() -> None:
    both = Metric(value=0.5, categories=["bolt", "nut"])
    one = Comparison(difference=-0.25, low=-0.5, high=0.0, categories=["bolt"])
    entry = ConditionEntry(
        detector="clip",
        category=None,
        shots=0,
        change=change("shift", 10.0),
        thresholds=[],
        metrics={"pixel_auroc": both, "misses": both},
        changes={
            "pixel_auroc": one,
            "misses": one.model_copy(update=both.model_dump(include={"categories"})),
        },
        rank=None,
    )
    assert change_text(entry, "pixel_auroc") == "-0.250 [-0.500, +0.000] over 1 of 2 categories"
    assert change_text(entry, "misses") == "-25 [-50, +0]"


# the bench

WORDS = ["--detector", "winclip,clip", "--shots", "0,1", "--seeds", "1", "--replicates", "50"]
NAMED = ["--conditions", "shift"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category with masks."""
    folder = tmp_path_factory.mktemp("sets") / "parts"
    draw_category(folder / "bolt", normal=4, anomalous=3)
    return folder


@pytest.fixture(scope="module")
def changed(run_bench, parts: Path, small: list[str], tmp_path_factory) -> Path:
    """The folder of a bench under conditions."""
    folder = tmp_path_factory.mktemp("changed")
    ran = run_bench(parts, *WORDS, *NAMED, *small, "--out", "out", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (folder / "stdout").write_text(ran.stdout)
    (folder / "stderr").write_text(ran.stderr)
    return folder / "out"


@pytest.fixture(scope="module")
def results(changed: Path) -> Results:
    return read_results(changed)


def test_all_but_the_conditions_is_of_the_images_as_they_are(
    results: Results, changed: Path, parts: Path, small, run_bench, tmp_path: Path
) -> None:
    ran = run_bench(parts, *WORDS, *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    plain, document = read_results(tmp_path / "out").document, results.document
    own = {"conditions": [], "changed_cells": [], "settings": plain.settings}
    assert document.model_copy(update=own) == plain
    assert len(document.changed_cells) == 3 * len(document.cells)
    assert not (tmp_path / "out" / "conditions.csv").exists()


def test_figures_under_conditions_are_those_of_the_stored_maps(results: Results) -> None:
    document = results.document
    for cell in document.changed_cells:
        if cell.detector != "clip":
            continue
        entry = next(
            e
            for e in document.conditions
            if (e.detector, e.category, e.name, e.change and e.change.severity)
            == ("clip", "bolt", cell.change.condition, cell.change.severity)
        )
        scored = list(results.scored(cell))
        labels = np.array([each.sample.anomalous for each in scored])
        scores = np.array([each.row.score for each in scored])
        pairs = scores[labels][:, None] - scores[~labels]
        assert entry.metrics["image_auroc"].value == pytest.approx(
            np.mean((pairs > 0) + (pairs == 0) / 2)
        )
        [limit] = entry.thresholds
        assert entry.metrics["false_alarms"].value == np.mean(scores[~labels] >= limit)
        assert entry.metrics["misses"].value == np.mean(scores[labels] < limit)
        normal, anomalous = [], []
        for each in scored:
            image = np.asarray(Image.open(each.sample.image))
            heat = each.heat()
            mask = np.zeros(heat.shape, bool)
            if each.sample.mask is not None:
                mask = np.asarray(Image.open(each.sample.mask)) > 0
            moved, outside = cell.change.of_mask(mask, each.row.sha256)
            assert image.shape[:2] == heat.shape
            normal += heat[~moved & ~outside].tolist()
            anomalous += heat[moved].tolist()
        pairs = np.array(anomalous)[:, None] - np.array(normal)
        value = np.mean((pairs > 0) + (pairs == 0) / 2)
        assert entry.metrics["pixel_auroc"].value == pytest.approx(value, abs=1e-6)


def test_changes_against_clean_images_are_paired(results: Results) -> None:
    document = results.document
    entries = {
        (e.detector, e.name, e.change and e.change.severity): e
        for e in document.conditions
        if (e.category, e.shots) == ("bolt", 0)
    }
    [clean] = [results.stored(c) for c in results.cells(detector="winclip", shots=0)]
    [cell] = [
        cell
        for cell in document.changed_cells
        if (cell.detector, cell.shots, cell.change.condition, cell.change.severity)
        == ("winclip", 0, "shift", 3)
    ]
    stored = results.stored(cell)
    entry, before = entries["winclip", "shift", 3], entries["winclip", "clean", None]
    limit = before.thresholds[0]
    weights = stratified_weights(clean.labels.astype(int), 50, 0)[:, ~clean.labels]
    rates = [weights @ (r.scores[~r.labels] >= limit) / weights.sum(1) for r in (stored, clean)]
    change = entry.changes["false_alarms"]
    before, after = (each.metrics["false_alarms"].value for each in (before, entry))
    assert change.difference == pytest.approx(after - before)
    low, high = np.quantile(rates[0] - rates[1], [0.025, 0.975])
    assert (change.low, change.high) == pytest.approx((low, high))
    draws = [r.replicates["image_auroc"].values for r in (stored, clean)]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    change = entry.changes["image_auroc"]
    assert (change.low, change.high) == pytest.approx((low, high))


def test_detectors_are_ranked_under_each_condition(results: Results) -> None:
    for entry in results.document.conditions:
        if entry.shots == 0:
            values = [
                e.metrics["image_auroc"].value
                for e in results.document.conditions
                if (e.category, e.shots, e.name, e.change and e.change.severity)
                == (entry.category, 0, entry.name, entry.change and entry.change.severity)
            ]
            assert len(values) == 2
            assert entry.rank == 1 + sorted(values)[::-1].index(entry.metrics["image_auroc"].value)


def test_the_table_says_what_hurts_and_what_it_costs(changed: Path, results: Results) -> None:
    out, error = ((changed.parent / name).read_text() for name in ("stdout", "stderr"))
    assert "note: 7 test images as they are and under 3 changes: 28 images to encode" in error
    assert "at most 5% of the clean normal test images false alarms" in out
    for line in glance(results.document, 0):
        assert line in out
    markdown = (changed / "bench.md").read_text()
    assert "## Under conditions, zero-shot" in markdown
    assert "| shift | 10 % of the shorter side | clip |" in markdown
    with (changed / "conditions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results.document.conditions)
    assert rows[0]["condition"] == "clean"


@pytest.mark.slow
def test_conditions_are_added_to_a_bench_and_cannot_be_left_out(
    changed: Path, parts: Path, small, run_bench, tmp_path: Path
) -> None:
    shutil.copytree(changed, tmp_path / "out")
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("cells/*/*/*/metrics.json")}
    more = ["--conditions", "noise,shift", "--json"]
    ran = run_bench(parts, *WORDS, *more, *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {cell["change"]["condition"] for cell in json.loads(ran.stdout)["changed_cells"]} == {
        "noise",
        "shift",
    }
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    ran = run_bench(parts, *WORDS, *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 2
    assert "holds a bench that differs: settings.conditions" in ran.stderr


def test_a_run_of_unchanged_images_does_not_go_on_among_changed_ones(
    changed: Path, parts: Path, small, run_vlmad, tmp_path: Path
) -> None:
    cell = changed / "cells" / "clip" / "bolt" / "zero-shot-shift-3"
    shutil.copytree(cell, tmp_path / "out")
    words = ["run", parts / "bolt" / "test", "--detector", "clip", "--class-name", "bolt"]
    ran = run_vlmad(*words, *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 2
    assert "preprocessing.change" in ran.stderr


def test_settings_of_an_earlier_bench_are_read_as_without_conditions() -> None:
    assert BenchSettings.model_validate({"shots": [0]}).conditions == {}


def test_a_scorer_of_sets_sees_the_images_of_one_change_together(
    install, parts: Path, small: list[str], two_layer_file: Path, run_bench, tmp_path: Path
) -> None:
    site, recipe = install("odd-parts", ODD_PARTS), tmp_path / "odd.toml"
    recipe.write_text('base = "winclip"\nscorer = "mutual"\n')
    words = [parts, "--detector", recipe, *small, "--replicates", "20", "--conditions", "blur"]
    ran = run_bench(*words, "--out", "out", cwd=tmp_path, PYTHONPATH=str(site))
    assert ran.returncode == 0, ran.stderr
    found = read_results(tmp_path / "out")
    hardest = found.document.changed_cells[-1]
    scored = list(found.scored(hardest))
    sources = [ChangedSource("", each.sample.image, hardest.change) for each in scored]
    options = {"backbone": {"weights": two_layer_file}}
    registry = Registry.discover()
    detector = load_detector(recipe, backbone=small[1], options=options, registry=registry)
    alone = [result.score for result in detector.stream(sources, "bolt", 1)]
    assert [each.row.score for each in scored] == pytest.approx(alone, rel=1e-5)
