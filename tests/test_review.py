"""What can be learned from verdicts: the parts of `vlmad review`, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, equal
from vlmad.streaming import encode_together
from vlmad_winclip.prompts import LISTS, PromptList, read_prompt_list

from vlmad import Features, Prediction, TextEmbeddings, load_detector
from vlmad.detector import Detector
from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.images import Source
from vlmad.testing import backbones
from vlmad_calibration.rules import Rule
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_review.decisions import Decision, Name, Proposal, decide, parse_adopted
from vlmad_review.folds import make_folds, new_references
from vlmad_review.gains import (
    Estimate,
    Figures,
    Gains,
    Measured,
    confidence_of_each,
    f1_replicates,
)
from vlmad_review.material import Material, Reviewed, Selection, select
from vlmad_review.page import Told, markdown
from vlmad_review.proposals import Findings, mostly_mistakes
from vlmad_review.states import changes_of, texts_of, to_toml
from vlmad_review.trials import Outcome, Trials
from vlmad_review.verdicts import Judged, Verdicts
from vlmad_run.repeating import Earlier
from vlmad_run.rows import Row
from vlmad_run.thresholds import Threshold

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

# which images are of use


def test_a_picture_that_was_saved_again_is_the_same_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    names = ("a.png", "again.png", "other.png", "reference.tif", "reference.png")
    for name, number in zip(names, (0, 0, 1, 1, 1), strict=True):
        Image.fromarray(pixels[number]).save(tmp_path / name)
    Image.fromarray(pixels[0]).save(tmp_path / "again.png", compress_level=0)
    hashes = {name: digest(tmp_path / name) for name in names}
    assert hashes["a.png"] != hashes["again.png"]
    run = Earlier(tmp_path, {"identity": {}, "folder": str(tmp_path)})

    def chosen(*said: tuple[str, str], references: Sequence[str] = ()) -> Selection:
        judged = [
            Judged(Row(name, score=0.5, sha256=hashes[name]), word, line)  # type: ignore[arg-type]
            for line, (name, word) in enumerate(said, 2)
        ]
        fitted = [(str(tmp_path / name), hashes[name]) for name in references]
        return select(Verdicts(tuple(judged), 0), run, fitted)

    found = chosen(("a.png", "normal"), ("again.png", "normal"), ("other.png", "normal"))
    assert [image.path.name for image in found.images] == ["a.png", "other.png"]
    assert found.of_no_use == [f"{tmp_path / 'again.png'} is the same image as a.png"]
    found = chosen(("a.png", "normal"), ("other.png", "normal"), references=["reference.tif"])
    assert found.of_no_use == [f"{tmp_path / 'other.png'} is a reference of the run already"]
    with pytest.raises(InputError, match=r"a.png is normal by line 2, and .* by line 3: keep one"):
        chosen(("a.png", "normal"), ("again.png", "anomalous"))


# folds and memories

SIDES = st.lists(st.booleans(), min_size=2, max_size=40)


@given(sides=SIDES, seed=st.integers(0, 99))
def test_folds_part_the_images_and_share_out_both_classes_evenly(
    sides: list[bool], seed: int
) -> None:
    anomalous = np.array(sides)
    folds = make_folds(anomalous, seed)
    counts = [int((anomalous == side).sum()) for side in (False, True)]
    if folds is None:
        assert 1 in counts
        return
    joined = np.concatenate([folds.inside(fold) for fold in range(folds.count)])
    assert sorted(joined.tolist()) == list(range(len(sides)))
    for side in (False, True):
        shares = [int((anomalous[folds.inside(k)] == side).sum()) for k in range(folds.count)]
        assert max(shares) - min(shares) <= 1
    again = make_folds(anomalous, seed)
    assert again is not None
    assert np.array_equal(again.of, folds.of)


@given(sides=SIDES, seed=st.integers(0, 9), most=st.integers(1, 50), data=st.data())
def test_references_are_normal_images_of_other_folds_with_the_highest_scores(
    sides: list[bool], seed: int, most: int, data: st.DataObject
) -> None:
    anomalous = np.array(sides)
    folds = make_folds(anomalous, seed)
    if folds is None:
        return
    out = data.draw(st.sets(st.integers(0, folds.count - 1), min_size=1, max_size=2))
    scores = np.random.default_rng(seed).random(len(sides))
    allowed = folds.outside(*out)
    chosen = new_references(anomalous, allowed, scores, most)
    assert not set(folds.of[chosen]) & out
    assert not anomalous[chosen].any()
    others = np.setdiff1d(np.flatnonzero(allowed & ~anomalous), chosen)
    assert len(chosen) == min(most, int((allowed & ~anomalous).sum()))
    assert not len(others) or scores[others].max() <= scores[chosen].min()


def encoded(detector: Detector, paths: Sequence[Path]) -> tuple[Features, ...]:
    sources = [Source(str(path), path) for path in paths]
    return tuple(own[detector] for own in encode_together([detector], sources, 8))


class Watched(Detector):
    """A detector that notes which images each score was given by."""

    def watch(self, features: Sequence[Features]) -> None:
        self.numbers = {id(each): number for number, each in enumerate(features)}
        self.inside: dict[int, set[int]] = {}
        self.seen: list[tuple[list[Tensor], set[int]]] = []

    def memory_of(self, references: Sequence[Features]) -> Mapping[str, Tensor]:
        memory = super().memory_of(references)
        self.inside[id(memory)] = {self.numbers[id(each)] for each in references}
        self.kept = [*getattr(self, "kept", []), memory]  # or an id comes twice
        return memory

    def score_by(
        self, features: Features, text: TextEmbeddings | None, memory: Any
    ) -> Prediction:
        self.seen.append((list(features.image), self.inside.get(id(memory), set())))
        return super().score_by(features, text, memory)


@pytest.fixture(scope="module")
def small(two_layer_file: Path) -> Callable[..., Detector]:
    """A function that makes WinCLIP on a backbone of two layers."""
    model = Path(backbones.__file__).with_name("two_layer.json")

    def make(**options: Any) -> Detector:
        chosen = {"backbone": f"openclip:{model}", "weights": two_layer_file, "keep": "nothing"}
        return load_detector("winclip", **{**chosen, **options})

    return make


@pytest.fixture(scope="module")
def material(
    tmp_path_factory: pytest.TempPathFactory, small: Callable[..., Detector]
) -> Material:
    """Twelve images of noise, seven of them called normal, and their zero-shot detector."""
    folder, rng = tmp_path_factory.mktemp("review"), np.random.default_rng(0)
    paths = [folder / f"{index:02d}.png" for index in range(12)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    detector = Watched(small().assembly, keep="nothing")
    features = encoded(detector, paths)
    detector.watch(features)
    images = [Reviewed(path, f"{i:064x}", i >= 7, 0.0) for i, path in enumerate(paths)]
    return Material(detector, "part", None, tuple(images), features, None, (), ())


def trials_of(material: Material, texts: Sequence[TextEmbeddings] = (), most: int = 50) -> Trials:
    folds = make_folds(material.anomalous, 0)
    return Trials(material, texts, folds, (Rule.f1, None), most, lambda what, done, total: None)


@pytest.mark.slow
def test_no_image_is_judged_by_a_memory_that_holds_it_or_its_fold(material: Material) -> None:
    trials = trials_of(material)
    detector = material.detector
    assert isinstance(detector, Watched)
    detector.seen.clear()
    trials.outcome(references=True, states=False)
    trials.final_scores(references=True, change=0)
    folds = trials.folds
    assert folds is not None
    with_memory = 0
    for embeddings, inside in detector.seen:
        for embedding in embeddings:
            [own] = [i for i, f in enumerate(material.features) if equal(f.image[0], embedding)]
            assert folds.of[own] not in {folds.of[number] for number in inside}
            assert inside <= set(range(7))
            with_memory += bool(inside)
    assert with_memory >= 5 * 12


@pytest.mark.slow
def test_scores_out_of_fold_are_those_of_a_detector_fitted_on_the_other_folds(
    material: Material, small: Callable[..., Detector]
) -> None:
    trials = trials_of(material)
    outcome = trials.outcome(references=True, states=False)
    folds = trials.folds
    assert folds is not None
    for fold in range(folds.count):
        others = [i for i in range(7) if folds.of[i] != fold]
        plain = small()
        plain.fit([material.images[i].path for i in others])
        inside = folds.inside(fold)
        results = plain.predict([material.images[i].path for i in inside], "part")
        assert outcome.scores[inside] == pytest.approx([r.score for r in results], abs=1e-6)


def test_the_threshold_of_a_fold_does_not_hang_on_the_images_of_the_fold(
    material: Material,
) -> None:
    one, folds = trials_of(material), make_folds(material.anomalous, 0)
    assert folds is not None
    fold = 2
    swapped = material.anomalous
    inside = folds.inside(fold)
    swapped[inside] = ~swapped[inside]
    other = trials_of(material)
    other.anomalous = swapped
    kept = {"references": False, "states": False}
    assert np.array_equal(one.outcome(**kept).called[inside], other.outcome(**kept).called[inside])


def test_words_are_chosen_without_the_fold_that_they_are_judged_on(material: Material) -> None:
    changes = changes_of(LISTS["comparison"], anomalous=["scratched {}"])
    texts = texts_of(material.detector, "part", changes)
    one, other = trials_of(material, texts), trials_of(material, texts)
    assert one.folds is not None
    inside = one.folds.inside(1)
    swapped = other.anomalous
    swapped[inside] = ~swapped[inside]
    assert one.chosen_change(1) == other.chosen_change(1)
    area = [image_metrics(one.anomalous, one.as_it_is(c))["image_auroc"].value for c in range(8)]
    assert one.chosen_change() == int(np.argmax(np.array(area, dtype=float)))


# words


def test_each_state_is_left_out_once_and_given_ones_are_added() -> None:
    changes = changes_of(LISTS["paper22"], ["polished {}"], ["scratched {}"])
    assert len(changes) == 7 + 4 + 2 + 1
    assert changes[0].words == "without the normal state '{}'"
    assert changes[-1].prompts.normal_states[-1] == "polished {}"
    assert changes[-1].prompts.anomalous_states[-1] == "scratched {}"
    single = PromptList(("{}",), ("broken {}",), ("a {}.",))
    assert changes_of(single) == []


@pytest.mark.parametrize("state", ["scratched", "{} and {}", "damaged {}"])
def test_states_that_are_malformed_or_there_already_are_refused(state: str) -> None:
    with pytest.raises(InputError, match=r"exactly one|is there already: leave it out"):
        changes_of(LISTS["paper22"], anomalous=[state])


@pytest.mark.slow
def test_embeddings_of_changed_words_are_those_of_a_detector_with_these_words(
    material: Material, tmp_path: Path, small: Callable[..., Detector]
) -> None:
    changes = changes_of(LISTS["paper22"], ["polished {}"], ["scratched {}"])
    texts = texts_of(material.detector, "part", changes)
    for change, text in list(zip(changes, texts, strict=True))[::6]:
        file = tmp_path / "states.toml"
        file.write_text(to_toml(change.prompts), encoding="utf-8")
        other = small(options={"prompts": {"file": file}}).text("part", None)
        assert other is not None
        assert text.sentences == other.sentences
        assert equal(text.anomalous, other.anomalous)
        assert text.embeddings.numpy() == pytest.approx(other.embeddings.numpy(), abs=1e-5)


STATE = st.text(max_size=12).map(lambda t: t.replace("{", "").replace("}", "") + "{}")


@REUSE
@given(normal=st.lists(STATE, min_size=1), anomalous=st.lists(STATE, min_size=1))
def test_a_written_prompt_list_is_read_back(
    tmp_path: Path, normal: list[str], anomalous: list[str]
) -> None:
    prompts = PromptList(tuple(normal), tuple(anomalous), ("a {}.",))
    file = tmp_path / "states.toml"
    file.write_text(to_toml(prompts), encoding="utf-8")
    assert read_prompt_list(file) == prompts


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
        kept = everyone.copy()
        kept[index] = False
        if (anomalous & kept).any():
            assert found.without[index] == pytest.approx(f1(kept))


def test_a_gain_is_the_difference_and_a_detector_does_not_gain_over_itself() -> None:
    rng = np.random.default_rng(0)
    anomalous = np.arange(60) >= 30
    weak, strong = rng.normal(anomalous * 0.3), rng.normal(anomalous * 3.0)
    one = Measured(anomalous, Outcome(weak, weak > 0.5), 0)
    other = Measured(anomalous, Outcome(strong, strong > 1.5), 0)
    gains = other.over(one)
    assert gains.auroc.value == pytest.approx(other.figures.auroc.value - one.figures.auroc.value)
    assert gains.auroc.low < gains.auroc.value < gains.auroc.high
    assert gains.auroc.is_gain
    assert gains.f1.is_gain
    none = one.over(Measured(anomalous, Outcome(weak, weak > 0.5), 0))
    assert none == Gains(Estimate(0, 0, 0), Estimate(0, 0, 0))
    assert not none.auroc.is_gain


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
    material: Material, called: str, anomalous: str, scored: int, picked: bool
) -> None:
    images = [
        Reviewed(Path("x"), "", truth == "1", float(said))
        for said, truth in zip(called, anomalous, strict=True)
    ]
    chosen = replace(material, images=tuple(images), threshold=Threshold(0.5), scored=scored)
    assert bool(mostly_mistakes(chosen)) == picked
    assert not mostly_mistakes(replace(chosen, threshold=None))


def test_intervals_of_several_gains_are_wider_and_hold_together() -> None:
    rng = np.random.default_rng(0)
    anomalous = np.arange(40) >= 20
    one, other = rng.normal(anomalous * 1.0), rng.normal(anomalous * 2.0)
    before = Measured(anomalous, Outcome(one, one > 0.5), 0)
    after = Measured(anomalous, Outcome(other, other > 1.0), 0)
    alone, together = (after.over(before, confidence_of_each(n)) for n in (1, 4))
    assert together.auroc.low < alone.auroc.low < alone.auroc.high < together.auroc.high
    assert together.auroc.value == alone.auroc.value
    assert confidence_of_each(1) == 0.95


# decisions

GAIN, NONE = Estimate(0.1, 0.05, 0.2), Estimate(0.1, 0.0, 0.2)


def proposals(references: Estimate, threshold: Estimate, cannot: str = "") -> list[Proposal]:
    return [
        Proposal(Name.references, "r", "", None, Gains(references, NONE)),
        Proposal(Name.threshold, "t", "", None, Gains(NONE, threshold)),
        Proposal(Name.states, "s", cannot, None, Gains(NONE, GAIN)),
    ]


def adopted(*given: Any, asked: str | None = None, no_threshold: bool = False) -> set[str]:
    found = decide(proposals(*given), parse_adopted(asked), no_threshold, "")
    return {name for name, decision in found.items() if decision.adopted}


def test_only_what_gains_with_its_whole_interval_is_adopted() -> None:
    assert adopted(NONE, NONE) == set()
    assert adopted(NONE, GAIN) == {"threshold"}
    assert adopted(NONE, NONE, no_threshold=True) == {"threshold"}


def test_a_gain_without_an_interval_counts_only_with_images_enough() -> None:
    same = Estimate(0.4, 0.4, 0.4)

    def found(images: int) -> Decision:
        figures = Figures(same, same, 0, 0, images, 20)
        gains = Gains(NONE, same)
        proposal = Proposal(Name.threshold, "t", "", figures, gains)
        return decide([proposal], None, False, "")[Name.threshold]

    assert found(8).adopted
    assert found(7) == Decision(
        False, "fewer than 8 images of a class give its gain in F1 no interval"
    )


def test_a_changed_detector_takes_a_new_threshold() -> None:
    assert adopted(GAIN, NONE) == {"references", "threshold"}
    assert adopted(NONE, NONE, asked="states") == {"states", "threshold"}


def test_what_is_asked_for_is_adopted_and_nothing_else() -> None:
    assert adopted(GAIN, GAIN, asked="threshold") == {"threshold"}
    assert adopted(NONE, NONE, "no words", asked="all") == {"references", "threshold"}
    with pytest.raises(InputError, match="--adopt states cannot be: no words"):
        adopted(NONE, NONE, "no words", asked="states")
    for wrong in ("", "words", "references,all"):
        with pytest.raises(InputError, match="--adopt takes references, threshold, states or all"):
            parse_adopted(wrong)


# what the core offers for it


@pytest.mark.slow
def test_encoding_remembering_and_scoring_one_by_one_is_fitting_and_predicting(
    photos: Path, small: Callable[..., Detector]
) -> None:
    paths = sorted(photos.iterdir())
    plain, fitted = small(), small()
    fitted.fit(paths[:2])
    each = encoded(plain, paths)
    memory = plain.memory_of(each[:2])
    assert plain.memory is None
    text = plain.text("nut", None)
    scores = [float(plain.score_by(one, text, memory).score) for one in each]
    expected = [result.score for result in fitted.predict(paths, "nut")]
    assert scores == pytest.approx(expected, abs=1e-6)


def test_images_cut_into_tiles_are_judged_by_their_highest_tile(
    photos: Path, small: Callable[..., Detector]
) -> None:
    paths = sorted(photos.iterdir())
    detector = small(resize="tiles:1")
    features = encoded(detector, paths)
    assert len(features[0]) > 1
    images = [Reviewed(path, "", i > 2, 0.0) for i, path in enumerate(paths)]
    cut = Material(detector, "nut", Threshold(0.5), tuple(images), features, None, (), ())
    expected = [result.score for result in detector.predict(paths, "nut")]
    assert trials_of(cut).as_it_is() == pytest.approx(expected, abs=1e-6)


def test_names_on_the_page_are_neither_markup_nor_lines_of_their_own(material: Material) -> None:
    odd = replace(material.images[0], path=Path("*a*\n# b<i>.png"))
    named = replace(material, images=(odd, *material.images[1:]))
    findings = Findings(Rule.f1, None, 0, None, (), {}, new_references=(0,), unsaid="too few")
    selection = Selection(gone=["[x](y)\x1b"])
    page = markdown(Told("run_1", named, selection, 0, findings))
    assert "- \\*a\\* \\# b\\<i\\>.png (0)" in page
    assert "images of run\\_1." in page
    assert "left out: \\[x\\](y)\\\\x1b." in page
