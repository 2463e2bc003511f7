"""Naming what was found: kinds, looks and places of drawn defects, and silence where unsure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vlmad_explain import words
from vlmad_explain._found_regions import find_regions, view_of
from vlmad_explain._kinds import KINDS, NOTHING, _shipped
from vlmad_explain._look import PLACES, shade_of, where
from vlmad_explain._naming import name_regions
from vlmad_explain.explanations import NamedRegion, PixelBox
from vlmad_synthesis.synthetic import choose_defects, seeded, synthesise

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "weights"))
import kinds as making

SIDE = 320


def surface(width: int = SIDE, height: int = SIDE, level: int = 170) -> Image.Image:
    noise = np.random.default_rng(0).normal(level, 4, (height, width, 1))
    return Image.fromarray(np.clip(noise + np.zeros(3), 0, 255).astype(np.uint8))


def heat_at(size: tuple[int, int], x: float, y: float, reach: float) -> np.ndarray:
    rows, columns = np.indices(size[::-1])
    away = np.hypot(rows - y, columns - x)
    return np.exp(-((away / reach) ** 2)).astype(np.float32)


def with_disc(
    x: int, y: int, colour: tuple[int, int, int], radius: int = 10
) -> tuple[Image.Image, np.ndarray]:
    image = surface()
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image, heat_at(image.size, x, y, 2 * radius)


def region(**fields: object) -> NamedRegion:
    box = PixelBox(left=0, top=0, right=1, bottom=1)
    given = {"where": "upper left", "look": "dark", "kind": "hole", "certainty": 0.712}
    return NamedRegion.model_validate({"place": box} | given | fields)


@pytest.mark.parametrize("number", range(9))
def test_a_disc_is_told_in_the_part_of_the_picture_where_it_lies(number: int) -> None:
    row, column = divmod(number, 3)
    x, y = 53 + 107 * column, 53 + 107 * row
    [named] = name_regions(*with_disc(x, y, (20, 20, 20)), 3)
    assert named.where == PLACES[number]
    assert named.place.left < x < named.place.right
    assert named.place.top < y < named.place.bottom


def test_the_nine_parts_are_told_as_people_read_a_picture() -> None:
    told = [where(row, column) for row in (0, 0.5, 1) for column in (0, 0.5, 1)]
    assert told[:3] == ["upper left", "top", "upper right"]
    assert told[3:6] == ["left", "centre", "right"]
    assert told[6:] == ["lower left", "bottom", "lower right"]


@pytest.mark.parametrize(
    ("colour", "look"),
    [
        ((20, 20, 20), "dark"),
        ((240, 240, 240), "light"),
        ((200, 30, 30), "red"),
        ((40, 60, 200), "blue"),
        ((110, 60, 20), "brown"),
        ((174, 174, 174), None),
    ],
)
def test_a_look_is_what_differs_most_from_the_surroundings(
    colour: tuple[int, int, int], look: str | None
) -> None:
    assert name_regions(*with_disc(200, 90, colour), 1)[0].look == look


def test_a_dark_region_on_a_blue_surface_is_not_called_blue() -> None:
    assert shade_of(np.array([20.0, 40, 80]), np.array([60.0, 90, 140])) == "dark"


def test_an_even_map_has_no_region() -> None:
    assert find_regions(np.ones((40, 60), np.float32), 3) == []


def test_regions_are_told_from_the_most_striking_on_and_no_more_than_wanted() -> None:
    heat = heat_at((SIDE, SIDE), 60, 60, 20) + 0.8 * heat_at((SIDE, SIDE), 250, 250, 20)
    assert [each.where for each in name_regions(surface(), heat, 3)] == [
        "upper left",
        "lower right",
    ]
    assert [each.where for each in name_regions(surface(), heat, 1)] == ["upper left"]


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (40, 1000), (1500, 60)])
def test_pictures_of_any_format_can_be_looked_at(size: tuple[int, int]) -> None:
    heat = heat_at(size, size[0] - 1, 0, max(size) / 8)
    for found in find_regions(heat, 3):
        view = view_of(surface(*size), heat, found)
        assert view.pixels.shape == (128, 128, 3)
        assert np.isfinite(view.heat).all()
    for named in name_regions(surface(*size), heat, 3):
        assert named.place.right <= size[0]
        assert named.place.bottom <= size[1]


def test_the_sentence_says_look_kind_place_and_certainty() -> None:
    assert words.named(region()) == "a dark hole, upper left (71 %)"
    assert words.named(region(kind="specks")) == "dark specks, upper left (71 %)"
    assert words.named(region(look="orange")) == "an orange hole, upper left (71 %)"
    assert words.named(region(kind="distortion")) == "a distortion, upper left (71 %)"
    assert words.named(region(kind=None, certainty=None)) == "a dark spot, upper left"
    assert words.named(region(kind=None, certainty=None, look=None)) == "a spot, upper left"


def drawn_hole() -> tuple[Image.Image, np.ndarray]:
    hole = choose_defects(["hole"], {"radius": "0.05,0.05"})
    good = np.asarray(surface())
    for number in range(100):
        made = synthesise(good, seeded(0, number), hole)
        row, column = (float(index.mean()) for index in made.mask.nonzero())
        if row > 230 and column > 230:
            return Image.fromarray(made.image), heat_at((SIDE, SIDE), column, row, 30)
    raise AssertionError


def test_a_drawn_hole_lower_right_is_told_as_such() -> None:
    [named] = name_regions(*drawn_hole(), 3)
    assert words.named(named).startswith("a dark hole, lower right (")
    assert named.certainty is not None
    assert named.certainty > 0.4


def test_of_a_surface_without_a_defect_no_kind_is_told() -> None:
    [named] = name_regions(surface(), heat_at((SIDE, SIDE), 100, 220, 30), 3)
    assert (named.kind, named.certainty) == (None, None)
    assert named.where == "lower left"


def test_a_larger_picture_of_the_same_is_told_likewise() -> None:
    image, heat = drawn_hole()
    [one] = name_regions(image, heat, 3)
    large = image.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)
    [other] = name_regions(large, np.kron(heat, np.ones((2, 2), np.float32)), 3)
    assert (one.kind, one.look, one.where) == (other.kind, other.look, other.where)
    assert one.certainty == pytest.approx(other.certainty, abs=0.05)


@pytest.mark.slow
def test_on_fresh_products_half_of_the_kinds_are_told_and_half_of_these_right() -> None:
    seen = list(making.regions_of(making.look_at_others(2, range(40))))
    shipped = _shipped()
    chances = (making.logits_of(shipped.net, seen) / shipped.temperature).softmax(1).max(1)
    told = [
        KINDS[number] if value >= shipped.least else NOTHING
        for value, number in zip(chances.values.tolist(), chances.indices.tolist(), strict=True)
    ]
    found = [(each, kind) for each, kind in zip(seen, told, strict=True) if each.kind != NOTHING]
    answered = [(each.kind, kind) for each, kind in found if kind != NOTHING]
    assert len(found) > 60
    assert len(answered) >= len(found) / 2
    drawn = {kind for kind, _ in answered}
    assert len(drawn) >= 10
    recalls = [np.mean([told == k for k, told in answered if k == kind]) for kind in drawn]
    assert np.mean(recalls) > 0.5
    places = {each.drawn for each, _ in found}
    exact = [np.mean([e.told == place for e, _ in found if e.drawn == place]) for place in places]
    assert np.mean(exact) > 0.5
