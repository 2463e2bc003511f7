"""The section on curves: ROC of images, region overlap of pixels, histograms of scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure as Drawing

from vlmad.errors import printable
from vlmad_report.content import Figure, Section
from vlmad_report.figures.bars import explain, legend_height
from vlmad_report.figures.dots import STYLES, colour, grid_of, titles_of, words_of
from vlmad_report.figures.lettering import LINE_HEIGHT, lines_of, write
from vlmad_report.looking.cells import said_of
from vlmad_report.looking.looks import EVERYTHING, POINTS, PRO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float
    from matplotlib.axes import Axes

    from vlmad_report.looking.looks import Look
    from vlmad_report.looking.study import Study

LEGIBLE = 6
"""Detectors that can be told apart in one panel."""
MOST_PANELS = 24
SIDE = 2.1
"""Inches of a panel; a little less where two then fit beside each other."""
BINS = 20
OUTLINES: dict[str, dict[str, Any]] = {
    "normal": {"histtype": "stepfilled", "alpha": 0.6},
    "anomalous": {"histtype": "step", "linestyle": "-", "linewidth": 1.6},
}
ABOVE: Final = "outside upper left"
"""Where legends stand: below is what the axes are."""
LEGEND = (*OUTLINES, "threshold")
NOTHING = (
    "Curves need scores of normal and of anomalous test images of one category; nothing here has "
    "both. A data set with both would fill this section."
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of curve."""

    name: str
    title: str
    across: str
    up: str
    limit: float
    metric: str
    """The area below it."""

    def points(self, look: Look) -> Float[np.ndarray, "k 2"] | None:
        """Return the curve of a cell."""
        return look.roc if self.name == "roc" else look.pro


ROC = Kind("roc", "ROC curves of images", "false positive rate", "recall", 1.0, "image_auroc")
PRO = Kind(
    "pro",
    "Overlap of defective regions",
    "false positive rate of pixels",
    "mean region overlap",
    PRO_LIMIT,
    "pixel_aupro_30",
)


def curves(study: Study, histograms: int = 4) -> Section:
    """Show ROC and PRO curves and histograms of scores.

    Args:
        study: what was looked at.
        histograms: for how many detectors the histograms are shown.
    """
    title = "Curves and scores"
    figures = [figure for kind in (ROC, PRO) for figure in _curves(study, kind)]
    shown = [i for i, looks in enumerate(study.looks) if any(len(each.scored) for each in looks)]
    figures += [_histograms(study, line) for line in shown[:histograms]]
    paragraphs = [said_of(study.lines)] if study.lines else []
    if not any(kind.points(look) is not None for kind in (ROC, PRO) for look in _all(study)):
        paragraphs.append(NOTHING)
    elif not any(look.pro is not None for look in _all(study)):
        paragraphs.append("There is no curve of region overlap: it needs masks, and stored maps.")
    paragraphs += _left_out(study, len(shown), histograms)
    return Section("curves", title, tuple(paragraphs), tuple(figures))


def _all(study: Study) -> list[Look]:
    return [look for looks in study.looks for look in looks]


def _left_out(study: Study, shown: int, histograms: int) -> Iterator[str]:
    categories = len(_categories(study))
    if categories > MOST_PANELS:
        yield f"Panels show the first {MOST_PANELS} of {categories} categories."
    if shown > histograms:
        yield f"Histograms are shown for the first {histograms} of {shown} detectors."
    problems = list(map(printable, study.problems))
    if problems:
        yield f"Not in the curves: {words_of(problems, 5)}."


def _categories(study: Study) -> list[str]:
    return list(dict.fromkeys(look.category for look in _all(study)))


def _curves(study: Study, kind: Kind) -> Iterator[Figure]:
    """Yield a figure: panels by category, or by detector where there are too many of those."""
    lines = [i for i, looks in enumerate(study.looks) if any(_has(kind, each) for each in looks)]
    if not lines:
        return
    few = len(lines) <= LEGIBLE
    if few:
        draw = partial(_by_category, study, kind, lines)
        how = "A panel for each category, a line for each detector."
    else:
        draw = partial(_by_detector, study, kind, lines)
        how = (
            "A panel for each detector: thin a line for each category, thick their mean at each "
            "false positive rate."
        )
        if len(lines) > MOST_PANELS:
            how += f" Of {len(lines)} detectors the first {MOST_PANELS} are drawn."
    areas = [f"{study.lines[line].name} {_area(study.looks[line], kind)}" for line in lines]
    told = f"Mean over categories of the area below: {', '.join(areas)}."
    limit = "" if kind is ROC else f" The area is taken up to {PRO_LIMIT:g} and divided by it."
    yield Figure(
        f"{kind.name}-curves",
        printable(f"{kind.title}. {how}{limit} {told if few else ''}".strip()),
        printable(f"{kind.title}. {told}"),
        draw,
    )


def _has(kind: Kind, look: Look) -> bool:
    return kind.points(look) is not None


def _area(looks: Sequence[Look], kind: Kind) -> str:
    accuracies = [look.by_class[EVERYTHING] for look in looks if EVERYTHING in look.by_class]
    areas = [value for each in accuracies if (value := each.value(kind.metric)) is not None]
    return f"{np.mean(areas):.3f}" if areas else "undefined"


