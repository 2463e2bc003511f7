"""Lists and tables are read however they were made; tables that are written compute nothing."""

from __future__ import annotations

import codecs
import csv
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_datasets.tabular import read_rows
from vlmad_run.csv_cells import FORMULA, as_meant, csv_line, disarmed
from vlmad_run.finding import find_images
from vlmad_run.texts import decode_text, named_path

MADE = {
    "linux": lambda text: text.encode(),
    "notepad": lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    "powershell": lambda text: ("\ufeff" + text.replace("\n", "\r\n")).encode("utf-16-le"),
    "without-a-mark": lambda text: text.replace("\n", "\r\n").encode("utf-16-le"),
    "big-endian-without-a-mark": lambda text: text.encode("utf-16-be"),
    "big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "excel": lambda text: text.replace("\n", "\r\n").encode("cp1252"),
    "old-mac": lambda text: text.replace("\n", "\r").encode(),
}
made_by = pytest.mark.parametrize("made", MADE.values(), ids=MADE)
NAMES = ["tür 1.png", "scratch/größe.png", "€.png"]


def draw(folder: Path) -> list[Path]:
    paths = [folder / name for name in NAMES]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return paths


@made_by
@pytest.mark.parametrize("slash", ["/", "\\"], ids=["slash", "backslash"])
def test_a_list_is_read_whatever_made_it(
    made: Callable[[str], bytes], slash: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path)
    content = made("\n".join([*(name.replace("/", slash) for name in NAMES), "", ""]))
    Path("list.txt").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "ascii"))
    assert list(map(str, find_images(["-"]))) == NAMES
    assert list(map(str, find_images(["@list.txt"]))) == NAMES


@made_by
@pytest.mark.parametrize("sign", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_a_table_is_read_whatever_made_it(
    made: Callable[[str], bytes], sign: str, tmp_path: Path
) -> None:
    paths = draw(tmp_path)
    rows = ["image,label,defect", *(f"{n},bad,Kratzer ß" for n in NAMES)]
    text = "\n".join(rows).replace(",", sign).replace("/", "\\")
    (tmp_path / "parts.csv").write_bytes(made(text))
    dataset = open_dataset(tmp_path / "parts.csv")
    samples = dataset.select()
    assert [(s.image, s.defect) for s in samples] == [(path, "Kratzer ß") for path in paths]


def test_names_that_are_no_text_and_names_in_quotes_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = os.fsdecode(b"t\xfcr.png")
    for name in (raw, "tür.png", "a b.png"):
        Path(name).touch()
    Path("list").write_bytes(b't\xfcr.png\nt\xc3\xbcr.png\n"a b.png"  \r\n')
    assert find_images(["@list"]) == [Path("tür.png"), Path("a b.png")]
    Path("tür.png").unlink()
    assert find_images(["@list"])[0] == Path(raw)
    assert named_path("t\\udcfcr.png", tmp_path) == tmp_path / raw  # as tables of ours have it


def test_names_separated_by_nuls_are_no_utf_16() -> None:
    assert decode_text(b"0.png\x001.png\x00") == "0.png\x001.png\x00"
    assert decode_text(b"\x00" * 8) == "\x00" * 8


def test_a_file_whose_name_begins_with_an_at_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "@x.png").touch()
    assert find_images([tmp_path / "@x.png"]) == [tmp_path / "@x.png"]
    with pytest.raises(InputError, match="nowhere: No such file or directory"):
        find_images(["@nowhere"])


def test_wrong_lines_of_a_list_are_named_and_the_others_scored(
    command: Callable[..., Any], photos: Path
) -> None:
    lines = ["photos/0000.png", "photos/none.png", "nowhere/0.png", "x" * 5000, "photos/0001.png"]
    Path("list.txt").write_text("\n".join(lines), encoding="utf-16")
    ended = command("run", "@list.txt", "--detector", "clip", "--overlays", "none", "--out", "out")
    assert ended.status == 1
    assert "2 images scored" in ended.out
    said = ended.error.splitlines()
    assert said[0] == "vlmad: list.txt line 2: photos/none.png: no such file or folder"
    assert said[1] == "vlmad: list.txt line 3: nowhere/0.png: no such file or folder"
    assert said[2].startswith("vlmad: list.txt line 4: xxx")
    assert said[2].endswith("File name too long")


