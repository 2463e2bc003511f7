"""Horizontal bars with intervals: names have room beside them, and there may be many."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from vlmad_evaluation.bench.tables import UNDEFINED

from vlmad_report.figures.lettering import (
    LETTER,
    LINE_HEIGHT,
    lines_of,
    longest,
    shortened,
    wrapped,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

Groups = dict[str, dict[str, dict[str, Any]]]
"""From group to series to a metric; a series that was not measured is not there."""
WIDTH = 6.4
"""Inches, where there is room for them."""
BESIDE = 5.0
"""Inches from which on names stand beside their bars, not above."""
BAR, GAP = 0.19, 0.15
"""Inches from bar to bar, and more from group to group."""
MOST_BARS = 180
HATCHES = ("", "///", "\\\\\\", "xxx", "---", "|||", "++", "//")
"""So that series are told apart without colour; of straight lines, which take few bytes."""


def draw_bars(
    groups: Mapping[str, Mapping[str, Mapping[str, Any]]], axis: str, order: Sequence[str] = ()
) -> Drawing:
    """Draw a group of bars for each name, from 0 to 1, each with its interval and figure.

    Args:
        groups: from name to series to a metric with `value`, `low` and `high`.
        axis: what is measured.
        order: all series of the page, so that one looks the same in all figures.
    """
    width = min(WIDTH, matplotlib.rcParams["figure.figsize"][0])
    names, heads = _names(list(groups), width)
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    body = sum(len(group) * BAR + GAP for group in groups.values()) + sum(heads)
    legend = legend_height(series, width) if len(series) > 1 else 0.0
    drawing = Drawing(figsize=(width, body + legend + 0.55), layout="constrained")
    axes = drawing.subplots()
    styles = _styles(series, order)
    top, places = 0.0, []
    for group, head in zip(groups.values(), heads, strict=True):
        places.append(top if head else top + len(group) * BAR / 2)
        for index, (name, metric) in enumerate(group.items()):
            _bar(axes, top + head + (index + 0.5) * BAR, metric, *styles[name])
        top += head + len(group) * BAR + GAP
    _frame(axes, axis, top - GAP)
    _write_names(axes, names, places, above=any(heads))
    if len(series) > 1:
        _legend(drawing, styles, width)
    return drawing


def _names(groups: Sequence[str], width: float) -> tuple[list[str], list[float]]:
    """Return names as they are written, and how many inches each takes above its bars."""
    if width >= BESIDE:
        return [wrapped(name) for name in shortened(groups)], [0.0] * len(groups)
    line = int(width / LETTER) - 4
    names = [wrapped(name, line) for name in shortened(groups, 2 * line)]
    return names, [lines_of(name) * LINE_HEIGHT + 0.03 for name in names]


def _write_names(
    axes: Axes, names: Sequence[str], places: Sequence[float], above: bool
) -> None:
    if not above:
        axes.set_yticks(places, names)
        write(axes.get_yticklabels(), names)
        return
    axes.set_yticks([])
    write([axes.text(0, place, "", ha="left", va="top") for place in places], names)


def _styles(series: Sequence[str], order: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and hatch of each series, by its place among all of the page."""
    colours = [each["color"] for each in matplotlib.rcParams["axes.prop_cycle"]]
    known = list(dict.fromkeys([*order, *series]))
    return {
        name: (colours[place % len(colours)], HATCHES[place % len(HATCHES)])
        for place, name in enumerate(known)
        if name in series
    }


def _bar(
    axes: Axes, place: float, metric: Mapping[str, Any], colour: str, hatch: str
) -> None:
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    text = UNDEFINED if value is None else f"{value:.3f}"
    axes.text(1.02, place, text, va="center", transform=axes.get_yaxis_transform())
    if value is None:
        return
    ink = matplotlib.rcParams["text.color"]
    edge = matplotlib.rcParams["axes.facecolor"]
    axes.barh(place, value, BAR * 0.84, color=colour, hatch=hatch, edgecolor=edge, linewidth=0)
    if low is not None and high is not None and low < high:
        around = [withStroke(linewidth=3, foreground=edge)]  # seen on bars of any colour
        (line,) = axes.plot([low, high], [place, place], "-", color=ink, linewidth=1.2)
        line.set(marker="|", markersize=4, path_effects=around)


def _frame(axes: Axes, axis: str, bottom: float) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom + GAP / 2, -GAP / 2)
    axes.set_xlabel(axis)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x", linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(drawing: Drawing, styles: Mapping[str, tuple[str, str]], width: float) -> None:
    edge = matplotlib.rcParams["axes.facecolor"]
    patches = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0)
        for colour, hatch in styles.values()
    ]
    explain(drawing, patches, list(styles), width)


def explain(
    drawing: Drawing,
    handles: Sequence[Any],
    names: Sequence[str],
    width: float,
    place: Literal["outside lower center", "outside upper left"] = "outside lower center",
) -> None:
    """Put a legend outside of the axes, where it covers nothing."""
    labels, columns = _labels(names, width)
    blank = [" "] * len(labels)  # older versions of matplotlib leave out what begins with "_"
    legend = drawing.legend(
        handles, blank, loc=place, ncols=columns, frameon=False
    )
    write(legend.get_texts(), labels)


def legend_height(names: Sequence[str], width: float) -> float:
    """Return how many inches `explain` takes in a drawing of some width."""
    labels, columns = _labels(names, width)
    return 0.1 + (LINE_HEIGHT + 0.03) * max(map(lines_of, labels)) * ceil(len(labels) / columns)


def _labels(names: Sequence[str], width: float) -> tuple[list[str], int]:
    labels = list(map(wrapped, shortened(names)))
    of_one = longest(labels) * LETTER + 0.7  # the sample of its line or bar
    return labels, max(1, min(4, int(width / of_one)))
