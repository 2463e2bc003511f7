"""Files as other tools write them: right, or refused or noted by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from vlmad.errors import InputError
from vlmad.images import decode, read_image
from vlmad_formats.reading import Reading
from vlmad_formats.stored_values import read_facts

WIDTH, HEIGHT = 61, 44
RAMP = np.linspace(30, 210, WIDTH).astype(np.uint8)
GREY = np.tile(RAMP, (HEIGHT, 1))
GREY[3:9, 4:15] = 250
RGB = np.dstack([GREY, GREY[::-1, ::-1], np.roll(GREY, 7, 1)])
DEEP = GREY.astype(np.uint16) * 257
OPAQUE = np.full_like(GREY, 255)
CLEAR = np.where(np.arange(HEIGHT)[:, None] < 20, OPAQUE, 128).astype(np.uint8)
SHARE = CLEAR / 255
ON_WHITE = np.rint(GREY * SHARE + 255 * (1 - SHARE))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(*pages: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    order, big = how.pop("byteorder", "<"), how.pop("bigtiff", False)
    kinds = how.pop("subfiletypes", [0] * len(pages))
    with tifffile.TiffWriter(file, byteorder=order, bigtiff=big) as writer:
        for page, kind in zip(pages, kinds, strict=True):
            writer.write(page, **{"subfiletype": kind, "photometric": "minisblack"} | how)
    return file.getvalue()


def saved(pixels: Any, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **how)
    return file.getvalue()


def png_with(*chunks: bytes, pixels: np.ndarray = GREY) -> bytes:
    plain = saved(pixels, "PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def profile(space: bytes) -> bytes:
    """Return a profile of grey values of gamma 1.8, or one that calls them something else."""
    curve = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", int(1.8 * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    text = b"text\0\0\0\0none\0\0\0\0"
    tags = {b"desc": text, b"cprt": text, b"wtpt": white, b"kTRC": curve}
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        place = 128 + 4 + 12 * len(tags) + len(body)
        table, body = table + name + struct.pack(">II", place, len(data)), body + data
    size = struct.pack(">I", 128 + len(table) + len(body))
    head = size + b"lcms\x02\x10\0\0mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    return (head + struct.pack(">iii", 63190, 65536, 54061)).ljust(128, b"\0") + table + body


def bmp_of_runs() -> bytes:
    """Return a BMP of run lengths, its rows from below."""
    rows = b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in GREY[::-1])
    palette = b"".join(bytes([value] * 3 + [0]) for value in range(256))
    place = 54 + len(palette)
    sizes = 40, WIDTH, HEIGHT, 1, 8, 1, len(rows) + 2, 0, 0, 256, 0
    head = struct.pack("<IHHI", place + len(rows) + 2, 0, 0, place)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", *sizes) + palette + rows + b"\0\1"


def pnm(kind: int, most: int) -> bytes:
    values = np.rint((GREY if kind in (2, 5) else RGB) / 255 * most).astype(int)
    head = f"P{kind}\n# by hand\n{WIDTH} {HEIGHT}\n{most}\n".encode()
    if kind < 4:
        return head + " ".join(map(str, values.ravel())).encode()
    return head + values.astype(">u2" if most > 255 else "u1").tobytes()


CMYK = Image.fromarray(RGB).convert("CMYK")
DIMMED = np.rint(GREY * SHARE).astype(np.uint8)
READ: dict[str, tuple[Callable[[], bytes], np.ndarray, int]] = {
    **{
        f"{name}.tif": (partial(tiff, RGB, compression=name, photometric="rgb"), RGB, 1)
        for name in ("jpegxl", "jpeg2000", "lerc", "png", "pixtiff", "packbits", "zstd", "lzma")
    },
    "big-endian-big.tif": (lambda: tiff(GREY, bigtiff=True, byteorder=">"), GREY, 0),
    "big-endian-big-16.tif": (lambda: tiff(DEEP, bigtiff=True, byteorder=">"), GREY, 0),
    "white-is-0-alpha.tif": (
        lambda: tiff(
            np.dstack([255 - GREY, CLEAR]),
            photometric="miniswhite",
            extrasamples=["unassalpha"],
            planarconfig="contig",
        ),
        ON_WHITE,
        1,
    ),
    "dimmed-alpha.tif": (
        lambda: tiff(
            np.dstack([DIMMED, CLEAR]), extrasamples=["assocalpha"], planarconfig="contig"
        ),
        ON_WHITE,
        2,
    ),
    "preview-first.tif": (lambda: tiff(GREY[::4, ::4], GREY, subfiletypes=[1, 0]), GREY, 0),
    "preview-first-16.tif": (lambda: tiff(DEEP[::4, ::4], DEEP, subfiletypes=[1, 0]), GREY, 0),
    "preview-8-page-16.tif": (lambda: tiff(GREY[::4, ::4], DEEP, subfiletypes=[1, 0]), GREY, 0),
    "cmyk.jpg": (lambda: saved(CMYK, "JPEG", quality=100, subsampling=0), RGB, 4),
    "cmyk.tif": (lambda: saved(CMYK, "TIFF"), RGB, 1),
    "photograph.mpo": (
        lambda: saved(RGB, "MPO", save_all=True, append_images=[CMYK.convert("RGB")], quality=99),
        RGB,
        255,
    ),
    "runs.bmp": (bmp_of_runs, GREY, 0),
    **{
        f"{kind}-{most}.pnm": (partial(pnm, kind, most), GREY, 1)
        for kind in (2, 5)
        for most in (255, 1023, 4095, 65535)
    },
    "6-4095.ppm": (lambda: pnm(6, 4095), RGB, 1),
    "a-png.jpg": (lambda: saved(RGB, "PNG"), RGB, 0),
    "a-tiff.png": (lambda: tiff(DEEP), GREY, 0),
    "trailing.jpg": (lambda: saved(GREY, "JPEG", quality=100) + b"appended", GREY, 4),
}


@pytest.mark.parametrize("name", READ)
def test_files_of_other_tools_show_what_was_stored(tmp_path: Path, name: str) -> None:
    write, expected, most = READ[name]
    (tmp_path / name).write_bytes(write())
    image, facts = read_image(tmp_path / name)
    expected = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= most
    assert read_facts(tmp_path / name) == facts or facts.notes
    assert facts.size == (WIDTH, HEIGHT)


NOTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "preview.tif": (lambda: tiff(GREY[::4, ::4], GREY, subfiletypes=[1, 0]), "page 2 of 2"),
    "gamma.png": (lambda: png_with(chunk(b"gAMA", struct.pack(">I", 55556))), "gamma of 0.556"),
    "moving.png": (
        lambda: saved(GREY, "PNG", save_all=True, append_images=[Image.fromarray(GREY // 2)]),
        "an animation",
    ),
    "grey-profile.png": (
        lambda: saved(RGB, "PNG", icc_profile=profile(b"GRAY")),
        "profile is ignored: it is one of other colours",
    ),
    "cmyk-profile.png": (
        lambda: saved(RGB, "PNG", icc_profile=profile(b"CMYK")),
        "profile is ignored",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_not_as_a_viewer_shows_it_is_noted(tmp_path: Path, name: str) -> None:
    write, said = NOTED[name]
    (tmp_path / name).write_bytes(write())
    image, facts = read_image(tmp_path / name)
    assert said in " ".join(facts.notes)
    assert np.array_equal(np.asarray(image), RGB if "profile" in name else np.dstack([GREY] * 3))


def test_a_usual_gamma_is_nothing_to_be_noted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with(chunk(b"gAMA", struct.pack(">I", 45455))))
    assert read_image(tmp_path / "a.png")[1].notes == ()


def damaged(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes(20) + content[half + 20 :]


NOISE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "deflated.tif": (
        lambda: damaged(tiff(NOISE, compression="zlib", photometric="rgb", rowsperstrip=9)),
        "damaged image",
    ),
    "tiles.tif": (
        lambda: damaged(tiff(NOISE, compression="zlib", photometric="rgb", tile=(16, 16))),
        "damaged image",
    ),
    "two-channels.tif": (
        lambda: tiff(np.dstack([GREY, GREY]), planarconfig="contig"),
        "2 channels that are neither grey nor RGB",
    ),
    "colour.pfm": (lambda: b"PF\n2 1\n-1.0\n" + bytes(24), "not an image of a known format"),
    "page.jpg": (lambda: b"<!DOCTYPE html><html></html>", "not an image of a known format"),
    "phone.jpg": (lambda: b"\0\0\0\x18ftypheic" + bytes(99), "not an image of a known format"),
    "none.jpg": (lambda: b"", "the file is empty"),
    "complex.tif": (lambda: tiff(GREY.astype(np.complex64)), "values of such a kind"),
    "signed.tif": (lambda: tiff(DEEP.astype(np.int16)), "nothing says which of them are black"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_right_is_refused(tmp_path: Path, name: str) -> None:
    write, said = REFUSED[name]
    (tmp_path / name).write_bytes(write())
    with pytest.raises(InputError, match=said):
        decode(tmp_path / name)


@pytest.mark.parametrize("first", [GREY[:20, :20], DEEP[:20, :20]], ids=["8 bits", "16 bits"])
def test_a_header_speaks_of_the_page_that_is_read(tmp_path: Path, first: np.ndarray) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(first, GREY))
    reading = Reading(page=2)
    image, facts = read_image(tmp_path / "a.tif", reading=reading)
    assert np.array_equal(np.asarray(image)[..., 0], GREY)
    assert read_facts(tmp_path / "a.tif", reading=reading) == facts
    assert facts.size == image.size


def test_odd_tags_of_a_tiff_print_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(DEEP, extratags=[(274, "H", 1, 0, True)]))
    assert decode(tmp_path / "a.tif").size == (WIDTH, HEIGHT)
    assert capfd.readouterr().err == ""