def test_many_wrong_lines_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list").write_text("none.png\n" * 1000, encoding="utf-8")
    assert find_images([f"@{tmp_path}/list"]) == [Path("none.png")]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 21
    assert said[-1] == "vlmad: and 980 more lines that name nothing"


def test_a_row_with_a_stray_quote_is_named_and_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_text('image,label\na.png,ok\n"b".png,ok\nc.png,bad\n')
    table = read_rows(tmp_path / "parts.csv")
    assert [row.fields["image"] for row in table.rows] == ["a.png", "c.png"]
    assert [problem.what for problem in table.problems] == ["line 3: ',' expected after '\"'"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", ",".join(f"c{n}" for n in range(100_000)), "100000 columns; at most 1000"),
        ("a.csv", "x" * 30_000_000, "line 1: 30000000 characters; is this a text"),
        ("a.csv", "image,label\n" + "," * 2_000_000, "line 2: 2000000 characters"),
        ("a.csv", "image,label\n" + "," * 1_000_000, None),
        ("a.jsonl", "\n".join(f'{{"c{n}": 1}}' for n in range(10_000)), "10000 columns"),
    ],
    ids=["columns", "line", "commas", "empty", "keys"],
)
def test_absurd_tables_are_refused_at_once(
    name: str, content: str, what: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    if what is None:
        assert read_rows(tmp_path / name).rows == ()
        return
    with pytest.raises(InputError, match=what):
        read_rows(tmp_path / name)


CELLS = st.text() | st.tuples(
    st.text("'= \t\r\n", max_size=3), st.sampled_from("=+-@\t\r\uff1d"), st.text(max_size=5)
).map("".join)


@given(CELLS)
def test_no_cell_is_a_formula_and_each_is_read_as_it_was_meant(text: str) -> None:
    cell = disarmed(text)
    assert as_meant(cell) == text
    if cell.lstrip()[:1] in tuple("=@\uff1d"):
        assert FORMULA.match(cell) is None, cell


def test_numbers_are_not_touched() -> None:
    line = csv_line([-0.5, "-0.5", "+1e-7", "-1+2", "=1", 3, None])
    assert line == b"-0.5,-0.5,+1e-7,'-1+2,'=1,3,\n"


@pytest.mark.parametrize("name", ["=1+2.png", "+a.png", "-b.png", "@c.png", "\td.png", "'=e.png"])
def test_tables_of_a_run_and_its_review_compute_nothing_and_come_back(
    name: str, command: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    (photos / "0000.png").rename(tmp_path / name)
    words = ("--detector", "clip", "--overlays", "none", "--out", "out")
    assert command("run", *words, "--", name).status == 0
    assert command("review", "out", "--init", "verdicts.csv").status == 0
    for table in ("out/scores.csv", "verdicts.csv"):
        [row] = csv.DictReader(Path(table).read_text(encoding="utf-8").splitlines())
        assert row["image"] == f"'{name}"
        assert read_rows(Path(table)).rows[0].fields["image"] == name


def test_wrong_lines_of_a_table_are_named_and_the_others_scored(
    command: Callable[..., Any], photos: Path
) -> None:
    rows = ["image,label", "photos/0000.png,ok", "photos/none.png,ok", "photos/0001.png,so-so"]
    Path("parts.csv").write_text("\n".join([*rows, "photos/0002.png,ng"]), encoding="utf-8")
    words = ("--detector", "clip", "--overlays", "none", "--out")
    ended = command("run", "parts.csv", *words, "out")
    assert ended.status == 1
    assert "2 images scored" in ended.out
    said = ended.error.splitlines()
    assert "vlmad: parts.csv: line 3: photos/none.png: No such file or directory" in said
    assert any(line.startswith("vlmad: parts.csv: line 4: label 'so-so' is") for line in said)
    Path("parts.csv").write_text("\n".join([rows[0], *rows[2:]]), encoding="utf-8")
    ended = command("run", "parts.csv", *words, "none")
    assert ended.status == 2
    assert "parts.csv: line 2: photos/none.png: No such file" in ended.error
    assert not Path("none").exists()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_text(content: bytes) -> None:
    assert isinstance(decode_text(content), str)
