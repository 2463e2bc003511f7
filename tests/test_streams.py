"""Whatever a name holds and wherever output goes: it arrives, and does nothing on the way."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.table import Table
from rich.text import Text

from vlmad.console import console, output, say, write_json
from vlmad.errors import MOST_SHOWN, shown
from vlmad_cli._process_streams import DEGRADED, keep_output, page
from vlmad_cli.frame import main

from .conftest import SMALL

ENCODINGS = st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "cp437", "utf-16"])
WIDTHS = st.sampled_from([1, 2, 7, 40, 80, 300])
HOSTILE = "a\x1b]0;x\x07\x9b31m\u202egnp.exe\u2066\0\udcff\r\nvlmad: forged [bold] tür-错.png"
TEXTS = st.text(max_size=60) | st.sampled_from([HOSTILE, HOSTILE * 1000, "x" * 100_000])
FILES = st.text(st.characters(exclude_characters="\0/", exclude_categories=()), min_size=1)


class Printed(NamedTuple):
    """What came of a command."""

    status: int
    out: str
    error: str


def ran(words: list[str], encoding: str, width: int = 80) -> Printed:
    """Run the command line with streams of an encoding that takes nothing it lacks."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[0]):
        patch.setattr(sys, "argv", ["vlmad", *words])
        patch.setenv("COLUMNS", str(width))
        with redirect_stderr(streams[1]), pytest.raises(SystemExit) as ended:
            main()
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
    return Printed(int(ended.value.code or 0), *texts)


def assert_harmless(text: str) -> None:
    assert "\x1b" not in text
    for line in text.split("\n"):
        assert len(line) <= 7 * MOST_SHOWN  # in a stream that writes much of it as escapes
        assert shown(line[:MOST_SHOWN]) == line[:MOST_SHOWN]


@given(TEXTS, ENCODINGS, WIDTHS)
@settings(max_examples=40)
@example(HOSTILE, "ascii", 1)
def test_any_text_is_shown_on_any_stream_as_a_line_a_cell_or_a_page(
    text: str, encoding: str, width: int
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, DEGRADED)
    with redirect_stdout(stream), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        screen = console()
        screen.print(text)
        stream.flush()
        once = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        assert once.count("\n") == 1
        table = Table(text, "other")
        table.add_row(text, Text(text))
        screen.print(table)
        stream.flush()
        written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert_harmless(written)


@given(TEXTS, st.sampled_from(["describe", "run", "data", "report", "nothing-of-this-name"]))
@settings(max_examples=25)
def test_a_command_says_in_one_line_what_is_wrong_with_any_word(text: str, command: str) -> None:
    words = [command, text] if command[0] != "n" else [text]
    if any(word.startswith("-") or not word for word in words):
        return
    ended = ran(words, "ascii")
    assert ended.status == 2
    assert ended.out == ""
    assert ended.error.startswith("vlmad: ")
    assert ended.error.count("\n") == 1
    assert_harmless(ended.error)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("words", [["run", "--help"], ["--help"], ["describe", "winclip"]], ids=str)
def test_help_goes_to_any_stream_with_dashes_that_remain_dashes(
    words: list[str], encoding: str
) -> None:
    ended = ran(words, encoding)
    assert ended.status == 0
    assert "\\u" not in ended.out
    assert ended.out.isascii() or encoding != "ascii"
    assert_harmless(ended.out)


@given(st.dictionaries(TEXTS, TEXTS, max_size=3), ENCODINGS)
@settings(max_examples=40)
def test_json_is_exact_on_any_stream(document: dict[str, str], encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, "strict")
    with redirect_stdout(stream):
        text = json.dumps(document, ensure_ascii=False)
        write_json(text.encode("utf-8", "backslashreplace") + b"\n")
    written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert json.loads(written) == document
    assert_harmless("\n".join(written[at : at + 500] for at in range(0, len(written), 500)))


def test_what_a_stream_can_say_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("tür  错.png [bold]:smile:")
    say("tür  错.png")
    write_json(b'"t\xc3\xbcr"\n')
    assert capsys.readouterr() == ('tür  错.png [bold]:smile:\n"tür"\n', "vlmad: tür  错.png\n")
    assert page("a → b\n  c") == "a → b\n  c"


def test_the_middle_of_a_long_line_is_left_out_and_its_remedy_stays() -> None:
    said = shown(f"{'x' * 100_000}: choose another --out")
    assert len(said) == MOST_SHOWN
    assert said.startswith("xxx")
    assert said.endswith("x: choose another --out")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(name=st.one_of(FILES, st.just("tür-错\n\x1b[2J\u202e.png")), encoding=ENCODINGS)
def test_names_of_files_reach_people_harmless_and_machines_exactly(
    tmp_path: Path, name: str, encoding: str
) -> None:
    stem = name.encode("utf-8", "replace")[:100].decode("utf-8", "ignore")
    folder = tmp_path / "set"
    folder.mkdir(exist_ok=True)
    table = folder / "parts.csv"
    quoted = stem.replace('"', '""')
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    rows = "".join(f'{image},good,"c{quoted}c"\n' for image in ("x.png", "a.png"))
    rows = f"image,label,category\n{rows}"
    table.write_text(rows, encoding="utf-8", newline="")
    people, machines = (ran(["data", str(table), *more], encoding) for more in ([], ["--json"]))
    assert_harmless(people.out.replace(str(tmp_path), "") + people.error)
    problems = json.loads(machines.out)["problems"]
    assert problems[0]["path"] == str(table)
    assert people.status == machines.status == 1  # one line is wrong


def test_closed_streams_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with keep_output():
        output().write("nobody reads this\n")
        say("nor this")
    for stream in (sys.stdout, sys.stderr):
        stream.close()


START = [sys.executable, "-m", "vlmad"]


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_a_command_as_any_other(tmp_path: Path) -> None:
    for words in (["plugins", "--json"], ["run", "--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        ended = subprocess.run([*START, *words], stdout=writer, stderr=-1, cwd=tmp_path)
        os.close(writer)
        assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_results_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run([*START, "--version"], stdout=full, stderr=-1, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == b"vlmad: No space left on device\n"


@pytest.mark.slow
def test_a_process_prints_any_name_in_an_encoding_that_lacks_it(
    tmp_path: Path, photos: Path
) -> None:
    photo = photos / "tür-错 \u202e.png"
    (photos / "0000.png").rename(photo)
    words = ["run", str(photo), "--detector", "clip", *SMALL, "--out", "out"]
    own = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    for more in ([], ["--json"]):
        ended = subprocess.run([*START, *words, *more], capture_output=True, cwd=tmp_path, env=own)
        assert ended.returncode == 0, ended.stderr
        assert b"\\u9519 \\u202e.png" in ended.stdout
    assert json.loads(ended.stdout.decode("cp1252"))["image"] == str(photo)
