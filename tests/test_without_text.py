"""Scorers that make no use of text: no prompts beside them, and what a command takes unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vlmad import Detector, load_detector
from vlmad.errors import IncompatiblePartsError
from vlmad.recipes import DEFAULT
from vlmad_run.choosing import DEFAULT_ALONE, DEFAULT_WITH_REFERENCES, ON_OTHERS, Choice

from .conftest import SMALL, Ended, vlmad

CLOTH = Path(__file__).parents[1] / "examples/samples/cloth"
GOOD = sorted((CLOTH / "train/good").glob("*.png"))[:2]
TESTED = sorted((CLOTH / "test").glob("*/000.png"))


def names(detector: Detector) -> dict[str, str]:
    return {kind: each.registration.name for kind, each in detector.assembly.parts.items()}


def scores(detector: Detector) -> list[float]:
    return [result.score for result in detector.predict(TESTED, "cloth")]


@pytest.mark.parametrize("references", [False, True])
def test_naming_prompts_and_extractor_stays_the_hybrid_score_for_score(references: bool) -> None:
    hybrid = load_detector("hybrid")
    named = Choice(prompt="learned", extractor="window").load(references)
    assert names(named) == names(hybrid)
    if references:
        hybrid.fit(GOOD)
        named.fit(GOOD)
    assert scores(named) == scores(hybrid)


@pytest.mark.parametrize(
    "choice",
    [
        Choice(scorer="harmonic"),
        Choice(prompt="plain"),
        Choice(settings=["scorer.temperature=0.01"]),
        Choice(detector="winclip"),
    ],
)
def test_naming_anything_of_text_takes_the_rest_from_the_recipe_of_text(choice: Choice) -> None:
    for references in (True, False, None):
        assert choice.load(references).assembly.recipe.name == DEFAULT


@pytest.mark.parametrize("choice", [Choice(), Choice(backbone="tiny")])
def test_with_references_and_nothing_named_references_decide(choice: Choice) -> None:
    assert choice.load(references=True).assembly.recipe.name == DEFAULT_WITH_REFERENCES


def test_on_another_backbone_its_own_middle_levels_are_compared() -> None:
    choice = Choice(backbone="timm:test_resnet", settings=["backbone.weights=random:0"])
    assert choice.load(references=True).assembly.recipe.name == ON_OTHERS


@pytest.mark.parametrize("choice", [Choice(), Choice(class_name="cloth"), Choice(resize="pad")])
def test_without_references_and_nothing_named_each_image_is_judged_by_itself(
    choice: Choice,
) -> None:
    assert choice.load(references=False).assembly.recipe.name == DEFAULT_ALONE
    assert choice.load(references=None).assembly.recipe.name == DEFAULT


def test_naming_a_backbone_or_words_stays_winclip_score_for_score() -> None:
    expected = scores(load_detector("winclip"))
    named = (Choice(backbone="tiny"), Choice(prompt="compositional"), Choice(scorer="harmonic"))
    for choice in named:
        assert scores(choice.load(references=False)) == expected


def test_a_run_of_many_images_says_what_does_better_than_each_by_itself(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    quiet = ("--overlays", "none", "--out", "out")
    many = command("run", CLOTH / "test", *quiet)
    assert many.status == 0
    assert many.error.count("each of 9 images is judged by itself; a few good ones as") == 1
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["recipe"] == DEFAULT_ALONE
    assert "judged by itself" not in command("run", *TESTED, "--out", "few").error
    named = ("--detector", "rarity", "--out", "named")
    assert "judged by itself" not in command("run", CLOTH / "test", *named).error


def test_a_detector_whose_scorer_needs_no_text_has_no_prompts() -> None:
    detector = load_detector("patchcore")
    assert detector.prompts is None
    assert "prompts" not in detector.assembly.parts
    assert detector.text("cloth") is None


def test_prompts_that_are_named_beside_such_a_scorer_are_refused_with_the_remedy() -> None:
    with pytest.raises(IncompatiblePartsError, match="makes no use of text: leave out prompts"):
        load_detector(prompts="plain", scorer="nearest")


def test_a_scorer_of_text_that_takes_its_place_has_prompts_again() -> None:
    assert "prompts" in names(load_detector("patchcore", scorer="harmonic"))
    assert "prompts" in names(load_detector("patchcore", extractor="window"))


def test_a_scorer_of_memories_takes_the_extractor_of_levels_along() -> None:
    assert names(load_detector(scorer="nearest"))["extractor"] == "patches"


def test_manifest_and_fitted_file_name_no_prompts_and_repeat(tmp_path: Path) -> None:
    words = ("--detector", "patchcore", *SMALL, "--references", *GOOD[:1])
    assert vlmad("run", *TESTED, *words, "--out", "run", cwd=tmp_path).returncode == 0
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert "prompts" not in manifest["identity"]["parts"]
    assert manifest["identity"]["sentences_sha256"] is None
    again = vlmad("run", "--manifest", "run/manifest.json", "--out", "again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert vlmad("fit", *GOOD, *words[:-2], "--out", "f.safetensors", cwd=tmp_path).returncode == 0
    fitted = vlmad("run", *TESTED, "--model", "f.safetensors", *SMALL[2:], cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr


def test_prompts_multiply_no_rows_of_a_grid_whose_scorer_needs_no_text(tmp_path: Path) -> None:
    words = ("--prompt", "plain,compositional", "--scorer", "harmonic,nearest", "--shots", "1")
    done = vlmad("grid", CLOTH.parent, *words, *SMALL, "--plan", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    grid = json.loads(done.stdout)["grid"]
    assert sorted(grid["combinations"]) == [
        "compositional + harmonic",
        "nearest",
        "plain + harmonic",
    ]
