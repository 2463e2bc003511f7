"""Averages over the categories of a group: textures, rigid and flexible objects, or others."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.averages import over_categories, over_seeds
from vlmad_evaluation.bench.tables import UNDEFINED, shots_name

from vlmad.errors import InputError, printable
from vlmad_report.content import Entry, Figure, Section, Table
from vlmad_report.figures.bars import MOST_BARS, draw_bars
from vlmad_report.sections.choosing import drawn, said
from vlmad_report.sections.entries import FULL, named
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.averages import OverCategories
    from vlmad_evaluation.bench.reading import Results

    from vlmad_datasets.object_groups import Groups
    from vlmad_report.content import Block
    from vlmad_report.sources.pool import Pool

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
DRAWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
HOW = (
    'a TOML file says which category belongs to which group: [groups], then a line such as '
    'texture = ["carpet", "wood"] for each group'
)


def groups(results: Sequence[Results], kinds: Groups) -> Section:
    """Show averages over the categories of each group, with their number and deviation.

    Args:
        results: the folders.
        kinds: which category belongs to which group.

    Raises:
        InputError: a folder is damaged.
    """
    pool = pooled(results)
    members = members_of(pool, kinds)
    if not members:
        sentence = f"None of the categories is in a group: {HOW}."
        return Section("groups", "Object groups", (sentence,))
    blocks: list[Block] = []
    intervals, missing = _intervals(pool, members)
    for shots in pool.shots:
        averages = _averages(pool, shots, members, intervals)
        blocks.append(_table(averages, shots))
        blocks += _figures(pool, averages, shots)
    paragraphs = (*_paragraphs(pool, members), *missing)
    return Section("groups", "Object groups", paragraphs, tuple(blocks))


Intervals = dict[tuple[str, str, int], dict[str, "OverCategories"]]
"""By group, detector and references, for each metric."""


def _intervals(
    pool: Pool, members: Mapping[str, Sequence[str]]
) -> tuple[Intervals, tuple[str, ...]]:
    """Return averages with their intervals over images, and a sentence if there are none."""
    confidence = pool.document["settings"]["confidence"]
    try:
        cells = over_seeds(pool.stored(), confidence)
    except InputError as error:
        return {}, (printable(f"Intervals are missing: {error}."),)
    found: Intervals = {}
    for group, categories in members.items():
        own = {key: metrics for key, metrics in cells.items() if key[1] in categories}
        for (detector, shots), averages in over_categories(own, confidence).items():
            found[group, detector, shots] = averages
    return found, ()


def members_of(pool: Pool, kinds: Groups) -> dict[str, list[str]]:
    """Return the measured categories of each group; `metal nut` is taken for `metal_nut`."""
    known = {plain(category): group for category, group in kinds.objects.items()}
    found: dict[str, list[str]] = {group: [] for group in kinds.objects.values()}
    for category in pool.document["dataset"]["categories"]:
        group = known.get(plain(pool.original(category)))
        if group is not None:
            found[group].append(category)
    return {group: categories for group, categories in found.items() if categories}


def plain(name: str) -> str:
    """Return a category's name as it is compared: lower case, one underscore between words.

    >>> plain("Metal-nut ")
    'metal_nut'
    """
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _paragraphs(pool: Pool, members: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield (
        "Averages over the categories of a group, each counting the same; after ± the standard "
        "deviation over these categories, in square brackets the interval over images, in round "
        "ones the number of categories."
    )
    for group, categories in members.items():
        yield printable(f"{group}: {', '.join(categories)}.")
    grouped = {category for categories in members.values() for category in categories}
    others = [c for c in pool.document["dataset"]["categories"] if c not in grouped]
    if others:
        yield printable(f"In no group, and not shown here: {', '.join(others)}; {HOW}.")


Average = dict[str, dict[str, Any]]
"""From metric to value, deviation, count and reason."""


def _averages(
    pool: Pool, shots: int, members: Mapping[str, Sequence[str]], intervals: Intervals
) -> dict[str, dict[str, Average]]:
    """Return, for each group and detector, the averages over its categories."""
    found: dict[str, dict[str, Average]] = {}
    for group, categories in members.items():
        measured = [pool.metrics(shots, category) for category in categories]
        for detector in pool.metrics(shots):
            rows = [each[detector] for each in measured if detector in each]
            if rows:
                ends = intervals.get((group, detector, shots), {})
                found.setdefault(group, {})[detector] = {
                    name: _average([row[name] for row in rows], ends.get(name)) for name in SHOWN
                }
    return found


def _average(
    metrics: Sequence[Mapping[str, Any]], interval: OverCategories | None
) -> dict[str, Any]:
    values = [each["value"] for each in metrics if each["value"] is not None]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    mean = statistics.fmean(values) if values else None
    return {
        "value": mean,
        "low": None if interval is None else interval.metric.low,
        "high": None if interval is None else interval.metric.high,
        "deviation": deviation,
        "count": len(values),
        "left_out": len(metrics) - len(values),
        "reason": "" if values else next((m["reason"] for m in metrics), ""),
    }


def _table(averages: Mapping[str, Mapping[str, Average]], shots: int) -> Table:
    rows = [
        (named(group), named(detector), *(_entry(average[name]) for name in SHOWN))
        for group, by_detector in averages.items()
        for detector, average in by_detector.items()
    ]
    columns = ("group", "detector", *(FULL[name] for name in SHOWN))
    return Table(f"Averages over groups, {shots_name(shots)}.", columns, tuple(rows), words=2)


def _entry(average: Mapping[str, Any]) -> Entry:
    if average["value"] is None:
        return Entry(UNDEFINED, printable(average["reason"] or "no number"))
    note = f"({average['count']})"
    if average["low"] is not None and average["low"] < average["high"]:
        note = f"[{average['low']:.3f}, {average['high']:.3f}] {note}"
    if average["deviation"] is not None:
        note = f"± {average['deviation']:.3f} {note}"
    if average["left_out"]:
        note += f", {average['left_out']} undefined"
    return Entry(f"{average['value']:.3f}", note)


def _figures(
    pool: Pool, averages: Mapping[str, Mapping[str, Average]], shots: int
) -> Iterator[Figure]:
    for metric in DRAWN:
        chosen = drawn(pool, shots, metric, len(averages))
        bars = {
            group: {name: found[name][metric] for name in chosen if name in found}
            for group, found in list(averages.items())[:MOST_BARS]
        }
        if any(each["value"] is not None for group in bars.values() for each in group.values()):
            less = said(chosen, len(pool.metrics(shots)))
            caption = f"{FULL[metric]}, {shots_name(shots)}, with intervals over images."
            yield Figure(
                f"groups-{metric.replace('_', '-')}-{shots}",
                caption + less,
                f"Bars of {FULL[metric]} for {', '.join(map(printable, bars))}.",
                partial(draw_bars, bars, FULL[metric], list(pool.document["detectors"])),
            )
