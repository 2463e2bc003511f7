"""`vlmad report`: one folder in, one file out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad.datasets import Sample
from vlmad_evaluation.result_folders import Scored
from vlmad_report import _report_page
from vlmad_report._failure_section import score_drivers
from vlmad_run.stored_run import read_run

from .conftest import BenchMaker

Command = Callable[..., Any]


@pytest.mark.slow
def test_a_report_is_one_file_in_the_folder_and_the_same_whenever_it_is_made(
    own: BenchMaker, command: Command
) -> None:
    pages = []
    for _ in range(2):  # the second replaces the first
        ended = command("report", own.folder)
        assert (ended.status, ended.out.strip()) == (0, str(own.folder / "report.html"))
        pages.append((own.folder / "report.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert pages[0].startswith("<!DOCTYPE html>")
    assert "sharp, blunt on parts" in pages[0]
    titles = re.findall(r"<h2 id=\S+_title.>(.*?)</h2>", pages[0])
    assert titles == [
        "Summary",
        "Categories",
        "Object groups",
        "Contrast of defects",
        "Size of defects",
        "Types of defects",
        "Zero-shot and few-shot",
        "Window sizes",
        "Other conditions",
        "Published figures",
        "Curves and scores",
        "Failures",
    ]


@pytest.mark.slow
def test_options_say_where_it_lies_how_it_is_called_and_what_it_shows(
    bench: BenchMaker, command: Command, tmp_path: Path
) -> None:
    groups = tmp_path / "groups.toml"
    groups.write_text('[groups]\nhard = ["metal nut"]\n')
    out = tmp_path / "new" / "page.html"
    words = ["--out", out, "--title", "Ours & theirs", "--object-groups", groups, "--failures", "0"]
    assert command("report", bench.folder, *words).status == 0
    page = out.read_text(encoding="utf-8")
    assert "<title>Ours &amp; theirs</title>" in page
    assert "hard: metal nut." in page
    assert "Photographs were left out on request." in page
    assert "<img" not in page
    assert not (bench.folder / "report.html").exists()


def test_a_file_that_is_no_report_is_not_replaced(
    bench: BenchMaker, command: Command, tmp_path: Path
) -> None:
    for taken in (tmp_path / "letter.html", tmp_path):
        if taken != tmp_path:
            taken.write_text("<p>Dear Sir or Madam")
        ended = command("report", bench.folder, "--out", taken)
        assert ended.status == 2
        assert f"{taken} is there and is no report; choose another --out" in ended.error
    assert (tmp_path / "letter.html").read_text() == "<p>Dear Sir or Madam"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "gone: no such folder; name one of vlmad bench or vlmad grid"),
        (["."], ". holds no bench.json or grid.json: it is no bench or grid"),
    ],
)
def test_what_is_no_bench_is_refused_in_a_line(
    words: list[str], message: str, command: Command
) -> None:
    ended = command("report", *words)
    assert ended.status == 2
    assert message in ended.error
    assert len(ended.error.splitlines()) == 1


@pytest.mark.slow
def test_what_is_not_finished_or_fails_takes_only_itself_from_the_page(
    own: BenchMaker, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object) -> None:
        raise ValueError("two\nlines <b>")

    monkeypatch.setattr(_report_page, "published", fail)
    for path in own.folder.rglob("replicates.npz"):
        path.write_bytes(b"no archive")
    path = own.folder / "bench.json"
    path.write_text(path.read_text().replace('"finished": true', '"finished": false'))
    ended = command("report", own.folder, "--failures", "0")
    assert ended.status == 1
    assert "vlmad: not in the report: Published figures: ValueError: two lines <b>" in ended.error
    assert "Zero-shot and few-shot: " in ended.error
    assert "holds no metrics, or damaged ones" in ended.error
    assert "Summary" not in ended.error
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "This part of the report could not be made: ValueError: two lines &lt;b&gt;." in page
    assert "is not finished: what follows is of the 8 cells done so far." in page
    assert "Macro averages with their intervals." in page


@pytest.mark.slow
def test_images_that_have_moved_are_found_below_the_root_that_is_named(
    own: BenchMaker, command: Command, tmp_path: Path
) -> None:
    moved = own.data.rename(tmp_path / "elsewhere")
    assert command("report", own.folder).status == 0
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "19 images of 19 are not where they were measured" in page
    assert "<img" not in page
    assert command("report", own.folder, "--data", moved).status == 0
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "are not where they were measured" not in page
    assert f"<dt>Images from</dt><dd><bdi>{moved}</bdi>" in page
    assert page.count("<img") > 4


def test_a_root_without_the_images_is_refused(
    bench: BenchMaker, command: Command, tmp_path: Path
) -> None:
    ended = command("report", bench.folder, "--data", tmp_path)
    assert ended.status == 2
    assert f"no image of {bench.folder} is below {tmp_path}" in ended.error


@pytest.mark.slow
def test_a_photograph_that_has_changed_is_not_shown(own: BenchMaker, command: Command) -> None:
    for path in own.data.rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"\0")
    assert command("report", own.folder).status == 0
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "the photograph is another file now than the one that was scored" in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("what", "instead", "message"),
    [
        ("vlmad bench 4", "vlmad bench 1", "make it anew if an earlier one wrote it"),
        ('"run": "cells/', '"run": "../cells/', "not inside its folder"),
    ],
)
def test_a_bench_that_is_damaged_is_refused(
    what: str, instead: str, message: str, own: BenchMaker, command: Command
) -> None:
    path = own.folder / "bench.json"
    assert what in path.read_text()
    path.write_text(path.read_text().replace(what, instead))
    ended = command("report", own.folder)
    assert ended.status == 2
    assert message in ended.error


@pytest.mark.slow
def test_what_drove_a_score_comes_from_the_detector_of_its_run(
    bench: BenchMaker, command: Command, tmp_path: Path
) -> None:
    image = bench.data / "bolt" / "test" / "chip" / "000.png"
    words = ["--detector", "clip", "--backbone", "tiny", "--class-name", "bolt"]
    assert command("run", image, *words, "--out", tmp_path / "run").status == 0
    [row] = read_run(tmp_path / "run").rows()
    sample = Sample(image, "anomalous", "bolt", "test", "chip")
    sentences = score_drivers(Scored(sample, row, tmp_path / "run"))
    assert any("text: the probability of the anomalous side" in each for each in sentences)
    other = Scored(sample, row.model_copy(update={"score": 2.0}), tmp_path / "run")
    assert score_drivers(other)[0].startswith("What drove the score is not known: the score is")
