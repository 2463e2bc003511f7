"""The same scene gives the same pixels however it is stored, and the same mask."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from vlmad.errors import InputError, OptionError
from vlmad.images import Source, decode, read_image
from vlmad_datasets.masks import read_mask
from vlmad_formats.orientation import UPRIGHT, upright
from vlmad_formats.ranges import find_range
from vlmad_formats.reading import Reading
from vlmad_formats.stored_values import endings, read_facts, read_raster

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
SIZE = WIDTH, HEIGHT = 37, 26


def scene() -> Image.Image:
    """Return a grey picture that looks different from each side."""
    image = Image.linear_gradient("L").resize(SIZE).point(lambda v: 30 + v * 3 // 4)
    ImageDraw.Draw(image).rectangle((3, 2, 11, 6), 250)
    return image


GREY = np.asarray(scene()).astype(int)


def stored(image: Image.Image, orientation: int) -> Image.Image:
    """Return the pixels that an orientation brings upright again."""
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    method = undo.get(orientation) or UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def exif(orientation: int) -> bytes:
    table = Image.Exif()
    table[0x0112] = orientation
    return table.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def as_tiff(values: np.ndarray, path: Path, **how: Any) -> None:
    tifffile.imwrite(path, values, **how)


DEPTHS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, dict[str, Any]]]] = {
    "8": lambda share: ((share * 255).round().astype(np.uint8), {}),
    "10": lambda share: ((share * 1023).round().astype(np.uint16), {"bitspersample": 10}),
    "12": lambda share: ((share * 4095).round().astype(np.uint16), {"bitspersample": 12}),
    "14": lambda share: ((share * 16383).round().astype(np.uint16), {"bitspersample": 14}),
    "16": lambda share: ((share * 65535).round().astype(np.uint16), {}),
    "float16": lambda share: (share.astype(np.float16), {}),
    "float32": lambda share: (share.astype(np.float32), {}),
    "float64": lambda share: (share, {}),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd": {"compression": "zstd", "tile": (32, 16)},
}


@REUSE
@given(
    st.sampled_from(list(DEPTHS)),
    st.sampled_from(["grey", "white is 0", "rgb", "planes", "alpha", "dimmed alpha"]),
    st.sampled_from(list(LAYOUTS)),
    st.sampled_from("<>"),
    st.integers(1, 8),
    st.integers(1, 3),
)
def test_a_scene_is_the_same_in_every_tiff(
    tmp_path: Path, depth: str, colours: str, layout: str, order: str, orientation: int, page: int
) -> None:
    grey = np.asarray(stored(scene(), orientation)) / 255
    share = {"grey": grey, "white is 0": 1 - grey}.get(colours, np.dstack([grey] * 3))
    how: dict[str, Any] = {"photometric": "rgb", "byteorder": order} | LAYOUTS[layout]
    if share.ndim == 2:
        how["photometric"] = "minisblack" if colours == "grey" else "miniswhite"
    if colours == "planes":
        share, how["planarconfig"] = np.moveaxis(share, 2, 0), "separate"
    elif "alpha" in colours:
        share = np.dstack([share, np.ones_like(grey)])
        how["extrasamples"] = ["unassalpha" if colours == "alpha" else "assocalpha"]
    values, bits = DEPTHS[depth](share)
    if bits:  # packed bits have one order, which tifffile misses when it writes them as ">"
        how = {k: v for k, v in how.items() if k not in ("compression", "predictor")}
        how["byteorder"] = "<"
    if depth.startswith("float") and layout == "deflate":
        how["predictor"] = 3
    with tifffile.TiffWriter(tmp_path / "scene.tif", byteorder=how.pop("byteorder")) as file:
        for number in range(1, 4):
            one = values if number == page else values[..., ::-1] * 0
            file.write(one, **how, **bits, extratags=[(274, "H", 1, orientation, True)])
    reading = Reading(page=page)
    image, facts = read_image(tmp_path / "scene.tif", reading=reading)
    assert np.abs(np.asarray(image).astype(int) - GREY[..., None]).max() <= 1
    assert facts.notes == (f"page {page} of 3",)
    assert read_facts(tmp_path / "scene.tif", reading=reading).size == SIZE == image.size
    assert facts.orientation == orientation


def png(orientation: int, how: str, image: Image.Image) -> bytes:
    """Return a PNG that says in one of several ways how its pixels are turned."""
    said, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    data = exif(orientation)
    if how == "raw profile":
        said.add_text("Raw profile type exif", f"\nexif\n{len(data):8d}\n{data.hex()}\n", zip=True)
    elif how == "XMP":
        said.add_itxt("XML:com.adobe.xmp", f'<x tiff:Orientation="{orientation}"/>')
    image.save(buffer, "PNG", pnginfo=said, **({"exif": data} if how == "eXIf" else {}))
    plain = buffer.getvalue()
    if how == "eXIf after the pixels":
        return plain[:-12] + chunk(b"eXIf", data.removeprefix(b"Exif\0\0")) + plain[-12:]
    return plain


SAID = ["eXIf", "raw profile", "XMP", "eXIf after the pixels"]


@pytest.mark.parametrize("how", SAID)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_header_pixels_and_masks_agree_where_up_is(
    tmp_path: Path, how: str, orientation: int
) -> None:
    path = tmp_path / "scene.png"
    path.write_bytes(png(orientation, how, stored(scene(), orientation)))
    assert np.array_equal(np.asarray(decode(path))[..., 0], GREY)
    facts = read_facts(path)
    assert (facts.size, facts.orientation) == (SIZE, orientation)
    marked = scene().point(lambda v: 255 * (v > 240))
    path.write_bytes(png(orientation, how, stored(marked, orientation)))
    assert np.array_equal(read_mask(path).marked, GREY > 240)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_are_turned_as_images_are(orientation: int) -> None:
    turned = upright(np.asarray(stored(scene(), orientation)), orientation)
    assert np.array_equal(turned, GREY)


@pytest.mark.parametrize(
    "broken",
    [chunk(b"eXIf", b"NOTATIFFHEADER"), chunk(b"zTXt", b"a\0\0no zlib"), chunk(b"iCCP", b"x\0\0?")],
    ids=["eXIf", "zTXt", "iCCP"],
)
def test_metadata_that_cannot_be_read_spoil_no_picture(tmp_path: Path, broken: bytes) -> None:
    whole = png(6, "raw profile", stored(scene(), 6))
    (tmp_path / "odd.png").write_bytes(whole[:33] + broken + whole[33:])
    assert np.array_equal(np.asarray(decode(tmp_path / "odd.png"))[..., 0], GREY)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_16_bits_in_colour_keeps_them(tmp_path: Path, channels: int) -> None:
    grey = (GREY * 257).astype(np.uint16)
    values = np.dstack([*[grey] * (1 if channels == 2 else 3), np.full_like(grey, 65535)])
    values = values[..., :channels]
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))
    assert np.array_equal(np.asarray(decode(tmp_path / "deep.png"))[..., 0], GREY)
    values[..., :3] = values[..., :3] > 60000
    if channels != 2:
        (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))
        assert np.array_equal(read_mask(tmp_path / "deep.png").marked, GREY * 257 > 60000)


@pytest.mark.parametrize("most", [255, 1023, 4095, 65535])
def test_a_pgm_is_scaled_by_the_maximum_that_it_states(tmp_path: Path, most: int) -> None:
    values = np.round(GREY / 255 * most).astype(">u2" if most > 255 else "u1")
    head = f"P5\n{WIDTH} {HEIGHT}\n{most}\n".encode()
    (tmp_path / "a.pgm").write_bytes(head + values.tobytes())
    assert np.abs(np.asarray(decode(tmp_path / "a.pgm"))[..., 0].astype(int) - GREY).max() <= 1


def test_one_decoder_is_asked_for_all_endings() -> None:
    assert {".jfif", ".jpe", ".pgm", ".gif", ".png", ".tiff", ".bmp", ".webp"} <= endings()


# what white is


def deep(path: Path, most: float, dtype: Any = np.uint16, hot: float | None = None) -> Path:
    values = np.tile((GREY / 255 * most).astype(dtype), (8, 8))
    if hot is not None:
        values[0, 0] = hot
    as_tiff(values, path)
    return path


@pytest.mark.parametrize(
    ("most", "dtype", "found"),
    [
        (1023, np.uint16, "auto:1023/1"),
        (4095, np.uint16, "auto:4095/1"),
        (65535, np.uint16, "auto:65535/1"),
        (1, np.float32, "auto:65535/1"),
        (255, np.float32, "auto:65535/255"),
        (65535, np.float32, "auto:65535/65535"),
    ],
)
def test_white_is_found_once_for_a_run_and_no_single_pixel_moves_it(
    tmp_path: Path, most: float, dtype: Any, found: str
) -> None:
    files = [deep(tmp_path / f"{i}.tif", most, dtype) for i in range(3)]
    hot = np.inf if dtype == np.float32 else 65535
    files.append(deep(tmp_path / "hot.tif", most, dtype, hot))
    said, notes = find_range(files)
    assert said == found
    assert len(notes) == 1
    for file in files:
        seen = np.asarray(decode(file, reading=Reading(said)))[:HEIGHT, :WIDTH, 0].astype(int)
        assert np.abs(seen - GREY)[1:].max() <= 1


def test_a_file_of_another_depth_is_named(tmp_path: Path) -> None:
    files = [deep(tmp_path / f"{i}.tif", 65535) for i in range(3)]
    files.append(deep(tmp_path / "odd.tif", 4095))
    said, notes = find_range(files)
    assert said == "auto:65535/1"
    assert "another depth: odd.tif" in notes[0]
    _, facts = read_image(files[-1], reading=Reading(said))
    assert facts.notes == ("its values end at 4095, white is 65535: is it of another depth?",)


def test_floats_that_are_not_of_0_to_1_are_refused_until_somebody_says_what_is_white(
    tmp_path: Path,
) -> None:
    file = deep(tmp_path / "a.tif", 700, np.float32)
    with pytest.raises(InputError, match=r"a\.tif: values from .* give the option range"):
        decode(file)
    seen = np.asarray(decode(file, reading=Reading("0:700")))[:HEIGHT, :WIDTH, 0].astype(int)
    assert np.abs(seen - GREY).max() <= 1


def test_what_a_file_states_counts_before_what_the_run_shows(tmp_path: Path) -> None:
    values = (GREY / 255 * 4095).astype(np.uint16)
    as_tiff(values, tmp_path / "a.tif", extratags=[(281, "H", 1, 4095, True)])
    as_tiff(values, tmp_path / "b.tif", extratags=[(281, "H", 1, 3187, True)])  # a statistic
    assert read_facts(tmp_path / "a.tif").range == (0, 4095)
    assert read_facts(tmp_path / "b.tif").range is None
    assert find_range([tmp_path / "a.tif"]) == ("auto", ())
    packed = imagecodecs.png_encode((GREY * 257).astype(np.uint16))
    (tmp_path / "c.png").write_bytes(packed[:33] + chunk(b"sBIT", b"\x0c") + packed[33:])
    assert read_facts(tmp_path / "c.png").range == (0, 65535)


@pytest.mark.parametrize("text", ["auto", "full", "12", "0:4095", "-5:7.5", "auto:4095/1, page 3"])
def test_a_reading_is_written_and_read(text: str) -> None:
    assert str(Reading.parse(text)) == text
    assert Reading.parse(f"{text}, 5000 pixels").most_pixels == 5000


@pytest.mark.parametrize("text", ["", "some", "0", "4095:0", "5:5", "auto:x", "999"])
def test_a_reading_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        Reading(text)


def test_the_limit_of_pixels_is_named_and_can_be_lifted(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"37 x 26 pixels are more than 900.* image.most_pixels=N"):
        decode(tmp_path / "a.png", reading=Reading(most_pixels=900))
    source = Source("a", tmp_path / "a.png", reading=Reading(most_pixels=962))
    assert source.size == SIZE


def test_without_the_extra_wide_files_are_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep(tmp_path / "a.tif", 4095)
    scene().save(tmp_path / "b.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(InputError, match=r'a\.tif: .* pip install "vlmad\[formats\]"'):
        decode(tmp_path / "a.tif")
    assert decode(tmp_path / "b.tif").size == SIZE


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"photometric": "cielab"}, "CIELAB"),
        ({"photometric": "minisblack", "planarconfig": "contig"}, "3 channels"),
    ],
)
def test_colours_that_are_not_read_right_are_refused_by_name(
    tmp_path: Path, how: dict[str, Any], what: str
) -> None:
    as_tiff(np.dstack([GREY] * 3).astype(np.uint16), tmp_path / "a.tif", **how)
    with pytest.raises(InputError, match=f"{what}.*are not read; convert it"):
        decode(tmp_path / "a.tif")


# colours


def test_colours_are_converted_by_their_profile_and_srgb_stays_as_it_is(tmp_path: Path) -> None:
    colour = Image.merge("RGB", (scene(), scene().rotate(180), scene().point(lambda v: 255 - v)))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    colour.save(tmp_path / "srgb.png", icc_profile=srgb)
    assert np.array_equal(np.asarray(decode(tmp_path / "srgb.png")), np.asarray(colour))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for name, profile in (("broken", b"no profile"), ("lab", lab)):
        colour.save(tmp_path / f"{name}.png", icc_profile=profile)
        image, facts = read_image(tmp_path / f"{name}.png")
        assert np.array_equal(np.asarray(image), np.asarray(colour))
        assert "its colour profile is ignored" in facts.notes[0]


# damage


def test_a_png_that_lacks_rows_or_its_end_or_has_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    scene().save(buffer, "PNG")
    whole, place = buffer.getvalue(), buffer.getvalue().index(b"IDAT")
    rows = b"".join(b"\0" + bytes(row) for row in GREY[:-4].tolist())
    for content, what in (
        (whole[:-12], "ends before its end chunk"),
        (whole[: place + 9] + b"?" + whole[place + 10 :], "a wrong checksum in its IDAT"),
        (whole[:33] + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""), "fewer rows"),
    ):
        (tmp_path / "a.png").write_bytes(content)
        for read in (decode, read_raster, read_mask):
            with pytest.raises(InputError, match=what):
                read(tmp_path / "a.png")


def test_black_rows_at_the_end_and_interlaced_files_are_whole(tmp_path: Path) -> None:
    black = scene()
    black.paste(0, (0, 20, *SIZE))
    black.save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").size == SIZE
    values = np.asarray(scene())
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2)]
    passes += [(0, 2, 1, 2), (1, 2, 0, 1)]
    rows = b"".join(
        b"\0" + bytes(row.tolist())
        for top, down, left, right in passes
        for row in values[top::down, left::right]
    )
    head = struct.pack(">IIBBBBB", *SIZE, 8, 0, 0, 0, 1)
    for data in (rows, rows[: -3 * WIDTH]):
        parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
        (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        if data is rows:
            assert np.array_equal(np.asarray(decode(tmp_path / "b.png"))[..., 0], GREY)
    with pytest.raises(InputError, match="damaged image"):
        decode(tmp_path / "b.png")


KINDS = [
    {},
    {"progressive": True},
    {"restart_marker_rows": 1},
    {"optimize": True, "subsampling": 0},
    {"progressive": True, "restart_marker_rows": 2},
]


def textured() -> Image.Image:
    noise = np.random.default_rng(3).normal(0, 20, (160, 200, 3))
    smooth = np.asarray(scene().resize((200, 160)))[..., None]
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("how", KINDS, ids=str)
def test_a_jpeg_that_lost_bytes_is_named_and_a_whole_one_is_as_pillow_reads_it(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    textured().save(tmp_path / "a.jpg", quality=88, **how)
    whole = (tmp_path / "a.jpg").read_bytes()
    with Image.open(io.BytesIO(whole)) as plain:
        assert np.array_equal(np.asarray(decode(tmp_path / "a.jpg")), np.asarray(plain))
    named = []
    for place in range(len(whole) // 3, len(whole) - 2500, len(whole) // 40):
        for damaged in (
            whole[:place] + bytes(100) + whole[place + 100 :],
            whole[:place] + whole[place + 1000 :],
            whole[:place] + b"\xff\xd9",
            whole[:place],
        ):
            (tmp_path / "a.jpg").write_bytes(damaged)
            with suppress(InputError):
                decode(tmp_path / "a.jpg")
                continue
            named.append(place)
    tried = 4 * len(range(len(whole) // 3, len(whole) - 2500, len(whole) // 40))
    assert len(named) >= 0.75 * tried  # what is made up can be as long as what was zeroed


@pytest.mark.parametrize("how", KINDS, ids=str)
@pytest.mark.parametrize("colour", ["black", (9, 200, 40)])
def test_a_flat_jpeg_is_whole(tmp_path: Path, how: dict[str, Any], colour: Any) -> None:
    Image.new("RGB", (200, 130), colour).save(tmp_path / "a.jpg", **how)
    assert decode(tmp_path / "a.jpg").size == (200, 130)


# masks


def test_a_mask_is_what_a_viewer_shows(tmp_path: Path) -> None:
    marked = GREY > 240
    as_tiff((~marked).astype(np.uint16) * 4095, tmp_path / "white0.tif", photometric="miniswhite")
    as_tiff(marked.astype(np.float32), tmp_path / "float.tif")
    Image.fromarray(marked).save(tmp_path / "bits.png")
    palette = Image.fromarray(marked.astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 0, 0, 9])
    palette.save(tmp_path / "palette.gif")
    for path in tmp_path.iterdir():
        assert np.array_equal(read_mask(path).marked, marked), path


def test_a_mask_with_the_levels_of_a_photograph_is_cut_at_half_of_its_range(tmp_path: Path) -> None:
    marked = np.zeros((90, 120), bool)
    marked[20:50, 30:80] = True
    for low, high in ((0, 255), (0, 120)):
        buffer = io.BytesIO()
        Image.fromarray(np.where(marked, high, low).astype(np.uint8)).save(buffer, "JPEG")
        Image.open(buffer).save(tmp_path / "mask.png")
        (tmp_path / "mask.jpg").write_bytes(buffer.getvalue())
        for name in ("mask.png", "mask.jpg"):
            mask = read_mask(tmp_path / name)
            assert np.array_equal(mask.marked, marked)
            assert "half of its range" in mask.notes[0]


def test_the_lower_of_two_values_is_the_background_and_that_is_said(tmp_path: Path) -> None:
    marked = GREY > 240
    Image.fromarray(marked.astype(np.uint8) + 1).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert np.array_equal(mask.marked, marked)
    assert "1, its lowest, is taken as background" in mask.notes[0]


def test_numbers_of_many_instances_are_all_defective(tmp_path: Path) -> None:
    values = np.arange(8 * 12).reshape(8, 12).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png").marked, values > 0)


def test_a_mask_that_marks_most_of_an_image_is_said_to(tmp_path: Path) -> None:
    Image.fromarray((GREY < 240).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    [note] = read_mask(tmp_path / "mask.png").notes
    assert "inverted" in note


# what a run says


def test_a_run_tells_what_was_special_about_a_file_and_names_a_damaged_one(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png")
    scene().save(tmp_path / "plain.png")
    textured().save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "lost.jpg").write_bytes(whole[:2000] + whole[3000:])
    names = ("clear.png", "plain.png", "whole.jpg", "lost.jpg")
    ended = command("run", *names, "--detector", "clip", "--out", "out")
    assert ended.status == 1
    assert "note: clear.png: transparent throughout: its colours count" in ended.error
    assert "not scored: lost.jpg: damaged image: compressed data are" in ended.error
    rows = [json.loads(line) for line in (tmp_path / "out/scores.jsonl").read_text().splitlines()]
    assert rows[0]["notes"] == ["transparent throughout: its colours count"]
    assert rows[0]["score"] == pytest.approx(rows[1]["score"], abs=1e-6)
