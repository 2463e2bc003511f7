"""Whatever names, formats and lists there are: a run scores what it can and says why not."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad.testing import TWO_LAYERS
from vlmad_run.csv_cells import as_meant
from vlmad_run.finding import find_images
from vlmad_run.rows import ScoreRow, read_row, to_csv, to_line

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)
ROWS = st.builds(
    ScoreRow,
    image=NAMES | st.binary(min_size=1).map(os.fsdecode).filter(lambda n: "\0" not in n),
    score=NUMBERS,
    verdict=st.sampled_from(["ok", "anomalous", ""]),
    reason=st.just("") | NAMES,
    sha256=st.none() | NAMES,
    map=st.just("maps/a.png"),
    map_low=NUMBERS,
    map_high=NUMBERS,
    overlay=st.just("overlays/a.png"),
)


@given(ROWS)
def test_a_line_gives_back_its_row(row: ScoreRow) -> None:
    line = to_line(row)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_row(line) == row


@given(st.lists(ROWS, max_size=5))
def test_a_table_gives_back_its_rows(rows: list[ScoreRow]) -> None:
    text = b"".join(to_csv(rows)).decode("utf-8")
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    shown = [row.image.encode("utf-8", "backslashreplace").decode() for row in rows]
    assert [as_meant(each["image"]) for each in read] == shown
    assert [float(each["score"]) for each in read] == [row.score for row in rows]


@given(st.binary(max_size=80))
def test_no_line_brings_the_reader_down(line: bytes) -> None:
    assert read_row(line) is None


def given_on_standard_input(patch: pytest.MonkeyPatch, content: bytes) -> None:
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


ODD = ["a b.png", "new\nline.png", "[1]{x}*.png", "😀.png", os.fsdecode(b"\xff.png"), "-x.png"]


@pytest.mark.parametrize("joint", [b"\n", b"\r\n", b"\0"], ids=repr)
def test_a_list_is_read_in_every_form(
    joint: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [name for name in ODD if "\n" not in name or joint == b"\0"]
    for name in names:
        (tmp_path / name).touch()
    content = joint.join([*map(os.fsencode, names), b""])
    given_on_standard_input(monkeypatch, b"\xef\xbb\xbf" + content)
    assert list(map(str, find_images(["-"]))) == names


def test_names_of_every_kind_are_scored_and_come_back(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, name in enumerate(ODD):
        Image.new("RGB", (8, 8), (index * 40, 0, 0)).save(tmp_path / name)
    words = ("--detector", "clip", "--overlays", "none", "--out", "out")
    for form in ([], ["--json"]):
        given_on_standard_input(monkeypatch, b"\0".join(map(os.fsencode, ODD)))
        ended = command("run", "-", *words, *form)
        assert ended.status == 0, ended.error
    assert [json.loads(line)["image"] for line in ended.out.splitlines()] == ODD
    assert command("run", *words, "--quiet", "--", "-x.png").status == 0
    assert len((tmp_path / "out" / "scores.jsonl").read_bytes().splitlines()) == len(ODD)


def test_hostile_files_are_reported_and_the_others_scored(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    whole = (photos / "0000.png").read_bytes()
    (photos / "empty.png").write_bytes(b"")
    (photos / "half.png").write_bytes(whole[:200])
    (photos / "gone.png").symlink_to("nowhere")
    (photos / "folder.png").mkdir()
    os.mkfifo(photos / "pipe.png")
    (photos / "around").symlink_to(photos)
    (photos / "hard.png").hardlink_to(photos / "0000.png")
    ended = command("run", "photos", "photos/0000.png", "--detector", "clip", "--out", "out")
    assert ended.status == 1
    said = sorted(line.split("not scored: photos/")[1] for line in ended.error.splitlines())
    names = [line.split(":")[0] for line in said]
    assert names == ["empty.png", "gone.png", "half.png", "pipe.png"]
    assert "7 images scored" in ended.out


def test_empty_names_and_nul_bytes_name_no_images() -> None:
    for path in ("", "a\0b"):
        with pytest.raises(InputError):
            find_images([path])
    with pytest.raises(InputError, match="ftp://bucket: no such file or folder"):
        find_images(["ftp://bucket"])


def upright(marked: Image.Image, orientation: int) -> Image.Image:
    """Return how a camera stores an image that is shown like `marked` by this orientation."""
    turn = Image.Transpose
    stored = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM}
    stored |= {5: turn.TRANSPOSE, 6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}
    return marked.transpose(stored[orientation]) if orientation > 1 else marked


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_mark_stays_at_its_place_however_the_camera_was_held(
    suffix: str, orientation: int, tmp_path: Path
) -> None:
    marked = Image.new("RGB", (64, 32))
    marked.paste("white", (48, 4, 56, 12))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright(marked, orientation).save(tmp_path / f"photo{suffix}", exif=exif)
    seen = np.asarray(decode(tmp_path / f"photo{suffix}").convert("L"))
    assert seen.shape == (32, 64)
    assert np.argwhere(seen > 128).mean(0) == pytest.approx((7.5, 51.5), abs=0.6)


WIDE = (96, 60)


@pytest.fixture(scope="module")
def model(two_layer_file: Path) -> list[str]:
    """Options that choose WinCLIP on a backbone of two layers."""
    return ["--backbone", f"openclip:{TWO_LAYERS}", "--set", f"backbone.weights={two_layer_file}"]


def photograph(size: tuple[int, int] = WIDE) -> Image.Image:
    """Return a picture that looks different from each side, its upper left corner red."""
    ramp = np.linspace(40, 200, size[0] * size[1]).reshape(size[::-1]).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp[:, ::-1], ramp], -1))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, size[0] // 4, size[1] // 4), "red")
    pen.ellipse((size[0] // 2, size[1] // 2, size[0] * 0.7, size[1] * 0.9), "white")
    return image


def write_odd(folder: Path) -> dict[str, tuple[int, int]]:
    """Write images that cameras and programs make, and return the upright size of each."""
    image = photograph()
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.rotate(90, expand=True).save(folder / "turned.jpg", exif=turned, quality=95)
    with Image.open(folder / "turned.jpg") as stored:
        assert stored.size == WIDE[::-1]
        stored.rotate(-90, expand=True).save(folder / "upright.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    Image.fromarray(grey * 257).save(folder / "sixteen.png")
    image.convert("L").save(folder / "eight.png")
    palette = image.quantize(32)
    palette.save(folder / "palette.png", transparency=0)
    clear = image.copy()
    clear.putalpha(Image.new("L", WIDE, 128))
    clear.save(folder / "alpha.png")
    return {path.name: WIDE for path in folder.iterdir()}


def run(command: Callable[..., Any], *words: str | Path) -> dict[str, dict[str, Any]]:
    done = command("run", *words, "--out", "done", "--json")
    assert done.status == 0, done.error
    rows = [json.loads(line) for line in done.out.splitlines()]
    return {Path(row["image"]).name: row for row in rows}


def map_of(row: dict[str, Any]) -> np.ndarray:
    with Image.open(Path("done", row["map"])) as image:
        share = np.asarray(image).astype(float) / 65535
    return np.asarray(row["map_low"] + share * (row["map_high"] - row["map_low"]))


def test_odd_photographs_go_through_a_whole_run_upright_and_in_their_own_size(
    command: Callable[..., Any], tmp_path: Path, model: list[str]
) -> None:
    (tmp_path / "odd").mkdir()
    sizes = write_odd(tmp_path / "odd")
    rows = run(command, "odd", *model)
    assert rows.keys() == sizes.keys()
    pictures = {}
    for name, row in rows.items():
        assert map_of(row).shape == sizes[name][::-1]
        with Image.open(tmp_path / "done" / row["overlay"]) as picture:
            pictures[name] = np.asarray(picture.convert("RGB")).astype(int)
    assert map_of(rows["turned.jpg"]) == pytest.approx(map_of(rows["upright.png"]), abs=1e-4)
    assert map_of(rows["sixteen.png"]) == pytest.approx(map_of(rows["eight.png"]), abs=1e-4)
    turned, upright = (pictures[name][40:] for name in ("turned.jpg", "upright.png"))
    assert np.abs(turned - upright).mean() < 1
    corner = pictures["turned.jpg"][45:50, 10:15].mean((0, 1))
    assert corner[0] > 150 > 100 > corner[1]
