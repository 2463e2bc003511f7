"""What detectors are called, and which of their cells are looked at."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vlmad_evaluation.bench.reading import Results
from vlmad_report.cells import lines_of, said_of
from vlmad_report.naming import detector_names, drawn
from vlmad_report.study import Looking, Study


def _results(folder: str, *detectors: str, cells: tuple[dict[str, object], ...] = ()) -> Results:
    document = {"detectors": {name: {} for name in detectors}, "cells": list(cells)}
    return Results(Path(folder), document, ())


def test_the_folder_is_named_only_where_names_collide() -> None:
    one, other = _results("runs/a", "clip", "winclip"), _results("runs/b", "winclip", "hybrid")
    assert detector_names([one, other]) == (
        {"clip": "clip", "winclip": "winclip (a)"},
        {"winclip": "winclip (b)", "hybrid": "hybrid"},
    )


def test_folders_of_one_name_are_named_in_full() -> None:
    one, other = detector_names([_results("/x/out", "clip"), _results("/y/out", "clip")])
    assert (one["clip"], other["clip"]) == ("clip (/x/out)", "clip (/y/out)")


def test_a_folder_that_is_given_twice_is_numbered() -> None:
    one, other = detector_names([_results("/x/out", "clip"), _results("/x/out", "clip")])
    assert (one["clip"], other["clip"]) == ("clip (/x/out, 1)", "clip (/x/out, 2)")


def _cell(shots: int, seed: int | None, category: str = "nut") -> dict[str, object]:
    return {"detector": "clip", "category": category, "shots": shots, "seed": seed}


def test_zero_shot_is_looked_at_or_else_the_fewest_references_with_the_first_seed() -> None:
    cells = (_cell(4, 1), _cell(4, 0), _cell(1, 1), _cell(1, 0), _cell(1, 0, "bolt"))
    [line] = lines_of([_results("a", "clip", cells=cells)])
    assert line.cells == (_cell(1, 0), _cell(1, 0, "bolt"))
    assert said_of([line]) == "All detectors 1-shot (the first seed)."
    [line] = lines_of([_results("a", "clip", cells=(*cells, _cell(0, None)))])
    assert line.cells == (_cell(0, None),)


def test_detectors_without_cells_are_left_out() -> None:
    assert lines_of([_results("a", "clip")]) == ()
    assert lines_of([]) == ()


@given(st.text(), st.integers(8, 40))
def test_a_drawn_name_fits_on_a_line(name: str, room: int) -> None:
    text = drawn(name, room)
    assert len(text) <= room
    assert text.isprintable()
    if name.isprintable():
        assert text[: room // 2] == name[: room // 2]


def test_results_are_looked_at_once_for_all_sections(looked: Study, results: Results) -> None:
    looking = Looking()
    first = looking([results])
    assert first.contrasts == looked.contrasts
    assert looking([results]) is first
    assert looking([]) is not first
