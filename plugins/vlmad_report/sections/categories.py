"""Every category by itself."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import shots_name

from vlmad.errors import printable
from vlmad_report.content import Figure, Section, Table
from vlmad_report.figures.bars import MOST_BARS, draw_bars
from vlmad_report.sections.choosing import drawn, said
from vlmad_report.sections.entries import FULL, TASKS, compared, legend_of_marks, mark_of, named
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad_report.content import Block, Entry
    from vlmad_report.sources.pool import Pool

DRAWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")


def categories(results: Sequence[Results]) -> Section:
    """Show the metrics of every category with their intervals, in tables and as bars.

    Raises:
        InputError: a folder is damaged.
    """
    pool = pooled(results)
    paragraph = (
        "In brackets is the interval over images, after ± the standard deviation over seeds. "
        "Where several detectors were measured, the best of each category is marked."
    )
    blocks: list[Block] = []
    for shots in pool.shots:
        blocks += (_table(pool, shots, task) for task in TASKS)
        blocks += _figures(pool, shots)
    return Section("categories", "Categories", (paragraph,), tuple(blocks))


def _table(pool: Pool, shots: int, task: str) -> Table:
    names = TASKS[task]
    found = _marks(pool, shots)
    rows: list[tuple[Entry, ...]] = []
    for category in pool.document["dataset"]["categories"]:
        measured = pool.metrics(shots, category)
        marks = {
            (index, name): found.get((category, detector, name), "")
            for index, detector in enumerate(measured)
            for name in names
        }
        entries = compared(list(measured.values()), names, marks)
        rows += (
            (named(category), named(detector), *each)
            for detector, each in zip(measured, entries, strict=True)
        )
    caption = f"{task}, {shots_name(shots)}."
    if any(entry.mark for row in rows for entry in row):
        caption += legend_of_marks(pool.baseline)
    columns = ("category", "detector", *(FULL[name] for name in names))
    return Table(caption, columns, tuple(rows), words=2)


def _marks(pool: Pool, shots: int) -> dict[tuple[Any, ...], str]:
    return {
        (each["category"], each["detector"], each["metric"]): mark_of(each)
        for each in pool.document["comparisons"]
        if each["shots"] == shots and each["against"] == pool.baseline
    }


def _figures(pool: Pool, shots: int) -> Iterator[Figure]:
    names = pool.document["dataset"]["categories"]
    for metric in DRAWN:
        chosen = drawn(pool, shots, metric, len(names))
        groups: dict[str, dict[str, Any]] = {}
        for category in names:
            measured = pool.metrics(shots, category)
            bars = {name: measured[name][metric] for name in chosen if name in measured}
            if bars:
                groups[category] = bars
        less = said(chosen, len(pool.metrics(shots)))
        yield from _figure(metric, shots, groups, less, list(pool.document["detectors"]))


def _figure(
    metric: str,
    shots: int,
    groups: Mapping[str, Mapping[str, Any]],
    less: str,
    order: Sequence[str],
) -> Iterator[Figure]:
    if all(each["value"] is None for bars in groups.values() for each in bars.values()):
        return
    shown = dict(islice(groups.items(), MOST_BARS))
    if len(shown) < len(groups):
        less += f" Of {len(groups)} categories the first {len(shown)} are drawn."
    what = f"{FULL[metric]}, {shots_name(shots)}, with intervals."
    alternative = f"Bars of {FULL[metric]} for {', '.join(map(printable, shown))}."
    name = f"categories-{metric.replace('_', '-')}-{shots}"
    yield Figure(name, what + less, alternative, partial(draw_bars, shown, FULL[metric], order))
