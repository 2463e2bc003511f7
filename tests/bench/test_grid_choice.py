"""`vlmad grid --choose`: nested folds choose a combination, and say how good that is."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vlmad_evaluation._choice_figures import judge
from vlmad_evaluation.choice_document import ChoiceDocument
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.nested_folds import PARTITIONS, choose_nested, deal
from vlmad_evaluation.result_folders import Results, read_results

WHAT = ["--extractor", "window,dense", "--prompt", "plain", "--replicates", "20", "--choose"]


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    return float((scores[labels][:, None] > scores[~labels]).mean())


def test_of_detectors_of_noise_the_best_looks_good_and_its_honest_figure_is_one_half() -> None:
    rng, labels = np.random.default_rng(0), np.arange(24) < 12
    found = []
    for trial in range(60):
        dealt = deal(labels.astype(int), 3, partitions=2, seed=trial)
        noise = rng.normal(size=(20, len(labels)))
        figures = [
            [[auroc(labels[p == f], each[p == f]) for f in range(3)] for p in dealt]
            for each in noise
        ]
        nested = choose_nested(np.array(figures))
        found.append((nested.judged, nested.figures.max()))
    honest, optimistic = np.mean(found, axis=0)
    spread = np.std(found, axis=0)[0] / np.sqrt(len(found))
    assert abs(honest - 0.5) < 3 * spread < 0.07
    assert optimistic > 0.65


FIGURES = arrays.arrays(float, (4, 2, 3), elements=st.floats(0, 1))


@settings(max_examples=50, deadline=None)
@given(
    FIGURES, arrays.arrays(float, 4, elements=st.floats(0, 1)), st.integers(0, 1), st.integers(0, 2)
)
def test_what_a_fold_holds_has_no_say_in_what_is_judged_on_it(
    figures: np.ndarray, other: np.ndarray, partition: int, fold: int
) -> None:
    before = choose_nested(figures).chosen[partition, fold]
    figures[:, partition, fold] = other
    after = choose_nested(figures)
    assert after.chosen[partition, fold] == before
    chosen = [[figures[c, r, f] for f, c in enumerate(row)] for r, row in enumerate(after.chosen)]
    assert np.isclose(after.judged, np.mean(chosen))


@given(st.lists(st.integers(0, 3), min_size=6, max_size=30), st.integers(2, 5))
def test_every_fold_gets_its_share_of_each_stratum(strata: list[int], folds: int) -> None:
    dealt = deal(np.array(strata), folds, partitions=3)
    for partition in dealt:
        for stratum in set(strata):
            sizes = np.bincount(partition[np.array(strata) == stratum], minlength=folds)
            assert sizes.max() - sizes.min() <= 1


@pytest.fixture(scope="module")
def chosen(run_vlmad, two_categories: Path, small: list[str], tmp_path_factory) -> Path:
    """A grid with spare good images and three draws of references, chosen by image AUROC."""
    folder = tmp_path_factory.mktemp("choice")
    shots = ["--shots", "0,1", "--seeds", "2", "--spare-good", "--category", "bolt"]
    ran = run_vlmad("grid", two_categories, *WHAT, *small, *shots, "--out", "out", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (folder / "stdout").write_text(ran.stdout)
    return folder


def test_the_choice_is_a_document_a_sentence_and_a_command_that_runs(
    chosen: Path, run_vlmad, two_categories: Path
) -> None:
    document = ChoiceDocument.read(chosen / "out" / "chosen.json")
    places = {(each.detector, each.shots): each for each in document.candidates}
    assert set(places) == {(name, shots) for name in ("window", "dense") for shots in (0, 1)}
    assert places[document.chosen, document.shots].figure == max(e.figure for e in places.values())
    assert sum(each.times for each in places.values()) == document.folds * document.partitions
    assert document.optimistic.value == places[document.chosen, document.shots].figure
    assert document.honest.value <= document.optimistic.value
    *_, sentence, command = [
        line for line in (chosen / "stdout").read_text().splitlines() if "equal by" not in line
    ]
    assert f"{document.honest.value:.3f}" in sentence
    assert sentence.startswith(f"Chosen by nested folds: {document.chosen}, ")
    assert shlex.split(command) == document.command
    test, good = (str(two_categories / "bolt" / part) for part in ("test/spot", "train/good"))
    words = [{"photos/": test, "good/": good}.get(word, word) for word in document.command]
    ran = run_vlmad(*words[1:], "--out", "run", cwd=chosen)
    assert ran.returncode == 0, ran.stderr


def by_loops(results: Results, name: str, shots: int, folds: dict[str, np.ndarray]) -> np.ndarray:
    """Return image AUROC on each fold by plain loops, on average over seeds."""
    found = np.zeros((PARTITIONS, 4))
    cells = results.cells(detector=name, shots=shots)
    for cell in cells:
        scored = list(results.scored(cell))
        for partition, fold in np.ndindex(found.shape):
            own = [s for s in scored if folds[str(s.sample.image)][partition] == fold]
            labels = [s.sample.anomalous for s in own]
            metric = image_metrics(labels, [s.row.score for s in own])["image_auroc"]
            found[partition, fold] += metric.value / len(cells)
    return found


def test_figures_on_folds_are_those_of_plain_loops(chosen: Path) -> None:
    results = read_results(chosen / "out")
    judging = judge(results, "image_auroc")
    cells = results.document.cells
    seen = [{str(s.sample.image) for s in results.scored(cell)} for cell in cells]
    truth = {str(s.image): s.anomalous for s in results.samples}
    strata = [2 * truth[name] + any(name not in one for one in seen) for name in truth]
    folds = dict(zip(truth, deal(np.array(strata), 4).T, strict=True))
    for place, figures in zip(judging.candidates, judging.figures, strict=True):
        np.testing.assert_allclose(figures, by_loops(results, *place, folds))


def test_choosing_afterwards_scores_nothing_again(
    chosen: Path, run_vlmad, two_categories: Path, small: list[str]
) -> None:
    stored = {p: p.stat().st_mtime_ns for p in (chosen / "out" / "cells").rglob("*") if p.is_file()}
    shots = ["--shots", "0,1", "--seeds", "2", "--spare-good", "--category", "bolt"]
    words = [*WHAT, *small, *shots, "--by", "pixel_auroc", "--quiet", "--out", "out"]
    ran = run_vlmad("grid", two_categories, *words, cwd=chosen)
    assert ran.returncode == 0, ran.stderr
    assert not ran.stdout
    again = {p: p.stat().st_mtime_ns for p in (chosen / "out" / "cells").rglob("*") if p.is_file()}
    assert again == stored
    assert ChoiceDocument.read(chosen / "out" / "chosen.json").metric == "pixel_auroc"


def test_a_combination_that_did_not_score_every_image_is_left_out(chosen: Path) -> None:
    results = read_results(chosen / "out")
    first, *others = results.document.cells
    cells = [first.model_copy(update={"failed": 1}), *others]
    document = results.document.model_copy(update={"cells": cells})
    judging = judge(replace(results, document=document), "image_auroc")
    assert judging.left_out == {f"{first.detector}, zero-shot": "it did not score every image"}
    assert (first.detector, 0) not in judging.candidates
    assert len(judging.candidates) == 3


@pytest.mark.slow
def test_views_of_a_part_stay_together(
    run_vlmad, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    test = two_categories / "bolt" / "test"
    names = [f"{kind}/{number:03d}.png" for kind in ("good", "spot") for number in range(4)]
    lines = [f"{test / name},{place // 2}" for place, name in enumerate(names)]
    (tmp_path / "parts.csv").write_text("\n".join(["image,part", *lines]))
    words = ["--category", "bolt", "--group", f"table:{tmp_path / 'parts.csv'}", "--out", "out"]
    ran = run_vlmad("grid", two_categories, *WHAT, *small, *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    document = ChoiceDocument.read(tmp_path / "out" / "chosen.json")
    assert document.folds == 2  # two good parts and two bad ones, of two views each
    judging = judge(read_results(tmp_path / "out"), "image_auroc")
    assert {*judging.figures.ravel()} <= {0.0, 0.5, 1.0}  # a fold holds one good and one bad part


@pytest.mark.slow
def test_without_masks_nothing_is_chosen_by_pixels(
    run_vlmad, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    words = [*WHAT, "--category", "nut", "--by", "pixel_auroc", *small]
    ran = run_vlmad("grid", two_categories, *words, cwd=tmp_path)
    assert ran.returncode == 2
    assert "nut: pixel AUROC is undefined on a fold" in " ".join(ran.stderr.split())


def test_what_cannot_be_chosen_by_is_refused_before_anything_is_scored(
    run_vlmad, two_categories: Path, tmp_path: Path
) -> None:
    for words, why in (
        (["--by", "pixel_auroc"], "add --choose"),
        (["--choose", "--by", "auroc"], "--by takes image_auroc, pixel_auroc, pixel_aupro_30"),
    ):
        ran = run_vlmad("grid", two_categories, *words, cwd=tmp_path)
        assert ran.returncode == 2
        assert why in " ".join(ran.stderr.split())
