"""Bars and lines can be read whatever the names are, however many there are."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from vlmad.errors import printable
from vlmad_report.figures.bars import MOST_BARS, draw_bars
from vlmad_report.figures.dots import Dot, Dots
from vlmad_report.figures.lettering import MOST, lines_of, longest, shortened, wrapped
from vlmad_report.figures.lines import MOST_LINES, draw_lines

HOSTILE = ["$x_1$ and $\\frac$", "_hidden", "<b>bold</b>", "日本語", "a\nb\x1b[31m", "x" * 200, ""]


def metric(value: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"value": value, "low": low, "high": high}


def size(drawing: Figure) -> tuple[int, int]:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=100)
    with Image.open(buffer) as image:
        return image.size


def words(drawing: Figure) -> list[str]:
    """Return all texts of a drawing that are inside of it."""
    size(drawing)
    box = drawing.bbox
    texts = drawing.findobj(matplotlib.text.Text)
    return [
        text.get_text()
        for text in texts
        if text.get_text().strip()
        and box.padded(1).containsx(text.get_window_extent().x0)
        and box.padded(1).containsx(text.get_window_extent().x1)
    ]


@settings(max_examples=60)
@given(st.lists(st.text(max_size=60), max_size=8))
def test_short_names_are_short_drawable_and_differ(names: list[str]) -> None:
    short = shortened(names)
    assert len(set(short)) == len(names)
    assert all(len(name) <= MOST + len(" (8)") and name == printable(name) for name in short)


def test_a_name_that_looks_numbered_is_not_taken_twice() -> None:
    assert shortened(["a (2)", "a", "a"]) == ["a (2)", "a", "a (3)"]


def test_both_ends_of_a_long_name_stay() -> None:
    (name,) = shortened(["hybrid attention=value-value scales=2,3 layers=17"])
    assert name.startswith("hybrid")
    assert name.endswith("layers=17")


def test_what_all_long_names_share_makes_way_first() -> None:
    ends = [f"compositional + window scales={n} + none + harmonic with much more" for n in (2, 3)]
    assert shortened(ends) == ["…scales=2…", "…scales=3…"]
    assert shortened([name[:40] for name in ends]) == [name[:40] for name in ends]  # short enough


@given(st.text(max_size=80), st.integers(2, 40))
def test_a_wrapped_name_loses_no_letter_and_keeps_to_its_lines(name: str, line: int) -> None:
    [name] = shortened([name])
    lines = wrapped(name, line)
    assert lines.replace("\n", "").replace(" ", "") == name.replace(" ", "")
    assert longest([lines]) <= line
    assert lines_of(lines) <= len(name) + 1


NAMES = [f"compositional + {part} + diagonal + max-cosine" for part in ("window", "dense", "tile")]


@pytest.mark.parametrize("room", [9.2, 3.6])
def test_figures_are_as_wide_as_there_is_room_and_tell_names_apart(room: float) -> None:
    some = {name: metric(0.5, 0.4, 0.6) for name in NAMES}
    dots = Dots(tuple(NAMES), tuple(NAMES), {"x": {(0, 0): Dot(0.7)}}, "AUROC")
    with matplotlib.rc_context({"figure.figsize": (room, 3.8)}):
        drawings = [
            draw_bars(dict.fromkeys(NAMES, some), "AUROC"),
            draw_lines({"AUROC": {name: [0.5, 0.6] for name in NAMES}}, ["0", "1"], "shots"),
            dots.draw(),
        ]
        for drawing in drawings:
            assert drawing.get_figwidth() <= room + 0.01
            shown = {" ".join(word.split()) for word in words(drawing)}
            assert set(NAMES) <= shown or {"…window…", "…dense…", "…tile…"} <= shown


def test_a_series_looks_the_same_whichever_others_are_drawn() -> None:
    def look(drawn: list[str], at: str) -> tuple[Any, ...]:
        bars = draw_bars({"g": {name: metric(0.5) for name in drawn}}, "AUROC", NAMES)
        bar = bars.axes[0].patches[drawn.index(at)]
        lines = {"AUROC": {name: [0.5, 0.6] for name in drawn}}
        lined = draw_lines(lines, ["0", "1"], "shots", order=NAMES).axes[0].lines[drawn.index(at)]
        return bar.get_facecolor(), bar.get_hatch(), lined.get_color(), lined.get_marker()

    assert look(NAMES, NAMES[2]) == look(NAMES[2:], NAMES[2]) != look(NAMES, NAMES[0])


def test_lines_without_a_point_are_not_in_the_legend() -> None:
    panels = {"a": {"one": [0.5], "none": [None]}, "b": {"one": [None]}}
    drawing = draw_lines(panels, ["0"], "shots")
    [legend] = drawing.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one"]


def test_names_are_drawn_as_they_are_and_beside_the_bars() -> None:
    groups = {name: {"$a$": metric(0.5, 0.4, 0.6), "_b": metric(None)} for name in HOSTILE}
    found = words(draw_bars(groups, "image AUROC"))
    assert {"$x_1$ and $\\frac$", "_hidden", "<b>bold</b>", "$a$", "_b"} <= set(found)
    assert found.count("0.500") == len(HOSTILE)
    assert found.count("\N{EN DASH}") == len(HOSTILE)


@pytest.mark.slow
def test_as_many_bars_as_are_ever_drawn_make_a_picture_that_can_be_written() -> None:
    bars = {str(i): metric(i / 6) for i in range(6)}
    groups = {f"group {i}": bars for i in range(MOST_BARS // 6)}
    width, height = size(draw_bars(groups, "AUPRO"))
    assert width < 700
    assert height < 10_000
    one = size(draw_bars({"group": {"only": metric(0.5)}}, "AUPRO"))
    assert one[0] == width


def test_bars_and_lines_take_their_colours_from_the_style() -> None:
    cycle = matplotlib.cycler(color=["#123456", "#654321"])
    with matplotlib.rc_context({"axes.prop_cycle": cycle, "text.color": "#abcdef"}):
        bars = draw_bars({"g": {"a": metric(0.5, 0.4, 0.6), "b": metric(0.7)}}, "AUPRO")
        lines = draw_lines({"AUPRO": {"a": [0.5], "b": [0.6]}}, ["0"], "shots", "b")
    to_hex = matplotlib.colors.to_hex
    assert [to_hex(patch.get_facecolor()) for patch in bars.axes[0].patches] == [
        "#123456",
        "#654321",
    ]
    assert [to_hex(line.get_color()) for line in lines.axes[0].lines] == ["#123456", "#abcdef"]


def test_series_are_told_apart_without_colour() -> None:
    names = [f"line {i}" for i in range(MOST_LINES + 1)]
    drawing = draw_lines({"AUROC": {name: [0.1, 0.2] for name in names}}, ["0", "1"], "shots")
    looks = {(line.get_marker(), line.get_linestyle()) for line in drawing.axes[0].lines}
    assert len(looks) == len(names)
    bars = draw_bars({"g": {str(i): metric(0.5) for i in range(6)}}, "AUROC")
    assert len({patch.get_hatch() for patch in bars.axes[0].patches}) == 6


@pytest.mark.slow
@pytest.mark.parametrize("values", [[None], [0.5], [None, 0.5, None], [1.0, 1.0, 1.0]])
def test_lines_of_any_values_are_drawn(values: list[float | None]) -> None:
    drawing = draw_lines(
        {"a": {name: values for name in HOSTILE}, "b": {"one": values}},
        [str(i) for i in range(len(values))],
        "shots",
        "one",
    )
    assert "$x_1$ and $\\frac$" in words(drawing)
