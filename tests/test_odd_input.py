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
from PIL import Image

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_run.finding import find_images, read_list
from vlmad_run.rows import Row, from_line, to_csv, to_line

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20)
ROWS = st.builds(
    Row,
    image=NAMES | st.binary(min_size=1).map(os.fsdecode),
    score=NUMBERS,
    verdict=st.sampled_from(["ok", "anomalous", ""]),
    reason=st.text(max_size=20),
    sha256=st.none() | st.text(max_size=64),
    map=st.just("maps/a.png"),
    map_low=NUMBERS,
    map_high=NUMBERS,
    overlay=st.just("overlays/a.png"),
)


@given(ROWS)
def test_a_line_gives_back_its_row(row: Row) -> None:
    line = to_line(row)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert from_line(line) == row


@given(st.lists(ROWS, max_size=5))
def test_a_table_gives_back_its_rows(rows: list[Row]) -> None:
    text = b"".join(to_csv(rows)).decode("utf-8")
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    shown = [row.image.encode("utf-8", "backslashreplace").decode() for row in rows]
    assert [each["image"] for each in read] == shown
    assert [float(each["score"]) for each in read] == [row.score for row in rows]


@given(st.binary(max_size=80))
def test_no_line_brings_the_reader_down(line: bytes) -> None:
    assert from_line(line) is None


@pytest.mark.slow
@given(st.lists(NAMES.filter(lambda n: n.strip() and "\r" not in n and "\n" not in n), min_size=1))
def test_lists_are_read_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("list") / "list.txt"
    encoded = [name.encode("utf-8", "surrogatepass") for name in names if name[0] != "\ufeff"]
    for joint, start in ((b"\n", b""), (b"\r\n", b"\xef\xbb\xbf"), (b"\0", b"")):
        path.write_bytes(start + joint.join(encoded) + joint)
        if encoded:
            assert [os.fsencode(str(p)) for p in read_list(path)] == [
                os.fsencode(str(Path(os.fsdecode(name)))) for name in encoded
            ]


ODD = ["a b.png", "new\nline.png", "[1]{x}*.png", "😀.png", os.fsdecode(b"\xff.png"), "-x.png"]


@pytest.mark.slow
def test_names_of_every_kind_are_scored_and_come_back(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    for index, name in enumerate(ODD):
        Image.new("RGB", (8, 8), (index * 40, 0, 0)).save(tmp_path / name)
    named = tmp_path / "list"
    named.write_bytes(b"\0".join(map(os.fsencode, ODD)))
    words = ("--detector", "clip", "--overlays", "none")
    table = command("run", "--list", "list", *words, "--out", "table")
    assert table.status == 0, table.error
    printed = command("run", "--list", "list", *words, "--out", "out", "--json")
    assert printed.status == 0, printed.error
    assert [json.loads(line)["image"] for line in printed.out.splitlines()] == ODD
    assert command("run", *words, "--quiet", "--out", "out", "--", "-x.png").status == 0
    assert len((tmp_path / "out" / "scores.jsonl").read_bytes().splitlines()) == len(ODD)


@pytest.mark.slow
def test_a_list_comes_from_standard_input(
    photos: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_ = io.TextIOWrapper(io.BytesIO(b"photos/0001.png\nphotos/0003.png\n"))
    monkeypatch.setattr(sys, "stdin", given_)
    assert command("run", "-", "--detector", "clip", "--quiet", "--out", "out").status == 0
    assert len((tmp_path / "out" / "scores.jsonl").read_bytes().splitlines()) == 2


@pytest.mark.slow
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
