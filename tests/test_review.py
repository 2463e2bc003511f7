"""What can be learned from verdicts: the parts of `vlmad review`, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, equal

from vlmad import Features, Prediction, load_detector
from vlmad.detector import Detector
from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.testing import TWO_LAYERS
from vlmad_calibration.rules import Rule
from vlmad_groups.part_rows import PartRow
from vlmad_memory.misses import CELLS
from vlmad_review._keeping import page
from vlmad_review._material import ReviewMaterial, find_doubles, whole_parts
from vlmad_review._proposals import mostly_mistakes, propose, settle_rule
from vlmad_review._trials import MOST, Lessons, Trials
from vlmad_review._verdicts import PersonalVerdict
from vlmad_review.gains import HeldOut, confidence_of_each, f1_replicates, gain, make_folds
from vlmad_review.review_document import Adoptable
from vlmad_run.memory_documents import Reference
from vlmad_run.references import Assembled
from vlmad_run.rows import ScoreRow
from vlmad_run.thresholds import Threshold

from .conftest import features_of_maps


def verdict(path: Path, anomalous: bool, score: float = 0.0, line: int = 2) -> PersonalVerdict:
    sha256 = digest(path) if path.exists() else path.name
    row = ScoreRow.model_construct(image=path.name, score=score, sha256=sha256, status="done")
    return PersonalVerdict(row, path, "anomalous" if anomalous else "normal", line)


# which images are of use


def test_a_picture_that_was_saved_again_is_the_same_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    names = ("a.png", "again.png", "other.png", "reference.tif")
    for name, number in zip(names, (0, 0, 1, 1), strict=True):
        Image.fromarray(pixels[number]).save(tmp_path / name)
    Image.fromarray(pixels[0]).save(tmp_path / "again.png", compress_level=0)
    first, again, other, reference = (tmp_path / name for name in names)
    known = [Reference(path=str(reference), sha256=digest(reference))]
    assert find_doubles([verdict(path, False) for path in (first, again, other)], known) == {
        again: f"{again} is the same image as a.png",
        other: f"{other} is in the memory of the run already",
    }
    with pytest.raises(InputError, match=r"a.png is normal by line 2, and .* by line 3: keep one"):
        find_doubles([verdict(first, False), verdict(again, True, line=3)], [])


# folds and memories

SIDES = st.lists(st.booleans(), min_size=2, max_size=40)


@given(sides=SIDES, seed=st.integers(0, 99))
def test_folds_part_the_images_and_share_out_both_classes_evenly(
    sides: list[bool], seed: int
) -> None:
    anomalous = np.array(sides)
    folds = make_folds(anomalous, seed)
    if folds is None:
        assert 1 in (sum(sides), len(sides) - sum(sides))
        return
    for side in (False, True):
        shares = np.bincount(folds[anomalous == side], minlength=max(folds) + 1)
        assert max(shares) - min(shares) <= 1
    assert np.array_equal(make_folds(anomalous, seed), folds)


class Watched(Detector):
    """A detector that notes which images each score was given by."""

    def watch(self, features: Sequence[Features]) -> None:
        self.numbers = {id(each): number for number, each in enumerate(features)}
        self.inside: dict[int, set[int]] = {}
        self.scored: list[tuple[Tensor, set[int]]] = []
        self.kept: list[Any] = []  # or an id comes twice

    def memory_of(self, references: Sequence[Features]) -> Mapping[str, Tensor]:
        memory = super().memory_of(references)
        self.inside[id(memory)] = {self.numbers[id(each)] for each in references}
        self.kept.append(memory)
        return memory

    def score(
        self,
        features: Features,
        class_name: str = "object",
        memory: Mapping[str, Tensor] | None = None,
    ) -> Prediction:
        self.scored.append((features.image[0], self.inside.get(id(memory), set())))
        return super().score(features, class_name, memory)


@pytest.fixture(scope="module")
def small(two_layer_file: Path) -> Callable[..., Detector]:
    """A function that makes WinCLIP on a backbone of two layers."""
    weights = {"backbone": {"weights": two_layer_file}}
    return lambda: load_detector("winclip", backbone=f"openclip:{TWO_LAYERS}", options=weights)


def material_of(
    detector: Detector, images: Sequence[PersonalVerdict], threshold: float | None = None
) -> ReviewMaterial:
    limit = None if threshold is None else Threshold(value=threshold)
    run: Any = SimpleNamespace(
        folder=Path("run"), threshold=limit, rows=lambda: [], parts=lambda: []
    )
    features = [detector.encode_references([each.path])[0] for each in images if detector]
    return ReviewMaterial(run, Assembled(detector, "part", []), images, features)


@pytest.fixture(scope="module")
def material(
    tmp_path_factory: pytest.TempPathFactory, small: Callable[..., Detector]
) -> ReviewMaterial:
    """Twelve images of noise, seven of them called normal, and their zero-shot detector."""
    folder, rng = tmp_path_factory.mktemp("review"), np.random.default_rng(0)
    paths = [folder / f"{index:02d}.png" for index in range(12)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    detector = Watched(small().assembly)
    found = material_of(detector, [verdict(path, i >= 7) for i, path in enumerate(paths)])
    detector.watch(found.features)
    return found


@pytest.mark.slow
def test_no_image_is_judged_by_a_memory_that_holds_it_or_its_fold(
    material: ReviewMaterial,
) -> None:
    trials, detector = Trials(material, Rule.f1, None), material.assembled.detector
    assert isinstance(detector, Watched)
    trials.held_out(Lessons(references=True))
    assert trials.folds is not None
    with_memory = 0
    for embedding, inside in detector.scored:
        [own] = [i for i, f in enumerate(material.features) if equal(f.image[0], embedding)]
        assert trials.folds[own] not in {trials.folds[number] for number in inside}
        assert inside <= set(range(7))
        with_memory += bool(inside)
    assert with_memory == 5 * 12


@pytest.mark.parametrize(("known", "new"), [(1, [0]), (1, [0, 1]), (0, [1])])
def test_a_memory_of_reviewed_images_is_the_one_that_fitting_them_gives(
    known: int, new: list[int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    weights = {"backbone": {"weights": "random:0"}}
    detector = load_detector("gaussian", backbone=f"openclip:{TWO_LAYERS}", options=weights)
    material = material_of(detector, [verdict(path, False) for path in paths[1:]])
    references = {path: next(detector.encode([path])) for path in paths[:known]}
    memory = replace(material, references=references).memory_with(new)
    fitted = detector.fit([*references, *(paths[1 + index] for index in new)]).memory
    assert memory is not None
    assert fitted is not None
    assert memory.keys() == fitted.keys()
    assert all(equal(memory[name], fitted[name]) for name in memory)


def fake(
    scores: Sequence[float], anomalous: Sequence[bool], unreviewed: int = 0, **more: Any
) -> Trials:
    """Return trials of images of which only the scores are known; references change nothing."""
    images = [
        verdict(Path(f"{i}"), a, s) for i, (a, s) in enumerate(zip(anomalous, scores, strict=True))
    ]
    detector: Any = None
    more.setdefault("no_misses", "none are learned from")
    material = replace(material_of(detector, images, more.pop("threshold", None)), **more)
    material.__dict__["unreviewed"] = unreviewed
    trials = Trials(material, *settle_rule(material, None, None))
    trials.__dict__["as_it_is"] = np.array(scores, dtype=float)
    for learned in (Lessons(True), Lessons(False, True), Lessons(True, True)):
        trials.tables[learned] = np.tile(trials.as_it_is, (trials.count, 1))
    return trials


@given(sides=SIDES, left_out=st.sets(st.integers(0, 4), max_size=2))
def test_references_are_normal_images_of_other_folds_with_the_highest_scores(
    sides: list[bool], left_out: set[int]
) -> None:
    trials = fake(np.random.default_rng(0).random(len(sides)).tolist(), sides)
    if trials.folds is None:
        return
    chosen = trials.new_references(*left_out)
    allowed = ~np.array(sides) & ~np.isin(trials.folds, list(left_out))
    assert set(chosen) == set(np.flatnonzero(allowed))
    assert len(chosen) <= MOST
    assert sorted(trials.as_it_is[chosen], reverse=True) == trials.as_it_is[chosen].tolist()
    many = fake(list(range(MOST + 9)), [False] * (MOST + 9))
    assert set(many.new_references()) == set(range(9, MOST + 9))


def test_the_threshold_of_a_fold_does_not_hang_on_the_images_of_the_fold() -> None:
    scores = np.random.default_rng(0).random(30).tolist()
    truth = np.arange(30) >= 15
    one = fake(scores, truth.tolist())
    inside = one.folds == 2
    other = fake(scores, np.where(inside, ~truth, truth).tolist())
    other.__dict__["folds"] = one.folds
    assert (called_by(one)[inside] == called_by(other)[inside]).all()


VIEWS = [("1", "ok", ["0", "1"]), ("2", "anomalous", ["2", "3"]), ("3", "ok", ["4", "5"])]


def part(name: str, verdict: Any, views: list[str], **more: Any) -> PartRow:
    return PartRow(part=name, verdict=verdict, status="whole", views=views, **more)


def test_parts_count_whose_views_all_have_a_verdict() -> None:
    images = [verdict(Path(name), name == "2") for name in "01243"]
    lost = PartRow(part="9", verdict="unknown", status="not whole", reason="a view", views=["8"])
    kept, parts, why = whole_parts([*images, verdict(Path("8"), False)], [
        *(part(*each) for each in VIEWS), lost, part("none of them", "ok", ["7"]),
    ])  # fmt: skip
    assert [each.path.name for each in kept] == ["0", "1", "2", "3"]
    assert parts == [[0, 1], [2, 3]]
    assert why == ["part 3: 1 of 2 views have a verdict", "part 9: a view"]
    assert whole_parts(images, []) == (images, [], [])


def test_a_part_is_as_bad_as_its_worst_view_and_all_its_views_are_of_one_fold() -> None:
    scores = [*np.linspace(0, 0.3, 9), *np.linspace(0.7, 1, 9)]
    bad = [False] * 9 + [True] * 9
    pairs = [(0.0, score) for score in scores]
    trials = fake(
        [each for pair in pairs for each in pair],
        [each for side in bad for each in (False, side)],
        threshold=0.2,
        parts=[(2 * n, 2 * n + 1) for n in range(18)],
    )
    assert trials.folds is not None
    assert (trials.folds[::2] == trials.folds[1::2]).all()
    found, single = propose(trials, None), propose(fake(scores, bad, threshold=0.2), None)
    assert (found.normal, found.anomalous, found.of_parts) == (9, 9, True)
    assert found.figures["as it is"] == single.figures["as it is"]
    assert found.gains[0] == single.gains[0]
    assert found.new_threshold == single.new_threshold
    assert "9 normal and 9 anomalous parts of run" in page(found)


def called_by(trials: Trials) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vlmad_review._trials.HeldOut", lambda anomalous, scores, called: called)
        called: Any = trials.held_out(Lessons())
    return np.asarray(called)


# gains


@given(
    sides=st.lists(st.booleans(), min_size=4, max_size=30).filter(lambda s: 2 <= sum(s) < len(s)),
    seed=st.integers(0, 99),
)
def test_f1_is_that_of_counts_also_with_each_image_left_out(sides: list[bool], seed: int) -> None:
    anomalous = np.array(sides)
    called = np.random.default_rng(seed).random(len(sides)) < 0.5

    def f1(kept: np.ndarray) -> float:
        found, errors = (called & anomalous)[kept].sum(), (called != anomalous)[kept].sum()
        return float(2 * found / (2 * found + errors))

    found = f1_replicates(anomalous, called, 0)
    everyone = np.ones(len(sides), dtype=bool)
    assert found.estimate == f1(everyone)
    for index in range(len(sides)):
        kept = np.arange(len(sides)) != index
        if (anomalous & kept).any():
            assert found.without[index] == pytest.approx(f1(kept))


def test_a_gain_is_the_difference_and_a_detector_does_not_gain_over_itself() -> None:
    rng = np.random.default_rng(0)
    anomalous = np.arange(60) >= 30
    weak, strong = rng.normal(anomalous * 0.3), rng.normal(anomalous * 3.0)
    one, again = (HeldOut(anomalous, weak, weak > 0.5) for _ in range(2))
    other = HeldOut(anomalous, strong, strong > 1.5)
    gained = gain(other.auroc, one.auroc)
    assert gained.value == pytest.approx(other.figures.auroc.value - one.figures.auroc.value)
    assert 0 < gained.low < gained.value < gained.high
    assert gain(other.f1, one.f1).low > 0
    assert gain(again.auroc, one.auroc).text() == "0.000"
    wider = gain(other.auroc, one.auroc, confidence_of_each(2))
    assert wider.low < gained.low < gained.high < wider.high


# what is adopted


@pytest.mark.parametrize(
    ("called", "anomalous", "scored", "picked"),
    [
        ("1100", "0011", 9, True),  # mistakes only
        ("1100", "0011", 4, False),  # all there are
        ("111", "000", 9, True),  # false alarms only
        ("1111", "0011", 9, False),  # all alarms
        ("11100100", "00001111", 9, True),
        ("11000110", "00001111", 9, False),
    ],
)
def test_images_picked_as_mistakes_are_known_by_a_run_that_is_worse_than_a_guess(
    called: str, anomalous: str, scored: int, picked: bool
) -> None:
    truth, scores = [each == "1" for each in anomalous], list(map(float, called))
    unreviewed = max(0, scored - len(called))
    assert bool(mostly_mistakes(fake(scores, truth, unreviewed, threshold=0.5).material)) == picked
    assert not mostly_mistakes(fake(scores, truth, unreviewed).material)


def adopted(trials: Trials, asked: Adoptable | None = None) -> tuple[dict[str, bool], str, str]:
    found = propose(trials, asked)
    names = {"references": found.references.adopted, "threshold": found.threshold.adopted}
    return names, found.references.why, found.threshold.why


def separated(count: int, threshold: float | None, **more: Any) -> Trials:
    """Return trials of images that some threshold parts."""
    scores = [*np.linspace(0, 0.3, count), *np.linspace(0.7, 1, count)]
    return fake(scores, [False] * count + [True] * count, threshold=threshold, **more)


def test_only_what_gains_with_its_whole_interval_is_adopted() -> None:
    names, references, threshold = adopted(separated(9, 0.5))
    assert names == {"references": False, "threshold": False}
    assert references == "the interval of its gain in AUROC does not lie above 0"
    assert threshold == "the interval of its gain in F1 does not lie above 0"
    names, _, threshold = adopted(separated(9, 0.2))
    assert names == {"references": False, "threshold": True}
    assert threshold == "the interval of its gain in F1 lies above 0"
    names, _, threshold = adopted(separated(9, None))
    assert (names["threshold"], threshold) == (True, "the run had no threshold")


def test_a_gain_without_an_interval_counts_only_with_images_enough() -> None:
    assert adopted(separated(8, 0.0))[0]["threshold"]
    names, _, why = adopted(separated(7, 0.0))
    assert not names["threshold"]
    assert why == "fewer than 8 images of a class give its gain no interval"


def test_new_references_take_a_new_threshold() -> None:
    trials = separated(9, 0.5)
    trials.__dict__["as_it_is"] = np.random.default_rng(0).random(18)
    names, references, threshold = adopted(trials)
    assert names == {"references": True, "threshold": True}
    assert references == "the interval of its gain in AUROC lies above 0"
    assert "must be chosen anew" in threshold


def test_what_is_asked_for_is_adopted_and_nothing_else() -> None:
    assert adopted(separated(9, 0.5), Adoptable.references)[0] == {
        "references": True,
        "threshold": True,
    }
    assert adopted(separated(9, None), Adoptable.threshold)[0] == {
        "references": False,
        "threshold": True,
    }
    with pytest.raises(InputError, match="--adopt references cannot be: they are gone"):
        adopted(separated(9, 0.5, no_references="they are gone"), Adoptable.references)


def test_the_intervals_of_all_that_may_be_picked_hold_together() -> None:
    assert propose(separated(9, 0.5), None).confidence == pytest.approx(0.975)
    assert propose(separated(9, 0.5, no_references="gone"), None).confidence == 0.95


def test_mistakes_alone_teach_no_threshold_and_are_not_measured() -> None:
    trials = fake([0.9] * 4 + [0.1] * 4, [False] * 4 + [True] * 4, 5, threshold=0.5)
    found = propose(trials, None)
    assert found.not_measured.startswith("the run is wrong about 8 of the 8 reviewed images, more")
    assert found.threshold.why == found.not_measured
    assert adopted(trials)[0] == {"references": False, "threshold": False}
    assert adopted(trials, Adoptable.references)[0] == {"references": True, "threshold": False}
    with pytest.raises(InputError, match="--adopt threshold cannot be: the run is wrong about"):
        propose(trials, Adoptable.threshold)


def test_too_few_verdicts_are_not_measured_and_adopt_nothing_unasked() -> None:
    trials = fake([0.6] * 6, [False] * 4 + [True] * 2, 10, threshold=0.5)
    found = propose(trials, None)
    assert found.not_measured.startswith("4 normal and 2 anomalous images are too few")
    assert (found.figures, found.gains, found.unreviewed) == ({}, [], 10)
    assert adopted(trials)[0] == {"references": False, "threshold": False}
    text = page(found)
    assert "- Reviewed images are usually picked because they were hard" in text
    assert "- No image that the run called ok was reviewed, so that its misses are unkn" in text


def defects(strengths: Sequence[float], channels: Sequence[int]) -> Trials:
    """Return trials of drawn features: as many good ones as defects in some channels."""
    weights = {"backbone": {"weights": "random:0"}}
    detector = load_detector("gaussian", backbone=f"openclip:{TWO_LAYERS}", options=weights)
    generator = torch.Generator().manual_seed(0)

    def drawn() -> Tensor:
        return 4 + torch.randn(1, 32, 8, 8, generator=generator)

    references = features_of_maps({"one": torch.cat([drawn() for _ in range(6)])})
    detector.memory = detector.memory_of([references])
    features = [features_of_maps({"one": drawn()}) for _ in channels]
    for channel, strength in zip(channels, strengths, strict=True):
        maps = drawn()
        maps[:, channel, 2:4, 2:4] += strength
        features.append(features_of_maps({"one": maps}))
    count = len(channels)
    images = [verdict(Path(f"{i}"), i >= count) for i in range(2 * count)]
    run: Any = SimpleNamespace(
        folder=Path("run"), threshold=None, rows=lambda: [], parts=lambda: []
    )
    assembled = Assembled(detector, "part", [])
    return Trials(
        ReviewMaterial(run, assembled, images, features, no_references="-"), Rule.f1, None
    )


def test_misses_of_one_kind_are_learned_from_as_their_twins_are_found_better() -> None:
    trials = defects([4.0] * 15, [3] * 15)
    found = propose(trials, None)
    assert found.from_misses is not None
    assert found.from_misses.adopted, found.gains
    assert found.confidence == pytest.approx(0.975)
    assert len(found.new_misses) == 15
    assert found.figures["misses"].auroc.value > found.figures["threshold"].auroc.value + 0.05
    for fold in range(trials.count):
        rows = trials.memory(Lessons(misses=True), fold)
        own = trials.material.anomalous & (trials.folds == fold)
        assert rows is not None
        assert len(rows["one, missed"]) == CELLS * (15 - own.sum())


def test_misses_that_resemble_no_other_are_not_learned_from_unasked() -> None:
    trials = defects([4.0] * 15, range(15))
    found = propose(trials, None)
    assert found.from_misses is not None
    assert not found.from_misses.adopted
    assert found.new_misses == []
    asked = propose(trials, Adoptable.misses)
    assert [each.path for each in asked.new_misses] != []
    assert asked.threshold.adopted
    assert not asked.references.adopted
    with pytest.raises(InputError, match="--adopt misses cannot be: none are learned from"):
        propose(separated(9, 0.5), Adoptable.misses)


def test_false_alarms_alone_become_references_when_asked_for() -> None:
    trials = fake([0.1, 0.2, 0.3], [False] * 3)
    assert trials.rule is Rule.quantile
    assert adopted(trials, Adoptable.references)[0] == {"references": True, "threshold": True}
    with pytest.raises(InputError, match="the rule f1 needs images that you call anomalous"):
        settle_rule(trials.material, Rule.f1, None)


def test_a_single_reference_leaves_no_image_to_choose_a_threshold_by() -> None:
    names, _, why = adopted(fake([0.5], [False]), Adoptable.references)
    assert names == {"references": True, "threshold": False}
    assert why.startswith("too few images to choose one")
