"""The section on curves: ROC of images, region overlap of pixels, histograms of scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vlmad_report._image_study import PRO_LIMIT
from vlmad_report._report_blocks import PanelFigure, ReportSection, SvgPanel
from vlmad_report._report_text import number, some_of
from vlmad_report._summary import left_out
from vlmad_report._svg_panels import draw_curves, draw_histogram, line_style, panel_svg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float
    from numpy import ndarray

    from vlmad_report._image_study import CellView, DetectorView, ImageStudy

MOST_PANELS, HISTOGRAMS = 24, 4
"""Panels of a figure, and detectors with histograms."""
NOTHING = (
    "Curves need scores of normal and of anomalous test images of one category; nothing here has "
    "both. A data set with both would fill this section."
)
OUTLINES = [("filled s0", "normal"), ("outline s1", "anomalous"), ("line dashed", "threshold")]


@dataclass(frozen=True, slots=True)
class CurveKind:
    """A kind of curve."""

    name: str
    title: str
    labels: tuple[str, str]
    limit: float
    metric: str
    """The area below it."""
    note: str = ""

    def points(self, cell: CellView) -> Float[ndarray, "k 2"] | None:
        """Return the curve of a cell."""
        return cell.roc if self.name == "roc" else cell.pro


RATE = "false positive rate"
ROC = CurveKind("roc", "ROC curves of images", (RATE, "recall"), 1, "image_auroc")
PRO = CurveKind(
    "pro",
    "Overlap of defective regions",
    (f"{RATE} of pixels", "mean region overlap"),
    PRO_LIMIT,
    "pixel_aupro_30",
    f" The area is taken up to {PRO_LIMIT:g} and divided by it.",
)


def curves(study: ImageStudy) -> ReportSection:
    """Show ROC and PRO curves and histograms of scores."""
    shown = [each for each in study.detectors if any(cell.scored for cell in each.cells)]
    figures = [figure for kind in (ROC, PRO) for figure in _curve_figures(study, kind)]
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


def _curve_figures(study: ImageStudy, kind: CurveKind) -> Iterator[PanelFigure]:
    """Yield a figure with a panel for each category and a line for each detector."""
    able = [d for d in study.detectors if any(kind.points(cell) is not None for cell in d.cells)]
    names = [each.name for each in able]
    chosen = study.source.best(names)
    detectors = [each for each in able if each.name in chosen]
    panels = []
    for index, category in enumerate(study.source.categories[:MOST_PANELS]):
        lines = [
            (line_style(place), points)
            for place, detector in enumerate(detectors)
            for cell in detector.cells
            if cell.cell.category == category and (points := kind.points(cell)) is not None
        ]
        draw = partial(draw_curves, curves=lines, labels=kind.labels, limit=kind.limit)
        if lines:
            svg = panel_svg(f"{kind.name}-{index}", draw)
            panels.append(SvgPanel(category, svg, f"{kind.title}: {category}."))
    found = [(d.name, study.source.metric(kind.metric, d.name, d.shots, None)) for d in detectors]
    areas = ", ".join(f"{name} {number(each.value if each else None)}" for name, each in found)
    caption = f"{kind.title}. Mean over categories of the area below: {areas}.{kind.note}"
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
