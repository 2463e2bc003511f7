"""Images cut into squares: every pixel is seen, and maps come back without seams."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad.resizing import MOST_TILES, join_maps, parse_resizing, tile_places
from vlmad.testing import TWO_LAYERS

SMALL = {
    "backbone": f"openclip:{TWO_LAYERS}",
    "options": {"backbone": {"weights": "random:0", "image_size": 80}},
}
SIDES = st.integers(1, 3000)


@given(SIDES, SIDES, st.integers(1, 6))
def test_tiles_cover_an_image_and_stay_inside_it(width: int, height: int, tiles: int) -> None:
    places = tile_places((width, height), tiles)
    assert len(places) <= MOST_TILES**2
    for axis, length in ((0, width), (1, height)):
        intervals = sorted({(place[axis], place[axis + 2]) for place in places})
        assert intervals[0][0] == 0
        assert intervals[-1][1] == length
        assert all(stop > start for start, stop in intervals)
        for (_, stop), (start, _) in itertools.pairwise(intervals):
            assert start <= stop


@given(st.integers(50, 400), st.integers(1, 4), st.integers(1, 12))
def test_tiles_are_square_however_long_the_image(side: int, tiles: int, longer: int) -> None:
    for left, top, right, bottom in tile_places((side * longer, side), tiles):
        assert right - left == pytest.approx(bottom - top, abs=2) or longer * tiles > MOST_TILES / 2


@given(st.integers(8, 60), st.integers(8, 60), st.integers(1, 3), st.integers(0, 9))
def test_parts_of_a_map_join_to_the_map(width: int, height: int, tiles: int, seed: int) -> None:
    whole = np.random.default_rng(seed).random((height, width), np.float32)
    places = tile_places((width, height), tiles)
    parts = [whole[int(t) : int(b), int(le) : int(r)] for le, t, r, b in places]
    np.testing.assert_allclose(join_maps((width, height), places, parts), whole, atol=1e-5)


def test_one_tile_of_a_square_is_the_squashed_image() -> None:
    image = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    detectors = [load_detector("clip", resize=how, **SMALL) for how in ("squash", "tiles:1")]
    results = [detector.predict(image)[0] for detector in detectors]
    assert results[0].score == results[1].score
    np.testing.assert_allclose(results[0].map, results[1].map, atol=1e-6)


def test_where_only_one_tile_sees_a_pixel_the_map_is_that_tiles() -> None:
    image = Image.effect_mandelbrot((240, 60), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    [joined] = load_detector("clip", resize="tiles:1", **SMALL).predict(image)
    first = tile_places(image.size, 1)[0]
    [alone] = load_detector("clip", **SMALL).predict(image.crop(first))
    assert joined.map.shape == (60, 240)
    np.testing.assert_allclose(joined.map[:, :40], alone.map[:, :40], atol=1e-5)


def test_the_score_of_a_tiled_image_is_that_of_its_most_anomalous_tile() -> None:
    image = Image.effect_mandelbrot((90, 60), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    detector = load_detector("clip", resize="tiles:2", **SMALL)
    parts = [image.crop(place) for place in tile_places(image.size, 2)]
    alone = [result.score for result in load_detector("clip", **SMALL).predict(parts)]
    [together] = detector.predict(image)
    assert len(parts) == 8
    assert together.score == pytest.approx(max(alone), abs=1e-5)


@pytest.mark.parametrize("text", ["tiles:0", "tiles:99", "tiles:x", "tiles:", "pad:2", ""])
def test_other_ways_of_resizing_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="resizing takes squash, pad, auto, tiles or tiles:N"):
        parse_resizing(text)


def test_auto_cuts_long_formats_into_squares_and_squashes_others() -> None:
    auto = parse_resizing("auto")
    assert str(auto) == "auto"
    assert auto.places((199, 100)) == []
    assert [place.left for place in auto.places((200, 100))] == [0, 50, 100]
    assert auto.places((100, 500))[0] == (0, 0, 100, 100)


def test_a_recipe_says_how_images_become_squares_unless_the_user_does(tmp_path: Path) -> None:
    recipe = tmp_path / "long.toml"
    recipe.write_text('base = "clip"\nresize = "auto"\n')
    assert str(load_detector(recipe).resizing) == "auto"
    assert str(load_detector(recipe, resize="pad").resizing) == "pad"
    assert str(load_detector("clip").resizing) == "squash"
