"""Lines over a few settings, in panels below each other."""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from vlmad_report.figures.bars import WIDTH, explain, legend_height
from vlmad_report.figures.lettering import write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

Lines = dict[str, dict[str, list[float | None]]]
"""From panel to line to its value at each setting; None where there is none."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
DASHES = ("-", "--", ":", "-.")
"""With the markers 44 pairs, so that lines are told apart without colour."""
MOST_LINES = 16


def draw_lines(
    panels: Mapping[str, Mapping[str, Sequence[float | None]]],
    settings: Sequence[str],
    axis: str,
    thick: str = "",
    order: Sequence[str] = (),
) -> Drawing:
    """Draw a panel for each metric, with a line for each name over the settings.

    Args:
        panels: from what is measured to lines.
        settings: what stands below the axis, evenly spaced.
        axis: what the settings are.
        thick: the line that is drawn heavier, such as the average.
        order: all lines of the page, so that one looks the same in all figures.
    """
    names = _measured(panels)
    width = min(WIDTH, matplotlib.rcParams["figure.figsize"][0])
    size = (width, 2.4 * len(panels) + legend_height(names, width) + 0.4)
    drawing = Drawing(figsize=size, layout="constrained")
    styles = _styles(list(dict.fromkeys([*order, *names])), thick)
    every = drawing.subplots(len(panels), squeeze=False)[:, 0]
    for axes, (title, lines) in zip(every, panels.items(), strict=True):
        for name in names:
            values = lines.get(name, [])
            points = [math.nan if value is None else value for value in values]
            axes.plot(range(len(points)), points, **styles[name])
        _frame(axes, title, len(settings))
    every[-1].set_xticks(range(len(settings)), settings)
    write(every[-1].get_xticklabels(), settings)
    every[-1].set_xlabel(axis)
    explain(drawing, [Line2D([], [], **styles[name]) for name in names], names, width)
    return drawing


def _measured(panels: Mapping[str, Mapping[str, Sequence[float | None]]]) -> list[str]:
    """Return the lines that have a point in any panel; of none there is nothing to explain."""
    named = ((name, values) for lines in panels.values() for name, values in lines.items())
    there = [name for name, values in named if any(value is not None for value in values)]
    return list(dict.fromkeys(there)) or list(next(iter(panels.values())))[:1]


def _styles(names: Sequence[str], thick: str) -> dict[str, dict[str, Any]]:
    colours = cycle(each["color"] for each in matplotlib.rcParams["axes.prop_cycle"])
    styles: dict[str, dict[str, Any]] = {}
    for index, (name, colour) in enumerate(zip(names, colours, strict=False)):
        styles[name] = {
            "color": colour,
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[index % len(DASHES)],
            "linewidth": 1.3,
            "markersize": 4.5,
        }
    if thick in styles:
        ink = matplotlib.rcParams["text.color"]
        styles[thick] |= {"color": ink, "linewidth": 2.8, "linestyle": "-", "zorder": 3}
    return styles


def _frame(axes: Axes, title: str, count: int) -> None:
    axes.set_ylabel(title)
    axes.set_xlim(-0.25, count - 0.75)
    axes.set_xticks(range(count), [""] * count)
    axes.grid(linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
