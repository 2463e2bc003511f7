"""Horizontal bars with intervals: names have room beside them, and there may be many."""

from __future__ import annotations

from itertools import cycle
from math import ceil
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from vlmad_evaluation.bench.tables import UNDEFINED
from vlmad_report.figures.lettering import shortened, wrapped, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

Groups = dict[str, dict[str, dict[str, Any]]]
"""From group to series to a metric; a series that was not measured is not there."""
WIDTH = 5.6
"""Inches; little enough for letters to be read on a phone."""
BAR, GAP = 0.19, 0.15
"""Inches from bar to bar, and more from group to group."""
LINE_HEIGHT = 0.2
MOST_BARS = 180
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "++", "ooo")
"""So that series are told apart without colour."""


def draw_bars(groups: Mapping[str, Mapping[str, Mapping[str, Any]]], axis: str) -> Drawing:
    """Draw a group of bars for each name, from 0 to 1, each with its interval and figure.

    Args:
        groups: from name to series to a metric with `value`, `low` and `high`.
        axis: what is measured.
    """
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    count = sum(map(len, groups.values()))
    body = count * BAR + len(groups) * GAP
    legend = legend_height(series) if len(series) > 1 else 0.0
    drawing = Drawing(figsize=(WIDTH, body + legend + 0.55), layout="constrained")
    axes = drawing.subplots()
    styles = dict(zip(series, zip(_colours(), cycle(HATCHES), strict=False), strict=False))
    top, centres = 0.0, []
    for group in groups.values():
        for index, (name, metric) in enumerate(group.items()):
            _bar(axes, top + (index + 0.5) * BAR, metric, *styles[name])
        centres.append(top + len(group) * BAR / 2)
        top += len(group) * BAR + GAP
    _frame(axes, axis, top - GAP)
    names = list(map(wrapped, shortened(list(groups))))
    axes.set_yticks(centres, names)
    write(axes.get_yticklabels(), names)
    if len(series) > 1:
        _legend(drawing, styles)
    return drawing


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


def _colours() -> cycle[str]:
    return cycle(each["color"] for each in matplotlib.rcParams["axes.prop_cycle"])


def _frame(axes: Axes, axis: str, bottom: float) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom + GAP / 2, -GAP / 2)
    axes.set_xlabel(axis)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x", linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(drawing: Drawing, styles: Mapping[str, tuple[str, str]]) -> None:
    edge = matplotlib.rcParams["axes.facecolor"]
    patches = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0)
        for colour, hatch in styles.values()
    ]
    below(drawing, patches, list(styles))


def below(drawing: Drawing, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Put a legend below the axes, where it covers nothing."""
    labels, columns = _labels(names)
    blank = [" "] * len(labels)  # older versions of matplotlib leave out what begins with "_"
    legend = drawing.legend(
        handles, blank, loc="outside lower center", ncols=columns, frameon=False
    )
    write(legend.get_texts(), labels)


def legend_height(names: Sequence[str]) -> float:
    """Return how many inches `below` takes."""
    labels, columns = _labels(names)
    lines = max(label.count("\n") + 1 for label in labels)
    return 0.1 + LINE_HEIGHT * lines * ceil(len(labels) / columns)


def _labels(names: Sequence[str]) -> tuple[list[str], int]:
    labels = list(map(wrapped, shortened(names)))
    longest = max(len(line) for label in labels for line in label.splitlines() or [""])
    return labels, 3 if longest < 14 else 2
