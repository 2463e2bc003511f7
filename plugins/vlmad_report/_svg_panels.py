"""Small drawings by matplotlib, as SVG whose colours are those of the page's style sheet.

A panel holds numbers and fixed words only: names stand in the page around it. So it scales with
the page, and one drawing serves a light, a dark and a printed page.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float
    from matplotlib.axes import Axes

CYCLE = ("#3181d6", "#dc7c01", "#05a97a", "#8c508b", "#a6514e", "#6b7683")
"""Apart for all kinds of colour vision, and 3:1 on both grounds; `report.css` has them as well."""
INK, MUTED, RULE = "#1b1f24", "#59616c", "#b9bec6"
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"}
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
"""So that lines need no colour to be told apart."""
MARKERS = ("o", "s", "^", "D", "v", "P")
SMALL, WIDE = (2.3, 2.1), (4.2, 2.8)
"""Inches of a panel."""
BINS = 20
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
}


def panel_svg(name: str, draw: Callable[[Axes], object], size: tuple[float, float] = SMALL) -> str:
    """Draw a panel.

    Args:
        name: unique in the page.
        draw: draws into axes with the colours of this module.
        size: in inches.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        parameters: Any = matplotlib.rcParams  # typed by every key there is
        parameters.update(STYLE | {"svg.hashsalt": name})
        figure = Figure(figsize=size)
        width, height = size
        left, bottom, rest = 0.52, 0.44, 0.14  # inches that ticks and labels take
        inside = 1 - (left + rest) / width, 1 - (bottom + rest) / height
        draw(figure.add_axes((left / width, bottom / height, *inside)))
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    return _for_the_page(buffer.getvalue())


def _for_the_page(svg: str) -> str:
    """Leave out what a page has no use for, and let its style sheet choose the colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, count=1, flags=re.DOTALL)  # of all elements
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)  # they are the same in all panels
    for colour, variable in VARIABLES.items():
        svg = svg.replace(f": {colour}", f": {variable}")
    return re.sub(r"\s*\n\s*", " ", svg)


def line_style(index: int) -> dict[str, Any]:
    """Return how the line of a series looks; `report.css` has the same for legends."""
    return {"color": CYCLE[index % len(CYCLE)], "linestyle": DASHES[index % len(DASHES)]}


def draw_curves(
    axes: Axes,
    curves: Sequence[tuple[dict[str, Any], Float[np.ndarray, "k 2"]]],
    labels: tuple[str, str],
    limit: float,
) -> None:
    """Draw curves from 0 to a limit across, and from 0 to 1 upwards.

    Args:
        axes: where.
        curves: how each looks, and its points.
        labels: what lies across and upwards.
        limit: where the axis across ends.
    """
    if limit == 1:
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
    for style, points in curves:
        axes.plot(*points.T, **style)
    axes.locator_params(axis="x", nbins=4)
    axes.set(xlim=(0, limit), ylim=(0, 1.02), xlabel=labels[0], ylabel=labels[1])


def draw_histogram(
    axes: Axes,
    normal: Float[np.ndarray, " n"],
    anomalous: Float[np.ndarray, " m"],
    threshold: float | None,
) -> None:
    """Draw the scores of normal images filled and those of anomalous ones in outline."""
    edges = np.histogram_bin_edges(np.concatenate([normal, anomalous]), BINS).tolist()
    filled: dict[str, Any] = {"histtype": "stepfilled", "alpha": 0.6, "color": CYCLE[0]}
    outlined: dict[str, Any] = {"histtype": "step", "linewidth": 1.6, "color": CYCLE[1]}
    for scores, look in ((normal, filled), (anomalous, outlined)):
        axes.hist(scores, edges, weights=np.full(len(scores), 1 / max(len(scores), 1)), **look)
    if threshold is not None:
        axes.axvline(threshold, linestyle="--", linewidth=1.2, color=INK)
    axes.locator_params(axis="x", nbins=4)
    axes.set(xlabel="score", ylabel="share of images")


def draw_lines(
    axes: Axes, lines: Sequence[Sequence[float | None]], settings: Sequence[str], axis: str
) -> None:
    """Draw lines over a few settings; the first, the average, is heavier than the others."""
    for index, values in reversed(list(enumerate(lines))):
        style: dict[str, Any] = {"color": INK, "linewidth": 2.4, "marker": "o"}
        if index:
            marker = MARKERS[index // len(CYCLE) % len(MARKERS)]
            style = {**line_style(index - 1), "linewidth": 1.2, "marker": marker}
        points = [np.nan if value is None else value for value in values]
        axes.plot(range(len(points)), points, markersize=4, **style)
    known = [value for line in lines for value in line if value is not None]
    reach = max(0.02, 0.1 * (max(known) - min(known)))  # no hills of rounding
    axes.set_ylim(max(0, min(known) - reach), min(1.005, max(known) + reach))
    axes.set_xticks(range(len(settings)), settings)
    axes.set_xlabel(axis)
