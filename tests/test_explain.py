"""Explanations of real images by real detectors."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from vlmad import Detector, load_detector
from vlmad.images import Source
from vlmad_explain import explain, explain_with_maps
from vlmad_explain._explanation_picture import COLOURS, DPI, VIEW, draw
from vlmad_explain.explanations import Explanation, ExplanationFile, ScoreAddend
from vlmad_explain.words import by_state, named

from .conftest import vlmad

CIRCUIT = Path(__file__).parents[1] / "examples" / "samples" / "circuit"
CUT = CIRCUIT / "test" / "cut_trace" / "000.png"
GOOD = sorted((CIRCUIT / "train" / "good").glob("*.png"))
ODD_PARTS = (Path(__file__).parent / "plugins" / "odd_parts.py").read_text()
CLOSEST = Path(__file__).parents[1] / "examples" / "cookbook" / "vlmad_closest.py"
BOAST = """
from dataclasses import replace
import vlmad
from vlmad_attribution.attribution import Attribution, Addend
from vlmad.registry import Registry

Harmonic = Registry.discover().get("scorer", "harmonic").resolve()

class Boast(Harmonic):
    def attribute(self, features, text, memory):
        given = super().attribute(features, text, memory)
        return replace(given, addends=(replace(given.addends[0], weight=2.0),))

@vlmad.hookimpl
def register_scorers(register):
    register('boast', Boast)
"""

MUTE = """
import vlmad
from vlmad.registry import Registry

Harmonic = Registry.discover().get("scorer", "harmonic").resolve()

class Mute(vlmad.Scorer):
    scope = "set"

    def __call__(self, features, text, memory):
        return Harmonic()(features, text, memory)

@vlmad.hookimpl
def register_scorers(register):
    register('mute', Mute)
