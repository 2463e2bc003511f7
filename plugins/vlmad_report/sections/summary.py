"""What was measured on what, the averages, and which differences are more than chance."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.remarks import what_is_missing
from vlmad_evaluation.bench.tables import UNDEFINED, shots_name
from vlmad_evaluation.grid.table import BETTER, SIGNIFICANT, WORSE

from vlmad.errors import printable
from vlmad_report.content import Entry, Figure, Section, Table
from vlmad_report.figures.bars import MOST_BARS, draw_bars
from vlmad_report.sections.detectors import combinations_without, detectors_of, options_shared
from vlmad_report.sections.entries import FULL, TASKS, compared, legend_of_marks, mark_of, named
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad_report.content import Block
    from vlmad_report.sources.pool import Pool

DRAWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
MOST_MISSING = 20
"""Sentences about what is missing; more say no more."""


def summary(results: Sequence[Results]) -> Section:
    """Show the macro averages of every detector, and how it compares with the first.

    Raises:
        InputError: a folder is damaged.
    """
    pool = pooled(results)
    blocks: list[Block] = [detectors_of(pool)]
    for shots in pool.shots:
        blocks += _averages(pool, shots)
    blocks += _figures(pool)
    blocks += _comparisons(pool)
    blocks += combinations_without(pool)
    return Section("summary", "Summary", tuple(_paragraphs(pool)), tuple(blocks))


def _paragraphs(pool: Pool) -> Iterator[str]:
    document = pool.document
    if not document["finished"]:
        yield "Unfinished: not all cells are in it. The same command goes on."
    yield (
        "Averages are macro averages over categories: each counts the same. In brackets is the "
        f"{document['settings']['confidence']:.0%} interval over images; after ± the standard "
        f"deviation over seeds, where references were drawn. AUPRO reaches to a false positive "
        f"rate of 0.3. {UNDEFINED} is undefined."
    )
    for name, each in document["detectors"].items():
        for note in each["notes"]:
            yield printable(f"{name}: {note}")
    shared = options_shared(pool)
    if shared:
        yield printable(shared)
    missing = [printable(line) for line in what_is_missing(document)]
    yield from missing[:MOST_MISSING]
    if len(missing) > MOST_MISSING:
        yield f"And {len(missing) - MOST_MISSING} more things are missing; see the JSON file."


def _averages(pool: Pool, shots: int) -> Iterator[Table]:
    rows = pool.metrics(shots)
    for task, names in TASKS.items():
        marks = {
            (list(rows).index(each["detector"]), each["metric"]): mark_of(each)
            for each in _on_average(pool)
            if each["shots"] == shots and each["detector"] in rows
        }
        entries = compared(list(rows.values()), names, marks)
        caption = f"{task}, {shots_name(shots)}, macro averages."
        if any(entry.mark for row in entries for entry in row):
            caption += legend_of_marks(pool.baseline)
        yield Table(
            caption,
            ("detector", *(FULL[name] for name in names)),
            tuple((named(who), *each) for who, each in zip(rows, entries, strict=True)),
        )


def _on_average(pool: Pool) -> list[Mapping[str, Any]]:
    return [
        each
        for each in pool.document["comparisons"]
        if each["category"] is None and each["against"] == pool.baseline
    ]


def _figures(pool: Pool) -> Iterator[Figure]:
    for metric in DRAWN:
        groups: dict[str, dict[str, Any]] = {}
        for detector in _ranked(pool, metric):
            for shots in pool.shots:
                found = pool.metrics(shots).get(detector)
                if found is not None:
                    groups.setdefault(detector, {})[shots_name(shots)] = found[metric]
        shown = dict(list(groups.items())[: max(1, MOST_BARS // max(1, len(pool.shots)))])
        if any(each["value"] is not None for group in shown.values() for each in group.values()):
            what = f"{FULL[metric]}, macro averages with intervals"
            less = "" if len(shown) == len(groups) else f"; the {len(shown)} best are shown"
            alternative = f"Bars of {FULL[metric]} for {', '.join(map(printable, shown))}."
            draw = partial(draw_bars, shown, FULL[metric], list(map(shots_name, pool.shots)))
            name = f"summary-{metric.replace('_', '-')}"
            yield Figure(name, f"{what}{less}.", alternative, draw)


def _ranked(pool: Pool, metric: str) -> list[str]:
    """Return the detectors by their best average, the best first."""
    best: dict[str, float] = {}
    for shots in pool.shots:
        for name, metrics in pool.metrics(shots).items():
            best[name] = max(best.get(name, -1.0), metrics[metric]["value"] or 0.0)
    return sorted(best, key=lambda name: -best[name])


def _comparisons(pool: Pool) -> Iterator[Table]:
    found = [each for each in _on_average(pool) if each["detector"] in pool.document["detectors"]]
    metrics = list(dict.fromkeys(each["metric"] for each in found))
    by_row: dict[tuple[int, str], dict[str, Mapping[str, Any]]] = {}
    for each in found:
        by_row.setdefault((each["shots"], each["detector"]), {})[each["metric"]] = each
    rows = [
        (named(detector), named(shots_name(shots)), *(_difference(row.get(m)) for m in metrics))
        for (shots, detector), row in by_row.items()
    ]
    if rows:
        caption = (
            f"Differences to {printable(pool.baseline)} on the same images, of macro averages. "
            "p is corrected by the max-T method over all detectors and numbers of references. "
            f"{BETTER} and {WORSE} mark p < {SIGNIFICANT}."
        )
        columns = ("detector", "references", *(FULL.get(m, printable(m)) for m in metrics))
        yield Table(caption, columns, tuple(rows), words=2)


def _difference(found: Mapping[str, Any] | None) -> Entry:
    if found is None or found["difference"] is None:
        return Entry(UNDEFINED, printable(found["reason"]) if found else "not compared")
    notes = []
    if found["low"] is not None and found["high"] is not None:
        notes.append(f"[{found['low']:+z.3f}, {found['high']:+z.3f}]")
    p_value = found["p_value_max_t"]
    if p_value is not None:
        notes.append(f"p = {p_value:.2g}")
    return Entry(f"{found['difference']:+z.3f}", ", ".join(notes), mark=mark_of(found))