def _panels(
    names: Sequence[str], notes: Sequence[str], kind: Kind | None = None, legend: Sequence[str] = ()
) -> tuple[Drawing, list[Axes]]:
    """Return a drawing with a panel for each name, and a note after it, and room for a legend."""
    room = rcParams["figure.figsize"][0]
    down, across = grid_of(len(names), max(2, int((room - 0.6) / SIDE)))
    width = min(SIDE, (room - 0.6) / max(across, 2))
    titles = [f"{t}\n{n}" if n else t for t, n in zip(titles_of(names, width), notes, strict=True)]
    head = LINE_HEIGHT * (max(map(lines_of, titles)) - 1)
    size = (width * max(across, 2) + 0.6, (width + head) * down + 0.6)
    below_it = legend_height(legend, size[0]) if legend else 0
    figure = Drawing(figsize=(size[0], size[1] + below_it), layout="constrained")
    shared = kind is not None
    axes = figure.subplots(down, across, sharex=shared, sharey=shared, squeeze=False)
    for index, place in enumerate(axes.flat):
        place.tick_params(labelbottom=not shared or index + across >= len(names))
        if index >= len(names):
            place.set_axis_off()
    write([place.set_title("", fontsize="medium") for place in axes.flat[: len(names)]], titles)
    if kind:
        figure.supxlabel(kind.across, fontsize="medium")
        figure.supylabel(kind.up, fontsize="medium")
        axes.flat[0].set(xlim=(0, kind.limit), ylim=(0, 1.02))
    return figure, list(axes.flat[: len(names)])


def _by_category(study: Study, kind: Kind, lines: Sequence[int]) -> Drawing:
    categories = [
        category
        for category in _categories(study)
        if any(_has(kind, k) for i in lines for k in study.looks[i] if k.category == category)
    ][:MOST_PANELS]
    names = {line: study.lines[line].name for line in lines}
    figure, axes = _panels(categories, [""] * len(categories), kind, list(names.values()))
    handles = {}
    for category, place in zip(categories, axes, strict=True):
        _chance(place, kind)
        for line in lines:
            for look in study.looks[line]:
                points = kind.points(look)
                if look.category == category and points is not None:
                    style = _style(study.lines[line].number)
                    [handles[line]] = place.plot(*points.T, **style)
    shown = [names[line] for line in handles]
    explain(figure, list(handles.values()), shown, figure.get_figwidth(), ABOVE)
    return figure


def _style(number: int) -> dict[str, Any]:
    """Return a line that is told from others by its dashes and width, not by its colour alone."""
    width = 1.4 if number < len(STYLES) else 2.6
    return {"linestyle": STYLES[number % len(STYLES)], "linewidth": width, "color": colour(number)}


def _chance(axes: Axes, kind: Kind) -> None:
    if kind is ROC:
        ink = rcParams["text.color"]
        axes.plot([0, 1], [0, 1], linestyle="-", linewidth=0.6, color=ink, alpha=0.5)


def _by_detector(study: Study, kind: Kind, lines: Sequence[int]) -> Drawing:
    shown = lines[:MOST_PANELS]
    areas = [_area(study.looks[line], kind) for line in shown]
    figure, axes = _panels([study.lines[line].name for line in shown], areas, kind)
    rates = np.linspace(0, kind.limit, POINTS)
    for line, place in zip(shown, axes, strict=True):
        looks = study.looks[line]
        found = [points for each in looks if (points := kind.points(each)) is not None]
        _chance(place, kind)
        for points in found:
            place.plot(*points.T, color=colour(0), linestyle="-", linewidth=0.5, alpha=0.4)
        mean = np.mean([np.interp(rates, *points.T) for points in found], axis=0)
        place.plot(rates, mean, color=colour(0), linestyle="-", linewidth=2)
    return figure


def _histograms(study: Study, line: int) -> Figure:
    looks = [look for look in study.looks[line] if look.scored]
    name = printable(str(study.lines[line]))
    shares = [
        f"{look.category}: {int((~look.labels).sum())} normal, {int(look.labels.sum())} anomalous"
        for look in looks[:MOST_PANELS]
    ]
    return Figure(
        f"scores-{line + 1}",
        f"Scores of {name}: normal images filled, anomalous ones in outline, as shares of each; "
        "the dashed line is the threshold at which F1 is largest on these same images.",
        printable(f"Histograms of the scores of {name}. {'; '.join(shares)}."),
        partial(_draw_histograms, looks[:MOST_PANELS]),
    )


def _draw_histograms(looks: Sequence[Look]) -> Drawing:
    figure, axes = _panels([look.category for look in looks], [""] * len(looks), None, LEGEND)
    for look, place in zip(looks, axes, strict=True):
        edges = np.histogram_bin_edges(look.scores, BINS)
        for anomalous, label in enumerate(OUTLINES):
            scores = look.scores[look.labels == anomalous]
            weights = np.full(len(scores), 1 / max(len(scores), 1))
            style = {**OUTLINES[label], "color": colour(anomalous), "label": label}
            place.hist(scores, edges.tolist(), weights=weights, **style)
        if look.threshold is not None:
            place.axvline(
                look.threshold, linestyle="--", color=rcParams["text.color"], label="threshold"
            )
        place.tick_params(labelsize="small")
        place.locator_params(axis="x", nbins=4)
    figure.supxlabel("score", fontsize="medium")
    figure.supylabel("share of images", fontsize="medium")
    handles = {
        text: handle
        for place in axes
        for handle, text in zip(*place.get_legend_handles_labels(), strict=True)
    }
    explain(figure, list(handles.values()), list(handles), figure.get_figwidth(), ABOVE)
    return figure
