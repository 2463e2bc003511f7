"""Which cells are looked at, under which names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad_report.looking.cells import Line, lines_of, said_of
from vlmad_report.looking.study import Looking, Study

pytestmark = pytest.mark.xdist_group("benched")  # they share a bench


def with_cells(results: Results, cells: Sequence[dict[str, Any]]) -> Results:
    """Return results whose cells of winclip have these shots and seeds."""
    pattern = results.cells(detector="winclip", category="bolt")[0]
    document = {**results.document, "cells": [{**pattern, **cell} for cell in cells]}
    return replace(results, document=document)


def looked_at(line: Line) -> list[tuple[str, int, int | None]]:
    return [(p.category, p.cell["shots"], p.cell["seed"]) for p in line.places]


def test_zero_shot_is_looked_at_or_else_the_fewest_references_with_the_first_seed(
    results: Results,
) -> None:
    drawn_cells = [
        {"shots": shots, "seed": seed, "category": category}
        for shots, seed, category in (
            (4, 1, "nut"),
            (4, 0, "nut"),
            (1, 1, "nut"),
            (1, 0, "nut"),
            (1, 0, "bolt"),
        )
    ]
    [line] = lines_of([with_cells(results, drawn_cells)])
    assert looked_at(line) == [("nut", 1, 0), ("bolt", 1, 0)]
    assert said_of([line]) == "All detectors 1-shot (the first seed)."
    zero = {"shots": 0, "seed": None, "category": "nut"}
    [line] = lines_of([with_cells(results, [*drawn_cells, zero])])
    assert looked_at(line) == [("nut", 0, None)]


def test_detectors_without_cells_are_left_out(results: Results) -> None:
    assert [line.name for line in lines_of([results])] == ["winclip", "clip"]
    assert lines_of([with_cells(results, [])]) == ()
    assert lines_of([]) == ()


def test_a_detector_of_two_folders_is_one_line(
    results: Results, own: tuple[Any, Any]
) -> None:
    other = read_results(own[0])  # of a copy of the data set, hence of other images
    lines = lines_of([results, other])
    assert [line.name for line in lines] == ["winclip", "clip"]
    assert len(lines[0].places) == 4
    assert len({place.category for place in lines[0].places}) == 4
    assert [place.results for place in lines[0].places] == [results, results, other, other]


def test_results_are_looked_at_once_for_all_sections(looked: Study, results: Results) -> None:
    looking = Looking()
    first = looking([results])
    assert first.contrasts == looked.contrasts
    assert looking([results]) is first
    assert looking([]) is not first
