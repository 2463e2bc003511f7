"""Maps are stored to be read back, and drawn over their images on one colour scale."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad_run.map_png import ROWS, map_png
from vlmad_run.pictures import Range, draw_overlay, from_16_bits, outline, to_16_bits


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30))
def test_a_stored_map_comes_back_to_a_65535th_of_its_range(values: list[float]) -> None:
    heat = np.array([values], np.float32)
    stored, scale = to_16_bits(heat)
    step = (scale.high - scale.low) / 65535
    error = np.abs(from_16_bits(stored, scale).astype(np.float64) - heat).max()
    assert error <= 0.51 * step + 1e-6 * max(1.0, float(np.abs(heat).max()))


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 7), (ROWS, 5), (ROWS + 3, 40)])
def test_the_file_of_a_map_holds_each_of_its_numbers(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 65536, size, dtype=np.uint16)
    for stored in (values, np.asfortranarray(values), np.zeros_like(values)):
        with Image.open(io.BytesIO(map_png(stored)), formats=["PNG"]) as image:
            assert image.mode.startswith("I")
            assert np.array_equal(np.asarray(image).astype(np.uint16), stored)


@pytest.mark.parametrize("grey", [0, 90, 128, 255])
def test_an_overlay_shows_the_image_outlined_and_beside_it_the_heat(grey: int) -> None:
    heat = np.zeros((160, 320), np.float32)
    heat[:, 240:] = 1
    image = Image.new("RGB", (320, 160), (grey,) * 3)
    pixels = np.asarray(draw_overlay(image, heat, Range(0, 1), "0.5", "x" * 500)).astype(int)
    left, beside = pixels[-50, :320], pixels[-50, 328:648].sum(1)
    outlined = np.flatnonzero((left != grey).any(1))
    assert set(outlined) <= set(range(238, 242))  # the line, dark and light, and nothing else
    assert np.ptp(left[238:242, 0]) >= 127
    cold, hot = beside[20:230].mean(), beside[250:310].mean()
    assert abs(hot - cold) > 50
    assert cold == 3 * grey


def test_the_outline_runs_where_the_scale_passes_its_middle() -> None:
    hot = np.tile(np.linspace(0, 1, 200), (50, 1))
    pixels = np.asarray(outline(Image.new("RGB", (200, 50), "grey"), hot))
    assert np.flatnonzero((pixels[25] != 128).any(1)).tolist() == [98, 99, 100, 101]
    unlined = outline(Image.new("RGB", (200, 50), "grey"), 0.49 * hot)
    assert unlined.getextrema() == ((128, 128),) * 3


def test_captions_keep_the_score_where_the_name_is_long() -> None:
    heat, long = np.zeros((8, 8), np.float32), "folder/" * 60
    one, other = (
        np.asarray(draw_overlay(Image.new("RGB", (8, 8)), heat, Range(0, 1), score, long))
        for score in ("0.1", "0.9")
    )
    assert (one[:28, :60] != other[:28, :60]).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3000, 1000)])
def test_pictures_of_any_format_have_a_size_to_look_at(size: tuple[int, int]) -> None:
    flat = np.full(size[::-1], 0.25, np.float32)
    picture = draw_overlay(Image.new("RGB", size), flat, Range(0.25, 0.25), "0.5", "x")
    assert 256 < max(picture.size) < 1500