"""


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return load_detector("winclip").fit(GOOD)


@pytest.fixture(scope="module")
def explained(fitted: Detector) -> tuple[Explanation, np.ndarray]:
    return next(explain_with_maps(fitted, [CUT], "circuit"))


@pytest.fixture(scope="module")
def few_shot(explained: tuple[Explanation, np.ndarray]) -> Explanation:
    return explained[0]


def concluded(explanation: Explanation) -> float:
    total = sum(sentence.push or 0.0 for sentence in explanation.sentences)
    return 1 / (1 + math.exp(-total)) if explanation.unit == "log-odds" else total


def decided(addend: ScoreAddend) -> float:
    """Recompute a cell from what the explanation lists, in plain arithmetic."""
    levels: dict[str, list[float]] = {}
    for region in addend.regions:
        levels.setdefault(region.level, []).append(region.value)
    if addend.mean == "harmonic":
        means = [len(values) / sum(1 / value for value in values) for values in levels.values()]
    else:
        means = [sum(values) / len(values) for values in levels.values()]
    return sum(means) / len(means)


# numbers that rebuild the score


@pytest.mark.slow
@pytest.mark.parametrize("name", ["winclip", "anomalyclip", "comparison"])
def test_a_zero_shot_explanation_rebuilds_the_score_from_its_sentences(name: str) -> None:
    detector = load_detector(name)
    [explanation] = explain(detector, [CUT], "circuit")
    [result] = detector.predict(CUT, "circuit")
    [addend] = explanation.addends
    assert explanation.score == pytest.approx(result.score, abs=1e-6)
    assert addend.weight * addend.value == pytest.approx(result.score, abs=1e-6)
    assert concluded(explanation) == pytest.approx(addend.value, abs=1e-5)
    assert sum(s.share or 0.0 for s in explanation.sentences) == pytest.approx(1)
    assert explanation.gap is None
    if name == "comparison":
        assert decided(addend) == pytest.approx(addend.value, abs=1e-5)


def test_a_few_shot_explanation_rebuilds_the_score_from_sentences_and_distances(
    fitted: Detector, explained: tuple[Explanation, np.ndarray]
) -> None:
    explanation, heat = explained
    [result] = fitted.predict(CUT, "circuit")
    by_text, by_references = explanation.addends
    assert (by_text.weight, by_references.weight) == (0.5, 0.5)
    total = concluded(explanation) / 2 + decided(by_references) / 2
    assert total == pytest.approx(result.score, abs=1e-5)
    assert np.array_equal(heat, result.map)


def test_prompts_that_look_at_the_image_are_explained_with_that_images_embeddings(
    install: Callable[..., Path],
) -> None:
    install("odd-parts", ODD_PARTS)
    detector = load_detector("winclip", prompts="conditioned")
    for explanation in explain(detector, [CUT, GOOD[0]], "circuit"):
        assert concluded(explanation) == pytest.approx(explanation.score, abs=1e-5)


# regions and references


def test_the_first_finding_is_the_strongest_region_where_the_score_was_decided(
    few_shot: Explanation,
) -> None:
    first, addend = few_shot.findings[0], few_shot.addends[1]
    assert (first.by, first.decided) == ("references", True)
    assert first.values["references"] == max(region.value for region in addend.regions)
    assert first.place in [region.place for region in addend.regions]
    assert [finding.number for finding in few_shot.findings] == [1, 2, 3, 4, 5, 6]
    mask = np.asarray(Image.open(CIRCUIT / "ground_truth" / "cut_trace" / "000_mask.png"))
    assert mask[first.place.top : first.place.bottom, first.place.left : first.place.right].any()


def test_a_reference_is_nearest_to_itself(fitted: Detector) -> None:
    [explanation] = explain(fitted, [GOOD[1]], "circuit")
    for finding in explanation.findings:
        assert finding.nearest is not None
        assert (finding.nearest.number, finding.nearest.image) == (1, str(GOOD[1]))
        assert finding.nearest.place == finding.place
        assert finding.nearest.distance == pytest.approx(0, abs=1e-5)


def test_of_references_that_are_not_known_any_more_only_the_distance_is_given(
    fitted: Detector,
) -> None:
    other = load_detector("winclip")
    other.memory = fitted.memory
    [explanation] = explain(other, [CUT], "circuit")
    for finding in explanation.findings:
        assert finding.nearest is not None
        assert finding.nearest.place is None
        assert finding.nearest.distance == pytest.approx(finding.values["references"])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(300, 40), (97, 161)])
@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_places_lie_in_the_original_and_the_first_where_the_map_is_high(
    width: int, height: int, resize: str
) -> None:
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[height // 2 :, width // 2 :] = (200, 40, 40)
    detector = load_detector("clip", backbone="tiny", resize=resize)
    [(explanation, heat)] = explain_with_maps(detector, [pixels], top=50)
    assert (explanation.width, explanation.height) == (width, height)
    assert heat.shape == (height, width)
    for finding in explanation.findings:
        place = finding.place
        assert 0 <= place.left < place.right <= width
        assert 0 <= place.top < place.bottom <= height
        side = (max(width, height),) * 2 if resize == "pad" else (width, height)
        assert place.right - place.left <= side[0] / 15 + 1
        assert place.bottom - place.top <= side[1] / 15 + 1
    first = explanation.findings[0].place
    inside = heat[first.top : first.bottom, first.left : first.right]
    assert inside.max() > heat.max() - 0.2 * (heat.max() - heat.min())


@pytest.mark.slow
def test_what_is_named_lies_in_the_original_and_where_the_map_is_highest(
    explained: tuple[Explanation, np.ndarray],
) -> None:
    explanation, heat = explained
    place = explanation.named[0].place
    assert heat[place.top : place.bottom, place.left : place.right].max() == heat.max()
    assert 0 <= place.left < place.right <= explanation.width
    assert 0 <= place.top < place.bottom <= explanation.height


@pytest.mark.slow
def test_findings_of_one_kind_lie_apart_and_go_from_strong_to_weak() -> None:
    [explanation] = explain(load_detector("winclip"), [CUT], "circuit", top=8)
    values = [finding.values["text"] for finding in explanation.findings]
    assert values == sorted(values, reverse=True)
    places = [finding.place for finding in explanation.findings]
    for index, one in enumerate(places):
        for other in places[:index]:
            beside = one.right <= other.left or other.right <= one.left
            assert beside or one.bottom <= other.top or other.bottom <= one.top


@pytest.mark.slow
def test_of_an_image_in_tiles_the_most_anomalous_one_is_explained_in_pixels_of_the_whole() -> None:
    detector = load_detector("winclip", resize="tiles:2").fit(GOOD[:1])
    [(explanation, heat)] = explain_with_maps(detector, [CUT], "circuit")
    [result] = detector.predict(CUT, "circuit")
    assert heat == pytest.approx(result.map, abs=1e-5)
    total = sum(addend.weight * addend.value for addend in explanation.addends)
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
    [itself] = explain(detector, [GOOD[0]], "circuit")
    for finding in itself.findings:
        assert finding.nearest is not None
        assert (finding.nearest.number, finding.nearest.place) == (0, finding.place)


# what cannot be known


def test_a_scorer_without_attribution_is_explained_by_its_map(
    install: Callable[..., Path],
) -> None:
    install("odd-parts", ODD_PARTS)
    install("closest", CLOSEST.read_text())
    detector = load_detector(backbone="colour-moments", scorer="closest").fit(GOOD[:2])
    [explanation] = explain(detector, [CUT])
    assert explanation.gap is not None
    assert "scorer 'closest' does not say what its score is made of" in explanation.gap
    assert (explanation.addends, explanation.unit) == ([], None)
    assert {finding.by for finding in explanation.findings} == {"map"}
    assert all(finding.nearest is not None for finding in explanation.findings)


def test_without_attribution_sentences_have_cosines_but_no_shares(
    install: Callable[..., Path],
) -> None:
    install("mute", MUTE)
    detector = load_detector(backbone="tiny", scorer="mute", prompts="plain")
    explanations = list(explain(detector, [CUT, GOOD[0], GOOD[1]], "circuit"))
    assert explanations[0].score > explanations[1].score
    for explanation in explanations:
        assert [s.share for s in explanation.sentences] == [None, None]
        assert all(-1 <= s.cosine <= 1 for s in explanation.sentences)


def test_a_scorer_whose_addends_are_not_its_score_is_not_believed(
    install: Callable[..., Path],
) -> None:
    install("boast", BOAST)
    [explanation] = explain(load_detector("winclip", scorer="boast"), [CUT], "circuit")
    assert explanation.addends == []
    assert explanation.gap is not None
    assert "that is not its score" in explanation.gap


# words and pictures


def test_sentences_of_one_state_are_shown_as_one_and_add_up(few_shot: Explanation) -> None:
    states = by_state(few_shot.sentences)
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


def test_sentences_without_states_are_shown_one_by_one() -> None:
    [explanation] = explain(load_detector("anomalyclip"), [CUT], "circuit")
    assert by_state(explanation.sentences) == explanation.sentences


def test_a_box_is_drawn_around_the_first_finding(
    fitted: Detector, explained: tuple[Explanation, np.ndarray]
) -> None:
    explanation, heat = explained
    only = explanation.model_copy(update={"findings": explanation.findings[:1]})
    picture = draw(only, heat, Image.open(CUT).convert("RGB"), fitted.references)
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    assert pixels.shape[1] == 1080
    rows, columns = (pixels == ImageColor.getrgb(COLOURS["references"])).all(-1).nonzero()
    across = columns[rows < 1.2 * VIEW * DPI]  # below are the crops
    place, zoom = explanation.findings[0].place, VIEW * DPI / explanation.width
    assert across.max() - across.min() == pytest.approx((place.right - place.left) * zoom, abs=6)


def test_odd_names_and_references_that_are_gone_do_not_keep_a_picture_from_being_drawn(
    explained: tuple[Explanation, np.ndarray], tmp_path: Path
) -> None:
    explanation, heat = explained
    gone = [Source("gone.png", tmp_path / "gone.png")] * len(GOOD)
    odd = {"class_name": "$\\frac{$ 漢\n\x1b[31m", "image": "long/" * 99, "gap": "why " * 99}
    draw(explanation.model_copy(update=odd), heat, Image.open(CUT).convert("RGB"), gone)


# the command


@pytest.mark.slow
def test_explain_writes_a_picture_and_a_document_and_names_what_it_cannot_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.png").write_text("no image")
    done = vlmad(
        *("explain", CUT, "broken.png", "--class-name", "circuit", "--out", "new", "--top", "2"),
        *("--references", CIRCUIT / "train" / "good", "--shots", "2"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.splitlines()
    assert line == "vlmad: not explained: broken.png: not an image of a known format"
    assert "1 decided" in done.stdout
    [picture] = (tmp_path / "new").glob("cut_trace_000-*.png")
    with Image.open(picture) as image:
        assert image.format == "PNG"
    document = ExplanationFile.read(picture.with_suffix(".json"))
    [explanation] = document.explanations
    assert explanation.image == str(CUT)
    assert len({name.partition(" (")[0] for name in document.references}) == 2
    assert len(document.references) == 2 * 8  # each as it is, and in seven turned copies
    assert [each.by for each in explanation.findings] == ["references", "references"]
    close = [each.nearest for each in explanation.findings]
    assert all(found and str(CIRCUIT) in (found.image or "") for found in close)
    assert f"{explanation.score:.3f}  {CUT}" in done.stdout
    assert 1 <= len(explanation.named) <= 2
    for each in explanation.named:
        assert f"{named(each)}, at pixels {each.place}" in done.stdout


@pytest.mark.slow
def test_explain_as_json_prints_one_document_and_writes_nothing(tmp_path: Path) -> None:
    done = vlmad("explain", CUT, "--json", "--detector", "comparison", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["detector"]["parts"]["scorer"]["name"] == "max-cosine"
    [explanation] = document["explanations"]
    assert explanation["unit"] == "cosine"
    assert explanation["addends"][0]["place"].keys() == {"left", "top", "right", "bottom"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--shots", "2"), "--shots needs --references PATH"),
        (("--out", "full"), "full exists and is not an empty folder"),
        (("--scorer", "dense", "--references", str(CIRCUIT / "train")), "no use of references"),
    ],
)
def test_explain_refuses_in_one_line_and_writes_nothing(
    words: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    done = vlmad("explain", CUT, *words, cwd=tmp_path)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert expected in line
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "kept.txt"]
