"""The section on types of defects; the unit is one defect folder of one category."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation.bench.tables import UNDEFINED

from vlmad.errors import printable
from vlmad_datasets.object_groups import read_groups
from vlmad_report.content import Entry, Figure, Section, Table
from vlmad_report.figures.dots import Dot, Dots, words_of
from vlmad_report.looking.cells import said_of
from vlmad_report.looking.study import DEFECT
from vlmad_report.sections.groups import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vlmad_datasets.object_groups import Groups
    from vlmad_report.content import Block
    from vlmad_report.looking.looks import Accuracy, Look
    from vlmad_report.looking.study import Study

METRICS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro_30": "AUPRO",
}
NO_TYPE = "no type given"
MOST_OWN = 12
"""Defects without a type that are listed under their own names; more become one row."""
MOST_PANELS = 12
"""Detectors that are drawn; the tables have all."""
MOST_COLUMNS = 6
"""Detectors whose figures for single units are shown."""
DEFINITION = (
    "The unit is one kind of defect in one category, as the data set's folders have it. Each is "
    "measured against all normal test images of its category; a type's figure is the mean over "
    "its units, each counting the same, with their standard deviation (n - 1) and number."
)
NOTHING = (
    "There is no kind of defect with anomalous and normal test images in one category; a data set "
    "with both would fill this section."
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One kind of defect in one category, as one detector finds it."""

    line: int
    category: str
    defect: str
    kind: str
    """Its type, or its own name if it has none."""
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric over the units of a type."""

    mean: float
    deviation: float | None
    units: int


def defect_types(study: Study, groups: Groups | None = None) -> Section:
    """Show AUROC and AUPRO by type of defect.

    Args:
        study: what was looked at.
        groups: from category and defect to type; by default MVTec AD's.
    """
    name, title = "defect-type", "Types of defects"
    units, untyped = _units(study, groups or read_groups())
    if not any(unit.accuracy.value(metric) is not None for unit in units for metric in METRICS):
        return Section(name, title, (NOTHING,))
    kinds = _typed_first({unit.kind for unit in units}, untyped)
    spreads = {
        metric: {
            (line, kind): spread
            for line in range(len(study.lines))
            for kind in kinds
            if (spread := _spread(units, line, kind, metric)) is not None
        }
        for metric in METRICS
    }
    tables = [_by_type(study, kinds, METRICS[m], found) for m, found in spreads.items() if found]
    blocks: tuple[Block, ...] = (*tables, _figure(study, kinds, spreads), _by_unit(study, units))
    return Section(name, title, _paragraphs(study, untyped), blocks)


def _units(study: Study, groups: Groups) -> tuple[list[Unit], tuple[str, ...]]:
    """Return all units, and the names of defects without a type."""
    known = {(plain(category), name): kind for (category, name), kind in groups.defects.items()}
    found = [
        (index, look, name, accuracy)
        for index, looks in enumerate(study.looks)
        for look in looks
        for (kind, name), accuracy in look.by_class.items()
        if kind == DEFECT
    ]
    untyped = tuple(
        dict.fromkeys(n for _, look, n, _ in found if (plain(look.original), n) not in known)
    )

    def kind_of(look: Look, name: str) -> str:
        own = name if len(untyped) <= MOST_OWN else NO_TYPE
        return known.get((plain(look.original), name), own)

    return [Unit(i, k.category, name, kind_of(k, name), a) for i, k, name, a in found], untyped


def _typed_first(kinds: Iterable[str], untyped: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(kinds, key=lambda kind: (kind in untyped or kind == NO_TYPE, kind)))


def _spread(units: Sequence[Unit], line: int, kind: str, metric: str) -> Spread | None:
    values = [u.accuracy.value(metric) for u in units if (u.line, u.kind) == (line, kind)]
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    deviation = statistics.stdev(defined) if len(defined) > 1 else None
    return Spread(statistics.fmean(defined), deviation, len(defined))


def _paragraphs(study: Study, untyped: Sequence[str]) -> tuple[str, ...]:
    found = [f"{DEFINITION} {said_of(study.lines)}"]
    if untyped:
        names = words_of(list(map(printable, untyped)), MOST_OWN)
        where = "their own names" if len(untyped) <= MOST_OWN else f"'{NO_TYPE}'"
        found.append(
            f"Without a type in the mapping, and listed under {where}: {names}. A file of groups "
            "and types of one's own gives them one."
        )
    return tuple(found)


def _by_type(
    study: Study, kinds: Sequence[str], title: str, spreads: Mapping[tuple[int, str], Spread]
) -> Table:
    """Return a table whose longer side goes down: types, or detectors."""
    entries = {key: _entry(spread) for key, spread in spreads.items()}
    lines = range(len(study.lines))
    names = [printable(line.name) for line in study.lines]
    missing = Entry(UNDEFINED)
    caption = f"{title} by type: mean over units ± standard deviation, number of units."
    if len(names) <= len(kinds):
        rows = [
            (Entry(printable(kind)), *(entries.get((i, kind), missing) for i in lines))
            for kind in kinds
        ]
        return Table(caption, ("type", *names), tuple(rows))
    rows = [
        (Entry(names[i]), *(entries.get((i, kind), missing) for kind in kinds)) for i in lines
    ]
    return Table(caption, ("detector", *map(printable, kinds)), tuple(rows))


def _entry(spread: Spread) -> Entry:
    deviation = "" if spread.deviation is None else f"± {spread.deviation:.3f}, "
    return Entry(f"{spread.mean:.3f}", f"{deviation}n = {spread.units}")


def _by_unit(study: Study, units: Sequence[Unit]) -> Table:
    shown = range(min(len(study.lines), MOST_COLUMNS))
    found = {(unit.category, unit.defect, unit.line): unit for unit in units}
    rows = []
    for unit in {(unit.category, unit.defect): unit for unit in reversed(units)}.values():
        place = (unit.category, unit.defect)
        words = (*place, unit.kind, str(unit.accuracy.images))
        figures = [_figures(found.get((*place, line))) for line in shown]
        rows.append((*(Entry(printable(word)) for word in words), *figures))
    rows.sort(key=lambda row: [entry.text for entry in row[:2]])
    more = len(study.lines) - len(shown)
    note = f" The first {MOST_COLUMNS} detectors." if more else ""
    caption = f"Each unit: image AUROC, and beside it pixel AUROC and AUPRO.{note}"
    names = (printable(study.lines[line].name) for line in shown)
    return Table(caption, ("category", "defect", "type", "images", *names), tuple(rows), words=3)


def _figures(unit: Unit | None) -> Entry:
    if unit is None:
        return Entry(UNDEFINED)
    image, *pixels = [unit.accuracy.value(metric) for metric in METRICS]
    beside = " / ".join(_number(value) for value in pixels)
    return Entry(_number(image), beside if any(p is not None for p in pixels) else "")


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def _figure(
    study: Study,
    kinds: Sequence[str],
    spreads: Mapping[str, Mapping[tuple[int, str], Spread]],
) -> Figure:
    series = {
        METRICS[metric]: {
            (line, kinds.index(kind)): Dot(spread.mean, spread.deviation)
            for (line, kind), spread in spreads[metric].items()
            if line < MOST_PANELS
        }
        for metric in ("image_auroc", "pixel_auroc")
    }
    panels = tuple(line.name for line in study.lines[:MOST_PANELS])
    more = len(study.lines) - len(panels)
    less = f" Of {len(study.lines)} detectors the first {MOST_PANELS} are drawn." if more else ""
    dots = Dots(panels, tuple(kinds), series, "AUROC, mean over units ± standard deviation")
    first = spreads["image_auroc"]
    told = ", ".join(f"{kind} {first[0, kind].mean:.3f}" for kind in kinds if (0, kind) in first)
    return Figure(
        "defect-type-auroc",
        "AUROC of images and pixels by type of defect, a panel for each detector; the dotted "
        f"line is chance.{less}",
        printable(f"Image AUROC by type of defect for {panels[0]}: {told}."),
        dots.draw,
    )
