"""The sections on defects: their contrast, their size and their types."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation.notation import TITLES, UNDEFINED
from vlmad_report._group_section import plain
from vlmad_report._image_study import CONTRAST, DEFECT, SIZE, SIZES
from vlmad_report._report_blocks import (
    BarChart,
    BarPlot,
    ChartValue,
    ReportSection,
    ReportTable,
    TableEntry,
)
from vlmad_report._report_text import DRAWN, entries, number, some_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vlmad_datasets.object_groups import Groups
    from vlmad_report._image_study import ClassAccuracy, ImageStudy
    from vlmad_report._report_blocks import Block

CONTRAST_DEFINITION = (
    "The contrast of a defect is the distance in CIELAB (CIE 1976, D65; about 2.3 is just "
    "noticeable) between the median colour of the pixels in its mask and that of the pixels "
    "nearest around it, as many as the mask has. All regions of a mask are taken together. "
    "Medians, unlike means of differences between pixels, are not raised by noise and texture. "
    "A defect that differs in its pattern but not in its median colour counts as low; where the "
    "mask is drawn generously or ends at the object's edge, the background has its part. "
    "Each class has a third of these defects."
)
SIZE_DEFINITION = (
    "The size of a defect is the share of the image that its mask covers, all regions together."
)
NOTHING = (
    "Contrast and size are computed from image and mask, and no anomalous image has both: "
    "{reason}. Masks in the data set would fill this section."
)
AVERAGED = (
    "Each class is measured within a category: its anomalous images against all normal test "
    "images of the category, and its defective pixels against the sound pixels of both. Over "
    "categories the mean is weighted by the anomalous images of the class, whose number is n. "
    "Classes hold other categories in other shares, so differences between them are not the "
    "quantity's alone."
)
TYPE_DEFINITION = (
    "The unit is one kind of defect in one category, as the data set's folders have it. Each is "
    "measured against all normal test images of its category; a type's figure is the mean over "
    "its n units, each counting the same, with their standard deviation (n - 1)."
)
NO_TYPES = (
    "There is no kind of defect with anomalous and normal test images in one category; a data set "
    "with both would fill this section."
)
DOTTED = ("image_auroc", "pixel_auroc")
MOST_DOTTED, MOST_COLUMNS, MOST_OWN = 12, 6, 12
"""Detectors that are drawn, detectors in the table of units, defects listed without a type."""
NO_TYPE = "no type given"


@dataclass(frozen=True, slots=True)
class DefectUnit:
    """Defects of one class in one category, as one detector finds them."""

    detector: str
    category: str
    defect: str
    """As the data set calls them, or the class of their contrast or size."""
    shown: str
    """The class that they are averaged in."""
    accuracy: ClassAccuracy


def contrasts(study: ImageStudy) -> ReportSection:
    """Show AUROC of images and pixels for defects of low, medium and high contrast."""
    ranges = study.contrasts.ranges("{:.1f}") if study.contrasts else {}
    return _by_limits(study, "Contrast of defects", CONTRAST, ranges, CONTRAST_DEFINITION)


def sizes(study: ImageStudy) -> ReportSection:
    """Show AUROC of images and pixels for small, medium and large defects."""
    ranges = SIZES.ranges("{:.3g}%", 100) if study.contrasts else {}
    return _by_limits(study, "Size of defects", SIZE, ranges, SIZE_DEFINITION)


def _by_limits(
    study: ImageStudy, title: str, kind: str, shown: Mapping[str, str], definition: str
) -> ReportSection:
    if not shown:
        reason = next(iter(study.unknown), "there is no anomalous image")
        return ReportSection(title, [NOTHING.format(reason=reason)])
    paragraphs = [definition, f"{study.which} {AVERAGED}", *study.left_out]
    units = _units(study, kind, lambda _, name: shown[name])
    blocks = _blocks(study, kind, list(shown.values()), _means(units, DOTTED, weighted=True))
    return ReportSection(title, paragraphs, blocks)


def _units(
    study: ImageStudy, kind: str, shown: Callable[[str, str], str]
) -> list[DefectUnit]:
    return [
        DefectUnit(detector.name, cell.cell.category, name, shown(cell.cell.category, name), found)
        for detector in study.detectors
        for cell in detector.cells
        for (its_kind, name), found in cell.by_class.items()
        if its_kind == kind
    ]


@dataclass(frozen=True, slots=True)
class ClassMean:
    """The mean of a metric over categories, or over the units of a type."""

    value: float
    amount: int
    deviation: float | None = None


MeanKey = tuple[str, str, str]
"""Detector, class and metric."""
Means = dict[MeanKey, ClassMean]


def _means(units: Sequence[DefectUnit], metrics: Sequence[str], weighted: bool) -> Means:
    """Return the means of classes over units, weighted so that each image counts the same, or not.

    Scores of different categories need not be on one scale, so images are compared with the
    normal ones of their own category alone.
    """
    found: dict[MeanKey, list[tuple[float, int]]] = {}
    for metric in metrics:
        for unit in units:
            value, weight = unit.accuracy.metrics.get(metric), unit.accuracy.weight(metric)
            if value is not None and weight:
                own = (value, weight if weighted else 1)
                found.setdefault((unit.detector, unit.shown, metric), []).append(own)
    means = {}
    for key, each in found.items():
        total = sum(weight for _, weight in each)
        spread = len(each) > 1 and not weighted
        deviation = statistics.stdev(value for value, _ in each) if spread else None
        mean = math.fsum(value * weight for value, weight in each) / total
        means[key] = ClassMean(mean, total, deviation)
    return means


def _blocks(study: ImageStudy, kind: str, names: Sequence[str], means: Means) -> list[Block]:
    """Return a table for each metric, whose longer side goes down, and dots."""
    detectors = [each.name for each in study.detectors]
    blocks: list[Block] = []
    for metric in dict.fromkeys(key[2] for key in means):
        table = [[_mean_entry(means, (d, n, metric)) for d in detectors] for n in names]
        heads, columns = names, [kind, *detectors]
        if len(detectors) > len(names):
            table = [list(column) for column in zip(*table, strict=True)]
            heads, columns = detectors, ["detector", *names]
        rows = [[TableEntry(head), *row] for head, row in zip(heads, table, strict=True)]
        blocks.append(ReportTable(f"{TITLES[metric]} by {kind}.", columns, rows))
    caption = f"AUROC of images and pixels by {kind}; 0.5 is chance."
    if len(detectors) > MOST_DOTTED:
        caption += f" Of {len(detectors)} detectors the first {MOST_DOTTED} are drawn."
    plots = [
        BarPlot(detector, [(name, [_dots(means, detector, name)]) for name in names])
        for detector in detectors[:MOST_DOTTED]
    ]
    lowest = min((v.low or v.value or 0 for plot in plots for v in plot.values), default=0.5)
    start = min(0.4, math.floor(lowest * 10) / 10)
    chart = BarChart(caption, [TITLES[metric] for metric in DOTTED], plots, True, start)
    return [*blocks, chart] if blocks else []


def _mean_entry(means: Means, key: MeanKey) -> TableEntry:
    mean = means.get(key)
    if mean is None:
        return TableEntry(UNDEFINED)
    others = {number(each.value) for other, each in means.items() if other[1:] == key[1:]}
    deviation = "" if mean.deviation is None else f"± {mean.deviation:.3f}, "
    best = len(others) > 1 and number(mean.value) == max(others)
    return TableEntry(number(mean.value), f"{deviation}n = {mean.amount}", best)


def _dots(means: Means, detector: str, name: str) -> list[ChartValue]:
    found = []
    for series, metric in enumerate(DOTTED):
        mean = means.get((detector, name, metric))
        if mean is not None:
            reach = mean.deviation or 0.0
            ends = max(0.0, mean.value - reach), min(1.0, mean.value + reach)
            found.append(ChartValue(series, mean.value, *ends))
    return found


def types(study: ImageStudy, groups: Groups) -> ReportSection:
    """Show AUROC and AUPRO by type of defect."""
    known = {(plain(category), name): kind for (category, name), kind in groups.defects.items()}
    cells = [cell for detector in study.detectors for cell in detector.cells]
    there = [(c.cell.category, n) for c in cells for kind, n in c.by_class if kind == DEFECT]
    untyped = list(dict.fromkeys(n for category, n in there if (plain(category), n) not in known))

    def type_of(category: str, name: str) -> str:
        own = name if len(untyped) <= MOST_OWN else NO_TYPE
        return known.get((plain(category), name), own)

    units = _units(study, DEFECT, type_of)
    means = _means(units, DRAWN, weighted=False)
    if not means:
        return ReportSection("Types of defects", [NO_TYPES])
    paragraphs = [f"{TYPE_DEFINITION} {study.which}"]
    if untyped:
        where = "their own names" if len(untyped) <= MOST_OWN else f"'{NO_TYPE}'"
        paragraphs.append(
            f"Without a type in the mapping, and listed under {where}: "
            f"{some_of(untyped, MOST_OWN)}. A file of groups and types of one's own gives them one."
        )
    names = sorted({u.shown for u in units}, key=lambda n: (n in untyped or n == NO_TYPE, n))
    blocks = [*_blocks(study, "type", names, means), _unit_table(study, units)]
    return ReportSection("Types of defects", paragraphs, blocks)


def _unit_table(study: ImageStudy, units: Sequence[DefectUnit]) -> ReportTable:
    detectors = [each.name for each in study.detectors[:MOST_COLUMNS]]
    found: dict[tuple[str, str], dict[str, DefectUnit]] = {}
    for unit in units:
        found.setdefault((unit.category, unit.defect), {})[unit.detector] = unit
    rows = []
    for (category, defect), by_detector in sorted(found.items()):
        first = next(iter(by_detector.values()))
        words = entries(category, defect, first.shown, str(first.accuracy.images))
        rows.append([*words, *(_unit_entry(by_detector.get(name)) for name in detectors)])
    note = f" The first {MOST_COLUMNS} detectors." if len(study.detectors) > MOST_COLUMNS else ""
    caption = f"Each unit: image AUROC, and below it pixel AUROC and AUPRO.{note}"
    columns = ["category", "defect", "type", "images", *detectors]
    return ReportTable(caption, columns, rows, words=3)


def _unit_entry(unit: DefectUnit | None) -> TableEntry:
    if unit is None:
        return TableEntry(UNDEFINED)
    image, *pixels = (unit.accuracy.metrics.get(metric) for metric in DRAWN)
    below = " / ".join(map(number, pixels)) if any(p is not None for p in pixels) else ""
    return TableEntry(number(image), below)
