"""Drawing figures as dots: legible with three detectors and with twenty-four."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

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

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLES = ("-", "--", "-.", ":")
CHANCE = 0.5
WIDEST, NARROWEST = 2.3, 1.2
"""Inches of a panel."""
BESIDE = 0.28
"""Of the drawing: how much names beside the panels may take of it."""
ROW, HEAD = 0.26, 0.75
"""Inches: of a row of one line, and of what is above and below the rows."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A value and how it varies."""

    value: float
    deviation: float | None = None


@dataclass(frozen=True, slots=True)
class Dots:
    """Panels beside each other that share their rows; in each row a dot of every series."""

    panels: tuple[str, ...]
    rows: tuple[str, ...]
    series: Mapping[str, Mapping[tuple[int, int], Dot]]
    """Name to the dots by panel and row; those that are undefined are missing."""
    label: str
    across: int = 4
    """Panels in a row of panels."""

    def draw(self) -> Figure:
        """Draw the dots with the colours in force, as wide as there is room."""
        room = rcParams["figure.figsize"][0]
        letters = int(room * BESIDE / LETTER)
        rows = [wrapped(name, letters) for name in shortened(self.rows, 3 * letters)]
        beside = longest(rows) * LETTER + 0.3
        across = max(1, min(len(self.panels), self.across, int((room - beside) / NARROWEST)))
        width = min(WIDEST, (room - beside) / across)
        titles = titles_of(self.panels, width)
        down = -(-len(self.panels) // across)
        row = max(ROW, LINE_HEIGHT * max(map(lines_of, rows), default=1) + 0.05)
        head = HEAD + LINE_HEIGHT * (max(map(lines_of, titles)) - 1)
        size = (beside + width * across, down * (head + row * len(rows)) + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for index, place in enumerate(axes.flat):
            if index < len(self.panels):
                self._panel(place, index, titles[index], rows)
                # the panel below a last one may be empty, and has no labels to share
                place.tick_params(labelbottom=index + across >= len(self.panels))
            else:
                place.set_axis_off()
        figure.supxlabel(self.label, fontsize="medium")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        if len(labels) > 1:
            figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
        return figure

    def _panel(self, axes: Axes, panel: int, title: str, rows: Sequence[str]) -> None:
        write([axes.set_title("", fontsize="medium")], [title])
        axes.axvline(CHANCE, linestyle=":", linewidth=1, color=rcParams["text.color"])
        axes.grid(axis="y", linewidth=0.5, alpha=0.4)
        axes.set_axisbelow(True)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), rows)
        if labels := axes.get_yticklabels():  # the panels at the left have them for all
            write(labels, rows)
        for number, (name, dots) in enumerate(self.series.items()):
            there = [(row, dot) for (p, row), dot in dots.items() if p == panel]
            shift = (number - (len(self.series) - 1) / 2) * 0.3
            axes.errorbar(
                [dot.value for _, dot in there],
                [row + shift for row, _ in there],
                xerr=[dot.deviation or 0 for _, dot in there],
                fmt=MARKERS[number % len(MARKERS)],
                markersize=6,
                markerfacecolor=colour(0) if number == 0 else "none",
                color=colour(number),
                linewidth=1,
                label=name,
            )
        axes.set_xlim(self._lowest - 0.04, 1.04)

    @property
    def _lowest(self) -> float:
        """The left end of the axis: chance, unless something lies below it."""
        values = [d.value - (d.deviation or 0) for s in self.series.values() for d in s.values()]
        return float(np.floor(min([CHANCE, *values]) * 10) / 10)


def titles_of(names: Sequence[str], width: float, lines: int = 3) -> list[str]:
    """Return names as they fit above panels of so many inches."""
    letters = max(8, int(width / LETTER) - 2)
    return [wrapped(name, letters) for name in shortened(names, lines * letters - 2)]


def colour(number: int) -> str:
    """Return a colour of the cycle in force: not by its place, which is looked up later."""
    cycle = rcParams["axes.prop_cycle"].by_key()["color"]
    return to_hex(cycle[number % len(cycle)])


def grid_of(count: int, across: int) -> tuple[int, int]:
    """Return how many panels lie above and beside each other."""
    beside = max(1, min(count, across))
    return max(1, -(-count // beside)), beside


def words_of(names: Sequence[str], most: int = 6) -> str:
    """Return names as words, the first few of many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
