"""Whatever a file holds becomes an upright RGB image or an error that says why."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmad.errors import InputError
from vlmad.images import Source, decode, read_image, restore_whole
from vlmad.resizing import frame
from vlmad.types import ImageBatch, Preprocessing
from vlmad_run.finding import find_images

SIDES = st.integers(1, 90)
MODEL = Preprocessing((40, 56), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def picture(width: int = 6, height: int = 4) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm"])
def test_lossless_formats_are_read_as_they_are(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    flat = Image.new("RGB", (6, 4), (10, 200, 90))
    flat.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(np.asarray(decode(path)), np.asarray(flat))


def test_jpeg_is_read_upright_and_nearly_as_it_was(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), "red")
    image.paste("blue", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    turned = np.asarray(decode(tmp_path / "turned.jpg")).astype(int)
    assert turned.shape == (20, 10, 3)
    assert turned[3, 5, 2] > 200
    assert turned[16, 5, 0] > 200


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("image.tif" if mode in ("CMYK", "YCbCr", "F", "I") else "image.png")
    image = Image.new(mode, (5, 3))
    image.save(path)
    assert decode(path).mode == "RGB"
    assert decode(path).size == (5, 3)


def test_sixteen_bits_are_scaled_by_their_full_range(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.asarray(decode(tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 100, 255]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (9, 9, 9, 255))
    half.save(tmp_path / "clear.png")
    assert np.asarray(decode(tmp_path / "clear.png"))[0, :, 0].tolist() == [255, 9]
    palette = Image.new("P", (2, 1), 0)
    palette.putpixel((1, 0), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert np.asarray(decode(tmp_path / "palette.png"))[0, :, 0].tolist() == [255, 9]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_where_all_is_transparent_the_colours_count_and_that_is_said(
    mode: str, tmp_path: Path
) -> None:
    image = Image.new("RGBA", (3, 2), (70, 70, 70, 0)).convert(mode)
    image.save(tmp_path / "clear.png", **({"transparency": 0} if mode == "P" else {}))
    seen, facts = read_image(tmp_path / "clear.png")
    assert np.asarray(seen).min() == np.asarray(seen).max() == 70
    assert facts.notes == ("transparent throughout: its colours count",)


def bomb(path: Path) -> None:
    """Write a tiny PNG that claims to hold 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_hostile_files_end_in_an_error_that_names_them(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    picture(60, 40).save(whole)
    picture(60, 40).save(tmp_path / "whole.jpg")
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:300])
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:400])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "noise.tif").write_bytes(b"II*\0" + bytes(range(256)))
    (tmp_path / "script.eps").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage"
    )
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    bomb(tmp_path / "bomb.png")
    for name, reason in {
        "half.png": "damaged image",
        "half.jpg": "damaged image",
        "empty.png": "the file is empty",
        "text.png": "not an image of a known format",
        "noise.tif": "image",
        "script.eps": "not an image of a known format",
        "folder.png": "is a folder",
        "link.png": "No such file",
        "bomb.png": "decompression bomb",
    }.items():
        with pytest.raises(InputError, match=reason) as caught:
            decode(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def is_image_or_named_in_the_error(path: Path) -> bool:
    try:
        return decode(path).mode == "RGB"
    except InputError as error:
        return str(path) in str(error)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0"]),
)
def test_no_bytes_bring_the_reader_down(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "image.png"
    path.write_bytes(start + content)
    assert is_image_or_named_in_the_error(path)


@given(st.binary(min_size=1, max_size=4), st.integers(0, 400))
def test_no_damage_to_a_png_brings_the_reader_down(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, place: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "image.png"
    picture(12, 9).save(path)
    data = bytearray(path.read_bytes())
    data[place : place + len(damage)] = damage
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_image_or_named_in_the_error(path)


def test_reading_leaves_the_filters_of_warnings_to_other_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(12, 9).save(tmp_path / "image.png")
    monkeypatch.setattr(warnings, "catch_warnings", None)  # whoever wants it fails
    assert decode(tmp_path / "image.png").size == (12, 9)


# finding


def test_folders_are_searched_to_the_bottom_without_masks_and_other_files(tmp_path: Path) -> None:
    for name in (
        "b.png",
        "a.JPG",
        "sub/deep/c.webp",
        "ground_truth/hole/000_mask.png",
        "sub/ground_truth/d.png",
        "notes.txt",
        ".hidden.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in find_images([tmp_path])]
    assert found == ["a.JPG", "b.png", "sub/deep/c.webp"]


def test_a_mask_folder_named_directly_is_searched(tmp_path: Path) -> None:
    folder = tmp_path / "ground_truth"
    folder.mkdir()
    (folder / "x.png").write_bytes(b"")
    assert find_images([folder]) == [folder / "x.png"]


def test_files_come_once_in_the_order_given_and_patterns_are_expanded(tmp_path: Path) -> None:
    for name in "cab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    (tmp_path / "[1].png").write_bytes(b"")
    (tmp_path / "photo.dat").write_bytes(b"")
    first = tmp_path / "c.png"
    found = find_images([first, tmp_path, str(tmp_path / "?.png"), tmp_path / "photo.dat"])
    assert [path.name for path in found] == ["c.png", "[1].png", "a.png", "b.png", "photo.dat"]
    assert find_images([tmp_path / "[1].png"]) == [tmp_path / "[1].png"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "no images in"), (tmp_path / "x*.png", "no such file")):
        with pytest.raises(InputError, match=message):
            find_images([path])


# to the model's size and back


def batch(width: int, height: int, resize: str, value: int | None = None) -> ImageBatch:
    image = (
        picture(width, height) if value is None else Image.new("RGB", (width, height), (value,) * 3)
    )
    return ImageBatch((Source("image", image),), resize)  # type: ignore[arg-type]


@given(SIDES, SIDES, st.sampled_from(["squash", "pad"]))
def test_a_map_comes_back_at_the_size_of_its_original(width: int, height: int, resize: str) -> None:
    sources = batch(width, height, resize).sources
    restored = restore_whole(sources, torch.full((1, *MODEL.size), 0.7), resize)
    assert restored.shape == (height, width)
    assert np.allclose(restored, 0.7)


@given(SIDES, SIDES, st.sampled_from(["squash", "pad"]))
def test_a_crop_of_everything_is_the_whole_image(width: int, height: int, resize: str) -> None:
    images = batch(width, height, resize)
    whole = images.crops(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), MODEL)
    torch.testing.assert_close(whole[:, 0], images.pixels(MODEL))


@given(SIDES, SIDES, st.integers(0, 255))
def test_squashed_pixels_are_normalised_channel_by_channel(
    width: int, height: int, value: int
) -> None:
    pixels = batch(width, height, "squash", value).pixels(MODEL)
    for channel in range(3):
        expected = (value / 255 - MODEL.mean[channel]) / MODEL.std[channel]
        torch.testing.assert_close(pixels[0, channel], torch.full(MODEL.size, expected))


@given(SIDES, SIDES)
def test_padding_keeps_the_format_and_the_middle(width: int, height: int) -> None:
    box = frame((width, height), MODEL.size, "pad")
    shown = (box.right - box.left) / (box.bottom - box.top)
    assert shown == pytest.approx(MODEL.size[1] / MODEL.size[0])
    assert (box.left + box.right) / 2 == pytest.approx(width / 2)
    assert (box.top + box.bottom) / 2 == pytest.approx(height / 2)
    assert box.left <= 0 <= width <= box.right + 1e-9
    assert box.top <= 0 <= height <= box.bottom + 1e-9


@pytest.mark.parametrize("resize", ["squash", "pad"])
@pytest.mark.parametrize("size", [(80, 80), (120, 40), (30, 90)])
def test_a_bright_spot_is_found_again_at_its_place(resize: str, size: tuple[int, int]) -> None:
    width, height = size
    spot = Image.new("RGB", size)
    row, column = height // 4, 3 * width // 4
    spot.paste("white", (column - 3, row - 3, column + 4, row + 4))
    images = ImageBatch((Source("spot", spot),), resize)  # type: ignore[arg-type]
    grey = Preprocessing((160, 160), (0.0,) * 3, (1.0,) * 3)
    heat = images.pixels(grey)[0].mean(0)
    if resize == "pad":
        heat = heat * (heat > 0.5)
    restored = restore_whole(images.sources, heat[None], images.resize)
    found = np.argwhere(restored > 0.6 * restored.max()).mean(0)
    assert found == pytest.approx((row, column), abs=1.5)
