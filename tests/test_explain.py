"""Explanations of real images by real detectors."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from vlmad import Detector, explain, load_detector
from vlmad.errors import InputError
from vlmad_explain.explanations import Explanation, Part
from vlmad_explain._explanation_picture import COLOURS, MARGIN, VIEW, WIDTH, draw
from vlmad_explain.words import spoken, spoken_by_state
from vlmad_run.overlays import Range

ROOT = Path(__file__).parents[1]
CIRCUIT = ROOT / "examples" / "samples" / "circuit"
CUT = CIRCUIT / "test" / "cut_trace" / "000.png"
GOOD = sorted((CIRCUIT / "train" / "good").glob("*.png"))
ODD_PARTS = (Path(__file__).parent / "plugins" / "odd_parts.py").read_text()


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return load_detector("winclip").fit(GOOD)


@pytest.fixture(scope="module")
def few_shot(fitted: Detector) -> Explanation:
    return next(explain(fitted, [CUT], "circuit"))


def concluded(explanation: Explanation) -> float:
    total = sum(sentence.push or 0.0 for sentence in explanation.sentences)
    return 1 / (1 + math.exp(-total)) if explanation.unit == "log-odds" else total


def decided(part: Part) -> float:
    """Recompute a cell from what the explanation lists, in plain arithmetic."""
    levels: dict[str, list[float]] = {}
    for region in part.regions:
        levels.setdefault(region.level, []).append(region.value)
    if part.mean == "harmonic":
        means = [len(values) / sum(1 / value for value in values) for values in levels.values()]
    else:
        means = [sum(values) / len(values) for values in levels.values()]
    return sum(means) / len(means)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["winclip", "anomalyclip", "clip-ac", "comparison"])
def test_a_zero_shot_explanation_rebuilds_the_score_from_its_sentences(name: str) -> None:
    detector = load_detector(name)
    [explanation] = explain(detector, [CUT], "circuit")
    [result] = detector.predict(CUT, "circuit")
    [part] = explanation.parts
    assert explanation.score == pytest.approx(result.score, abs=1e-6)
    assert part.weight * part.value == pytest.approx(result.score, abs=1e-6)
    assert concluded(explanation) == pytest.approx(part.value, abs=1e-5)
    assert sum(s.share or 0.0 for s in explanation.sentences) == pytest.approx(1)
    assert explanation.gap is None
    if name == "comparison":
        assert decided(part) == pytest.approx(part.value, abs=1e-5)


def test_a_few_shot_explanation_rebuilds_the_score_from_sentences_and_distances(
    fitted: Detector, few_shot: Explanation
) -> None:
    [result] = fitted.predict(CUT, "circuit")
    by_text, by_references = few_shot.parts
    assert (by_text.weight, by_references.weight) == (0.5, 0.5)
    assert concluded(few_shot) == pytest.approx(by_text.value, abs=1e-5)
    assert decided(by_references) == pytest.approx(by_references.value, abs=1e-5)
    total = concluded(few_shot) / 2 + decided(by_references) / 2
    assert total == pytest.approx(result.score, abs=1e-5)


def test_the_first_finding_is_the_strongest_region_where_the_score_was_decided(
    few_shot: Explanation,
) -> None:
    first, part = few_shot.findings[0], few_shot.parts[1]
    assert first.by == "references"
    assert first.decided
    assert first.values["references"] == max(region.value for region in part.regions)
    assert first.place in [region.place for region in part.regions]
    assert [finding.number for finding in few_shot.findings] == [1, 2, 3, 4, 5, 6]


def test_the_sample_is_explained_by_its_defect(few_shot: Explanation) -> None:
    mask = np.asarray(Image.open(CIRCUIT / "ground_truth" / "cut_trace" / "000_mask.png"))
    place = few_shot.findings[0].place
    assert mask[place.top : place.bottom, place.left : place.right].any()


def test_the_nearest_reference_is_named_with_its_place(few_shot: Explanation) -> None:
    for finding in few_shot.findings:
        assert finding.nearest is not None
        assert finding.nearest.image == str(GOOD[finding.nearest.number])
        assert finding.nearest.place is not None
        assert 0 <= finding.nearest.distance <= 1


@pytest.mark.slow
def test_an_image_among_its_own_references_is_nearest_to_itself() -> None:
    detector = load_detector("winclip").fit(GOOD[:2])
    [explanation] = explain(detector, [GOOD[1]], "circuit")
    for finding in explanation.findings:
        assert finding.nearest is not None
        assert finding.nearest.number == 1
        assert finding.nearest.place == finding.place
        assert finding.nearest.distance == pytest.approx(0, abs=1e-5)


def test_an_explanation_is_plain_json_and_the_same_again(
    fitted: Detector, few_shot: Explanation
) -> None:
    again = next(explain(fitted, [CUT], "circuit"))
    table = few_shot.to_dict()
    assert "map" not in table
    assert json.loads(json.dumps(table, allow_nan=False)) == json.loads(json.dumps(again.to_dict()))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(300, 40), (40, 300), (97, 61)])
@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_places_lie_in_the_original_and_the_first_where_the_map_is_high(
    width: int, height: int, resize: str
) -> None:
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[height // 2 :, width // 2 :] = (200, 40, 40)
    detector = load_detector("clip", backbone="tiny", resize=resize)  # type: ignore[arg-type]
    [explanation] = explain(detector, [pixels], top=50)
    assert (explanation.width, explanation.height) == (width, height)
    assert explanation.map.shape == (height, width)
    for finding in explanation.findings:
        place = finding.place
        assert 0 <= place.left < place.right <= width
        assert 0 <= place.top < place.bottom <= height
        longest = max(width, height)
        side = (longest, longest) if resize == "pad" else (width, height)
        assert place.right - place.left <= side[0] / 15 + 1
        assert place.bottom - place.top <= side[1] / 15 + 1
    first, heat = explanation.findings[0].place, explanation.map
    inside = heat[first.top : first.bottom, first.left : first.right]
    assert inside.max() > heat.max() - 0.2 * (heat.max() - heat.min())


@pytest.mark.slow
def test_findings_of_one_kind_lie_apart_and_go_from_strong_to_weak() -> None:
    [explanation] = explain(load_detector("winclip"), [CUT], "circuit", top=8)
    values = [finding.values["text"] for finding in explanation.findings]
    assert values == sorted(values, reverse=True)
    for one in explanation.findings:
        for other in explanation.findings:
            if one is not other:
                width = min(one.place.right, other.place.right) - max(
                    one.place.left, other.place.left
                )
                height = min(one.place.bottom, other.place.bottom) - max(
                    one.place.top, other.place.top
                )
                assert width <= 0 or height <= 0


@pytest.mark.slow
def test_of_an_image_in_tiles_the_most_anomalous_one_is_explained_in_pixels_of_the_whole() -> None:
    detector = load_detector("winclip", resize="tiles:2").fit(GOOD[:2])
    [explanation] = explain(detector, [CUT], "circuit")
    [result] = detector.predict(CUT, "circuit")
    assert explanation.score == pytest.approx(result.score, abs=1e-6)
    assert explanation.map == pytest.approx(result.map, abs=1e-5)
    total = sum(part.weight * part.value for part in explanation.parts)
    assert total == pytest.approx(result.score, abs=1e-5)
    tile = explanation.tile
    assert tile is not None
    crop = Image.open(CUT).convert("RGB").crop((tile.left, tile.top, tile.right, tile.bottom))
    alone = load_detector("winclip", resize="squash")
    alone.memory = detector.memory
    [one] = explain(alone, [crop], "circuit")
    assert one.score == pytest.approx(explanation.score, abs=1e-5)
    for inner, outer in zip(one.findings, explanation.findings, strict=True):
        assert outer.place.left == inner.place.left + tile.left
        assert outer.place.bottom == inner.place.bottom + tile.top
        assert outer.nearest is not None
        assert outer.nearest.image in map(str, GOOD[:2])


@pytest.mark.slow
def test_a_region_of_a_tiled_reference_is_found_again_in_its_own_place() -> None:
    detector = load_detector("winclip", resize="tiles:2").fit(GOOD[:2])
    [explanation] = explain(detector, [GOOD[1]], "circuit")
    for finding in explanation.findings:
        assert finding.nearest is not None
        assert finding.nearest.number == 1
        assert finding.nearest.place == finding.place


@pytest.mark.slow
def test_of_references_that_are_not_known_any_more_only_the_distance_is_told(
    fitted: Detector,
) -> None:
    other = load_detector("winclip")
    other.memory = fitted.memory
    [explanation] = explain(other, [CUT], "circuit")
    for finding in explanation.findings:
        assert finding.nearest is not None
        assert finding.nearest.place is None
        assert finding.nearest.distance == pytest.approx(finding.values["references"])


@pytest.fixture
def odd(install: Callable[..., Path]) -> Path:
    return install("odd-parts", ODD_PARTS)


def test_a_scorer_that_does_not_tell_is_explained_by_its_map_and_that_is_said(odd: Path) -> None:
    detector = load_detector(backbone="colour-moments", scorer="nearest").fit(GOOD[:2])
    [explanation] = explain(detector, [CUT])
    assert explanation.gap is not None
    assert "scorer 'nearest' does not say what its score is made of" in explanation.gap
    assert explanation.parts == ()
    assert explanation.unit is None
    assert {finding.by for finding in explanation.findings} == {"map"}
    assert all(finding.nearest is not None for finding in explanation.findings)


@pytest.mark.slow
def test_without_attribution_sentences_have_cosines_but_no_shares(odd: Path) -> None:
    detector = load_detector(backbone="tiny", scorer="mutual", prompts="plain")
    explanations = list(explain(detector, [CUT, GOOD[0], GOOD[1]], "circuit"))
    assert len(explanations) == 3
    assert explanations[0].score > explanations[1].score
    for explanation in explanations:
        assert len(explanation.sentences) == 2
        assert {s.share for s in explanation.sentences} == {None}
        assert all(-1 <= s.cosine <= 1 for s in explanation.sentences)


@pytest.mark.slow
def test_prompts_that_look_at_the_image_are_explained_with_that_images_embeddings(
    odd: Path,
) -> None:
    detector = load_detector("winclip", prompts="conditioned")
    for path in (CUT, GOOD[0]):
        [explanation] = explain(detector, [path], "circuit")
        assert concluded(explanation) == pytest.approx(explanation.score, abs=1e-5)


@pytest.mark.slow
def test_a_scorer_whose_addends_are_not_its_score_is_not_believed(
    install: Callable[..., Path],
) -> None:
    source = (
        "from dataclasses import replace\n"
        "import vlmad\nfrom vlmad_winclip.scorer import Harmonic\n"
        "class Boast(Harmonic):\n"
        "    def attribute(self, features, text, memory):\n"
        "        told = super().attribute(features, text, memory)\n"
        "        [addend] = told.addends\n"
        "        return replace(told, addends=(replace(addend, weight=2.0),))\n"
        "@vlmad.hookimpl\n"
        "def register_scorers(register):\n    register('boast', Boast)\n"
    )
    install("boast", source)
    [explanation] = explain(load_detector("winclip", scorer="boast"), [CUT], "circuit")
    assert explanation.parts == ()
    assert explanation.gap is not None
    assert "that is not its score" in explanation.gap


def test_an_unreadable_image_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(InputError, match=r"broken\.png: not an image"):
        list(explain(load_detector("clip"), [tmp_path / "broken.png"]))


def pictured(explanation: Explanation, references: Sequence[Path]) -> Image.Image:
    images = {i: Image.open(path).convert("RGB") for i, path in enumerate(references)}
    scale = Range(float(explanation.map.min()), float(explanation.map.max()))
    return draw(explanation, Image.open(CUT).convert("RGB"), images, scale)


def test_the_picture_shows_the_nearest_references_where_they_are_at_hand(
    few_shot: Explanation,
) -> None:
    with_crops, without = pictured(few_shot, GOOD), pictured(few_shot, [])
    assert with_crops.width == without.width == WIDTH
    assert not np.array_equal(np.asarray(with_crops), np.asarray(without))


def test_a_box_is_drawn_around_the_first_finding(few_shot: Explanation) -> None:
    only = dataclasses.replace(few_shot, findings=few_shot.findings[:1])
    picture = np.asarray(pictured(only, GOOD))[: 2 * VIEW, : MARGIN + VIEW]
    rows, columns = (picture == ImageColor.getrgb(COLOURS["references"])).all(-1).nonzero()
    place, zoom = few_shot.findings[0].place, VIEW / few_shot.width
    on_image = rows < VIEW  # below are the crops
    assert columns[on_image].min() == pytest.approx(MARGIN + place.left * zoom, abs=2)
    assert columns[on_image].max() == pytest.approx(MARGIN + place.right * zoom, abs=3)


def test_sentences_of_one_state_are_told_as_one_and_add_up(few_shot: Explanation) -> None:
    states = [each for side in spoken_by_state(few_shot, 99) for each in side]
    assert len(states) == 7 + 4
    names = ["damaged circuit", "circuit with flaw", "circuit with defect", "circuit with damage"]
    expected = {f"{name} (22 sentences)" for name in names}
    assert {each.text for each in states if each.anomalous} == expected
    total = sum(sentence.push or 0.0 for sentence in few_shot.sentences)
    assert sum(each.push or 0.0 for each in states) == pytest.approx(total)
    [damaged] = [each for each in states if each.text.startswith("damaged")]
    own = [s for s in few_shot.sentences if s.state == "damaged circuit"]
    assert damaged.push == pytest.approx(sum(s.push or 0.0 for s in own))
    sizes = sum(abs(s.push or 0.0) for s in few_shot.sentences)
    assert damaged.share == pytest.approx(abs(damaged.push or 0.0) / sizes)


def test_sentences_without_states_are_told_one_by_one() -> None:
    [explanation] = explain(load_detector("anomalyclip"), [CUT], "circuit")
    assert {each.state for each in explanation.sentences} == {None}
    assert spoken_by_state(explanation, 3) == spoken(explanation, 3)
