"""The sections on defects: their contrast, their size and their types."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from vlmad_evaluation.metric import Metric
from vlmad_evaluation.notation import TITLES, figure, some_of
from vlmad_evaluation.result_tables import ResultTable, entries, metric_entry
from vlmad_report._average_sections import plain
from vlmad_report._image_study import CONTRAST, DEFECT, SIZE, SIZES
from vlmad_report._metric_charts import DRAWN, metric_charts
from vlmad_report._report_blocks import ReportSection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vlmad_datasets.object_groups import Groups
    from vlmad_report._image_study import ClassFigures, ImageStudy
    from vlmad_report._report_blocks import Block

    FiguresOf = dict[str, dict[str, list[ClassFigures]]]
    """By class and detector, one for each kind of defect or each category."""

CONTRAST_DEFINITION = (
    "Contrast is the distance in CIELAB (CIE 1976, D65; about 2.3 is just noticeable) between the "
    "median colour of a mask and that of as many pixels nearest around it. A defect that differs "
    "in its pattern alone counts as low. Each class has a third of the defects."
)
SIZE_DEFINITION = "Size is the share of the image that its mask covers."
NOTHING = (
    "Contrast and size are computed from image and mask, and no anomalous image has both: "
    "{reason}. Masks in the data set would fill this section."
)
AVERAGED = (
    "Each class is measured within a category, against all its normal test images; the mean over "
    "categories is weighted by the n anomalous images of the class. Classes hold other categories "
    "in other shares, so differences between them are not the quantity's alone."
)
TYPE_DEFINITION = (
    "Each kind of defect is measured within its category, against all its normal test images; a "
    "type's figure is the mean over its n kinds, after ± their standard deviation."
)
NO_TYPES = (
    "There is no kind of defect with anomalous and normal test images in one category; a data set "
    "with both would fill this section."
)
MOST_OWN = 12
"""Defects listed by their own names where they have no type."""
NO_TYPE = "no type given"


def contrasts(study: ImageStudy) -> ReportSection:
    """Show AUROC and AUPRO for defects of low, medium and high contrast."""
    ranges = study.contrasts.ranges("{:.1f}") if study.contrasts else {}
    return _by_limits(study, CONTRAST, ranges, CONTRAST_DEFINITION)


def sizes(study: ImageStudy) -> ReportSection:
    """Show AUROC and AUPRO for small, medium and large defects."""
    ranges = SIZES.ranges("{:.3g}%", 100) if study.contrasts else {}
    return _by_limits(study, SIZE, ranges, SIZE_DEFINITION)


def _by_limits(
    study: ImageStudy, kind: str, shown: Mapping[str, str], definition: str
) -> ReportSection:
    title = f"{kind.capitalize()} of defects"
    if not shown:
        reason = next(iter(study.unknown), "there is no anomalous image")
        return ReportSection(title, [NOTHING.format(reason=reason)])
    paragraphs = [f"{definition} {AVERAGED}", study.which, *study.left_out]
    found = _collected(study, kind, lambda _, name: shown[name])
    ordered = {name: found[name] for name in shown.values() if name in found}
    return ReportSection(title, paragraphs, _blocks(study, kind, ordered))


def types(study: ImageStudy, groups: Groups) -> ReportSection:
    """Show AUROC and AUPRO by type of defect."""
    known = {(plain(category), name): kind for (category, name), kind in groups.defects.items()}
    cells = [cell for detector in study.detectors for cell in detector.cells]
    there = [(c.cell.category, n) for c in cells for kind, n in c.by_class if kind == DEFECT]
    untyped = list(dict.fromkeys(n for category, n in there if (plain(category), n) not in known))

    def type_of(category: str, name: str) -> str:
        own = name if len(untyped) <= MOST_OWN else NO_TYPE
        return known.get((plain(category), name), own)

    found = _collected(study, DEFECT, type_of)
    names = sorted(found, key=lambda n: (n in untyped or n == NO_TYPE, n))
    blocks = _blocks(study, "type", {name: found[name] for name in names})
    if not blocks:
        return ReportSection("Types of defects", [NO_TYPES])
    paragraphs = [TYPE_DEFINITION, study.which]
    if untyped:
        where = "their own names" if len(untyped) <= MOST_OWN else f"'{NO_TYPE}'"
        paragraphs.append(
            f"Without a type in the mapping, and listed under {where}: "
            f"{some_of(untyped, MOST_OWN)}. A file of groups and types of one's own gives them one."
        )
    return ReportSection("Types of defects", paragraphs, blocks)


def _collected(study: ImageStudy, kind: str, shown: Callable[[str, str], str]) -> FiguresOf:
    """Collect the classes of a kind by what their category and name are shown as."""
    found: FiguresOf = {}
    for detector in study.detectors:
        for cell in detector.cells:
            for (its_kind, name), figures in cell.by_class.items():
                if its_kind == kind:
                    row = found.setdefault(shown(cell.cell.category, name), {})
                    row.setdefault(detector.name, []).append(figures)
    return found


def _blocks(study: ImageStudy, kind: str, found: FiguresOf) -> list[Block]:
    """Return a table and bars; nothing where no metric is defined."""
    weighted = kind != "type"
    rows, bars = [], {}
    for name, by_detector in found.items():
        means = {
            detector: {metric: _mean(each, metric, weighted) for metric in DRAWN}
            for detector, each in by_detector.items()
        }
        amounts = {
            detector: {metric: _amount(each, metric, weighted) for metric in DRAWN}
            for detector, each in by_detector.items()
        }
        best = {
            metric: _best_of(each[metric].value for each in means.values())
            for metric in DRAWN
            if len({each[metric] for each in amounts.values()}) == 1
        }
        for detector, each in means.items():
            figures = (
                metric_entry(
                    each[metric],
                    best=figure(each[metric].value) == best.get(metric),
                    note=amounts[detector][metric],
                )
                for metric in DRAWN
            )
            rows.append([*entries(name, detector), *figures])
        bars[name] = means
    columns = [kind, "detector", *(TITLES[metric] for metric in DRAWN)]
    charts = metric_charts(study.source, f"By {kind}; 0.5 is chance for AUROC.", bars)
    return [ResultTable(f"Metrics by {kind}.", columns, rows, words=2), *charts] if charts else []


def _best_of(values: Iterable[float | None]) -> str | None:
    """Return the highest figure as it is shown, or None where all are shown as the same."""
    shown = {"" if value is None else figure(abs(value)) for value in values}
    return max(shown) if len(shown) > 1 else None


def _counted(units: Sequence[ClassFigures], metric: str, weighted: bool) -> list[tuple[float, int]]:
    found = [unit[metric] for unit in units if metric in unit]
    return [(value, amount if weighted else 1) for value, amount in found]


def _mean(units: Sequence[ClassFigures], metric: str, weighted: bool) -> Metric:
    """Return a mean in which each image counts the same, or each unit.

    Scores of different categories need not be on one scale, so images are compared with the
    normal ones of their own category alone.
    """
    counted = _counted(units, metric, weighted)
    if not counted:
        return Metric(value=None, reason="undefined everywhere")
    total = sum(weight for _, weight in counted)
    return Metric(value=math.fsum(value * weight for value, weight in counted) / total)


def _amount(units: Sequence[ClassFigures], metric: str, weighted: bool) -> str:
    """Return how many images or units a mean is over, and the spread over units."""
    counted = _counted(units, metric, weighted)
    if not counted:
        return ""
    spread = f"n = {sum(weight for _, weight in counted)}"
    if len(counted) > 1 and not weighted:
        spread = f"± {statistics.stdev(value for value, _ in counted):.3f}, {spread}"
    return spread
