"""`vlmad report`: one folder in, one file out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad_report import _report_page

from .conftest import BenchMaker

Command = Callable[..., Any]


def test_a_report_is_one_file_in_the_folder_and_its_name_is_printed(
    own: BenchMaker, command: Command
) -> None:
    ended = command("report", own.folder)
    assert (ended.status, ended.out.strip()) == (0, str(own.folder / "report.html"))
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "sharp, blunt on parts" in page
    titles = re.findall(r"<h2 id=\S+_title.>(.*?)</h2>", page)
    assert titles == [
        "Summary",
        "Categories",
        "Object groups",
        "Contrast of defects",
        "Size of defects",
        "Types of defects",
        "Zero-shot and few-shot",
        "Window sizes",
        "Published figures",
        "Curves and scores",
        "Failures",
    ]


def test_the_same_results_give_the_same_bytes(own: BenchMaker, command: Command) -> None:
    pages = []
    for _ in range(2):  # the second replaces the first
        assert command("report", own.folder).status == 0
        pages.append((own.folder / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_options_say_where_it_lies_how_it_is_called_and_what_it_shows(
    bench: BenchMaker, command: Command, tmp_path: Path
) -> None:
    groups = tmp_path / "groups.toml"
    groups.write_text('[groups]\nhard = ["metal nut"]\n')
    out = tmp_path / "new" / "page.html"
    words = ["--out", out, "--title", "Ours & theirs", "--groups", groups, "--failures", "0"]
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


def test_a_bench_of_an_earlier_vlmad_is_to_be_run_anew(own: BenchMaker, command: Command) -> None:
    path = own.folder / "bench.json"
    path.write_text(path.read_text().replace("vlmad bench 3", "vlmad bench 1"))
    ended = command("report", own.folder)
    assert ended.status == 2
    assert "make it anew if an earlier one wrote it" in ended.error


def test_a_bench_that_goes_on_is_reported_as_far_as_it_is(
    own: BenchMaker, command: Command
) -> None:
    path = own.folder / "bench.json"
    path.write_text(path.read_text().replace('"finished": true', '"finished": false'))
    assert command("report", own.folder).status == 0
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "is not finished: what follows is of the 8 cells done so far." in page


def test_a_part_that_fails_takes_only_itself_from_the_page(
    own: BenchMaker, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object) -> None:
        raise ValueError("two\nlines <b>")

    monkeypatch.setattr(_report_page, "published", fail)
    ended = command("report", own.folder)
    assert ended.status == 1
    assert "vlmad: not in the report: Published figures: ValueError: two lines <b>" in ended.error
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "This part of the report could not be made: ValueError: two lines &lt;b&gt;." in page
    assert "Macro averages with their intervals." in page


def test_cells_without_their_files_leave_out_what_is_computed_from_them(
    own: BenchMaker, command: Command
) -> None:
    for path in own.folder.rglob("replicates.npz"):
        path.write_bytes(b"no archive")
    ended = command("report", own.folder)
    assert ended.status == 1
    assert "Zero-shot and few-shot: " in ended.error
    assert "holds no metrics, or damaged ones" in ended.error
    assert "Summary" not in ended.error


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


def test_a_photograph_that_has_changed_is_not_shown(own: BenchMaker, command: Command) -> None:
    for path in own.data.rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"\0")
    assert command("report", own.folder).status == 0
    page = (own.folder / "report.html").read_text(encoding="utf-8")
    assert "the photograph is another file now than the one that was scored" in page
    assert "<img" not in page


def test_a_run_folder_outside_of_the_bench_is_refused(own: BenchMaker, command: Command) -> None:
    path = own.folder / "bench.json"
    document = json.loads(path.read_text())
    document["cells"][0]["run"] = "../../elsewhere"
    path.write_text(json.dumps(document))
    ended = command("report", own.folder)
    assert ended.status == 2
    assert "not inside its folder" in ended.error


def test_what_drove_a_score_comes_from_the_detector_that_a_bench_measured(
    bench: BenchMaker, command: Command, tmp_path: Path
) -> None:
    words = ["--category", "bolt", "--detector", "clip", "--backbone", "tiny", "--replicates", "10"]
    out = tmp_path / "bench"
    assert command("bench", bench.data, *words, "--out", out, "--quiet").status == 0
    assert command("report", out, "--failures", "1").status == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "text: the probability of the anomalous side" in page
    assert "What drove the score is not known" not in page
