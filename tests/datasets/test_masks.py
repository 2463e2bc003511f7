"""Masks are exact sets of pixels, whatever their file looks like."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from vlmad import Sample
from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_datasets.masks import fitted_mask, mask_of, read_mask
from vlmad_formats.stored_values import read_facts

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
MARKED = np.zeros((4, 5), bool)
MARKED[1, 1:3] = True


@REUSE
@given(arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 9, 200, 255])))
def test_every_pixel_above_0_is_defective_and_no_other(tmp_path: Path, values: np.ndarray) -> None:
    values[0, 0] = 0
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png").marked, values > 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F"])
def test_a_mask_may_have_any_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("mask.tif" if mode in "IF" else "mask.png")
    kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    if mode in kinds:
        image = Image.fromarray(MARKED.astype(kinds[mode]))
    else:
        image = Image.fromarray(MARKED.astype(np.uint8) * 255).convert(mode)
    image.save(path)
    assert np.array_equal(read_mask(path).marked, MARKED)


def test_a_palette_is_read_by_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(MARKED, 0, 1).astype(np.uint8), mode="P")
    image.putpalette([200, 0, 0, 0, 0, 0])  # number 0 is red, number 1 is black
    image.save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png").marked, MARKED)


def test_what_is_transparent_in_a_mask_is_not_defective(tmp_path: Path) -> None:
    white = np.full((4, 5, 4), 255, np.uint8)
    white[..., 3] = MARKED * 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png").marked, MARKED)


def test_the_noise_of_a_jpeg_mask_is_not_defective(tmp_path: Path) -> None:
    marked = np.zeros((64, 64), bool)
    marked[20:37, 11:30] = True
    Image.fromarray(marked.astype(np.uint8) * 255).save(tmp_path / "mask.jpg", quality=60)
    with Image.open(tmp_path / "mask.jpg") as noisy:
        assert (np.asarray(noisy) > 0).sum() > marked.sum()
    assert np.array_equal(read_mask(tmp_path / "mask.jpg").marked, marked)


def test_the_masks_of_a_folder_are_merged(tmp_path: Path, draw_mask) -> None:
    one = draw_mask("several/000.png")
    other = np.zeros((8, 12), np.uint8)
    other[6, 9] = 1
    Image.fromarray(other).save(one.with_name("001.png"))
    merged = read_mask(one.parent).marked
    assert merged.sum() == 7
    assert merged[6, 9]
    assert merged[1, 1]


def test_masks_of_a_folder_that_differ_in_size_are_refused(tmp_path: Path, draw_mask) -> None:
    draw_mask("several/000.png")
    second = draw_mask("several/001.png", size=(13, 8))
    with pytest.raises(InputError, match=rf"{second}: 13 x 8 pixels, but 12 x 8 in .*000.png"):
        read_mask(second.parent)


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder without masks"):
        read_mask(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_upright_image_is_used_as_it_is(
    tmp_path: Path, draw, draw_mask, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = draw("photo.jpg", exif=exif)
    upright = decode(image).size
    assert read_facts(image).size == upright
    mask = draw_mask("mask.png", size=upright)
    found = mask_of(Sample(image, "anomalous", "nut", mask=mask))
    assert np.array_equal(found, read_mask(mask).marked)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_that_only_fits_the_stored_pixels_is_turned_with_them(
    tmp_path: Path, draw_mask, orientation: int
) -> None:
    stored = draw_mask("stored.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(stored) as pixels:  # an image that shows its own mask
        pixels.convert("RGB").save(tmp_path / "photo.png", exif=exif)
    upright = np.asarray(decode(tmp_path / "photo.png"))[..., 0] > 0
    found = mask_of(Sample(tmp_path / "photo.png", "anomalous", "nut", mask=stored))
    assert np.array_equal(found, upright)


@pytest.mark.parametrize("orientation", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("over", ["stored", "upright"])
def test_a_mask_that_fits_both_ways_lies_where_it_stands_out_and_says_so(
    tmp_path: Path, orientation: int, over: str
) -> None:
    photo = np.random.default_rng(1).normal(90, 6, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    photo[3:9, 18:24] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "photo.png", exif=exif)
    seen = np.asarray(decode(tmp_path / "photo.png"))[..., 0] == 250
    drawn = seen if over == "upright" else photo[..., 0] == 250
    Image.fromarray(drawn.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    image = tmp_path / "photo.png"
    found = fitted_mask(tmp_path / "mask.png", image, read_facts(image))
    assert np.array_equal(found.marked, seen)
    assert found.notes == (
        f"fits its turned photograph both ways and is taken as drawn over its {over} pixels; "
        "see on the contact sheet",
    )


def test_a_mask_of_another_size_is_refused_and_never_scaled(draw, draw_mask) -> None:
    image, mask = draw("a.png"), draw_mask("m.png", size=(24, 16))
    with pytest.raises(InputError, match=r"m.png: the mask has 24 x 16 pixels, its image 12 x 8"):
        mask_of(Sample(image, "anomalous", "nut", mask=mask))


def test_a_normal_image_has_an_empty_mask_and_an_unknown_one_has_none(draw) -> None:
    image = draw("a.png")
    empty = mask_of(Sample(image, "normal", "nut"))
    assert empty is not None
    assert empty.shape == (8, 12)
    assert not empty.any()
    assert mask_of(Sample(image, "anomalous", "nut")) is None


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_header_agrees_with_the_decoder_for_every_format(tmp_path: Path, draw, kind) -> None:
    image = draw(f"a.{kind}", size=(31, 17))
    assert read_facts(image).size == decode(image).size == (31, 17)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif"])
def test_a_file_that_ends_too_early_is_found_although_only_headers_are_read(draw, kind) -> None:
    image = draw(f"a.{kind}", size=(64, 64))
    image.write_bytes(image.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"damaged image"):
        read_facts(image)


def test_bytes_after_the_end_of_a_photograph_are_no_fault(draw) -> None:
    image = draw("a.jpg", size=(64, 48))
    image.write_bytes(image.read_bytes() + b"trailer of a camera")
    assert read_facts(image).size == (64, 48)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="is no regular file"):
        read_facts(tmp_path / "pipe.png")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    for read in (read_facts, read_mask):
        with pytest.raises(InputError, match="may be a decompression bomb"):
            read(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000 + ".png", "\ud800.png", "none.png"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        read_facts(tmp_path / name)
    with pytest.raises(InputError):
        read_mask(tmp_path / name)


@REUSE
@given(st.randoms(use_true_random=False), st.sampled_from(["png", "jpg", "bmp", "tif", "webp"]))
def test_damaged_files_give_a_value_or_an_error_of_vlmads_own(
    draw, random: random.Random, kind: str
) -> None:
    image = draw(f"a.{kind}", size=(16, 16))
    data = bytearray(image.read_bytes())
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] = random.randrange(256)
    image.write_bytes(data[: random.randint(0, len(data))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (read_facts, read_mask):
            with contextlib.suppress(InputError):
                read(image)
