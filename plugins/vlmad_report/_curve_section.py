"""The section on curves: ROC of images, region overlap of pixels, histograms of scores.

They are small drawings by matplotlib, as SVG whose colours are those of the page's style sheet. A
panel holds numbers and fixed words only: names stand in the page around it. So it scales with the
page, and one drawing serves a light, a dark and a printed page.
"""

from __future__ import annotations

import io
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vlmad_evaluation.notation import TITLES, figure, remark_on, some_of
from vlmad_report._image_study import PRO_LIMIT
from vlmad_report._metric_charts import left_out
from vlmad_report._report_blocks import PanelFigure, ReportSection, SvgPanel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Float
    from matplotlib.axes import Axes

    from vlmad_report._image_study import DetectorView, ImageStudy

MOST_PANELS, HISTOGRAMS = 24, 4
"""Panels of a figure, and detectors with histograms."""
CURVES = {
    "image_auroc": ("ROC curves of images", ("false positive rate", "recall"), 1.0),
    "pixel_aupro_30": (
        f"Overlap of defective regions, up to a false positive rate of {PRO_LIMIT:g}",
        ("false positive rate of pixels", "mean region overlap"),
        PRO_LIMIT,
    ),
}
"""By the metric that is the area below: title, axes, and where the axis across ends."""
NOTHING = (
    "Curves need scores of normal and of anomalous test images of one category; nothing here has "
    "both. A data set with both would fill this section."
)
CYCLE = ("#3181d6", "#dc7c01", "#05a97a", "#8c508b", "#a6514e", "#6b7683")
"""Apart for all kinds of colour vision, and 3:1 on both grounds; `report.css` has them as well."""
INK, MUTED, RULE = "#1b1f24", "#59616c", "#b9bec6"
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"}
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
"""So that lines need no colour to be told apart."""
SIZE = (2.3, 2.1)
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
OUTLINES = [("filled s0", "normal"), ("outline s1", "anomalous"), ("line dashed", "threshold")]


def curves(study: ImageStudy) -> ReportSection:
    """Show ROC and PRO curves and histograms of scores."""
    shown = [each for each in study.detectors if each.scored]
    figures = [each for metric in CURVES for each in _curve_figure(study, metric)]
    paragraphs = [study.which] if study.detectors else []
    if not figures:
        paragraphs.append(NOTHING)
    elif len(figures) == 1:
        paragraphs.append("There is no curve of region overlap: it needs masks, and stored maps.")
    if len(shown) > HISTOGRAMS:
        paragraphs.append(f"Of {len(shown)} detectors the first {HISTOGRAMS} have histograms.")
    if study.problems:
        paragraphs.append(f"Not in the curves: {some_of(study.problems)}.")
    figures += map(_histograms, shown[:HISTOGRAMS])
    return ReportSection("Curves and scores", paragraphs, figures)


def _curve_figure(study: ImageStudy, metric: str) -> Iterator[PanelFigure]:
    """Yield a figure with a panel for each category and a line for each detector, if any."""
    title, labels, limit = CURVES[metric]
    able = [d for d in study.detectors if any(metric in cell.curves for cell in d.cells)]
    names = [each.name for each in able]
    chosen = study.source.best(names)
    detectors = [each for each in able if each.name in chosen]
    panels = []
    for index, category in enumerate(study.source.categories[:MOST_PANELS]):
        lines = [
            (line_style(place), cell.curves[metric])
            for place, detector in enumerate(detectors)
            for cell in detector.cells
            if cell.cell.category == category and metric in cell.curves
        ]
        draw = partial(draw_curves, curves=lines, labels=labels, limit=limit)
        if lines:
            svg = panel_svg(f"{metric}-{index}", draw)
            panels.append(SvgPanel(category, svg, f"{title}: {category}."))
    found = [(d.name, study.source.metric(metric, d.name, d.shots, None)) for d in detectors]
    known = [(name, figure(each.value), remark_on(each)) for name, each in found if each]
    areas = ", ".join(f"{name} {value}{why and f' ({why})'}" for name, value, why in known)
    caption = f"{title}. {TITLES[metric]}, the area below, averaged: {areas}."
    legend = [(f"line s{place} d{place}", each.name) for place, each in enumerate(detectors)]
    if panels:
        yield PanelFigure(caption + left_out(chosen, names), panels, legend)


def _histograms(detector: DetectorView) -> PanelFigure:
    panels = []
    for index, cell in enumerate(detector.cells[:MOST_PANELS]):
        if cell.scored:
            normal, anomalous = cell.scores[~cell.labels], cell.scores[cell.labels]
            draw = partial(
                draw_histogram, normal=normal, anomalous=anomalous, threshold=cell.threshold
            )
            svg = panel_svg(f"scores-{detector.name}-{index}", draw)
            amounts = f"{len(normal)} normal, {len(anomalous)} anomalous images"
            alternative = f"Scores on {cell.cell.category}: {amounts}."
            panels.append(SvgPanel(cell.cell.category, svg, alternative))
    caption = (
        f"Scores of {detector}, as shares of the normal and of the anomalous images; the "
        "threshold is where F1 is largest on these same images."
    )
    return PanelFigure(caption, panels, OUTLINES)


def panel_svg(name: str, draw: Callable[[Axes], object]) -> str:
    """Return what is drawn into axes, under a name that is unique in the page."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        parameters: Any = matplotlib.rcParams  # typed by every key there is
        parameters.update(STYLE | {"svg.hashsalt": name})
        figure = Figure(figsize=SIZE)
        width, height = SIZE
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
    """Draw curves, each with its look, from 0 to a limit across and from 0 to 1 upwards."""
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
