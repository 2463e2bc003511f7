"""A bench or a grid on a terminal: a grid's plan before, one table after, the lead metrics only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from vlmad_evaluation.condition_tables import glance, shots_of, strongest
from vlmad_evaluation.notation import count, grouped, not_measured
from vlmad_evaluation.result_documents import GridDocument
from vlmad_evaluation.result_tables import Footnotes, entries, explained, metric_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation._grid_plan import GridPlan
    from vlmad_evaluation.result_documents import BenchDocument
    from vlmad_evaluation.result_tables import ResultTable, TableEntry

LEAD = ("image_auroc", "pixel_auroc", "pixel_aupro_30", "pixel_au_spro_05")
ONE_LINE = 120
"""Columns from which on an interval fits beside its value."""


def print_plan(console: Console, plan: GridPlan) -> None:
    """Print what will be done, and what cannot be done."""
    for line in _plan_lines(plan):
        console.print(line)


def _plan_lines(plan: GridPlan) -> Iterator[str]:
    passes, images = count(len(plan.passes), "pass", "passes"), count(plan.images, "image")
    combinations = count(len(plan.grid.combinations), "combination")
    yield f"{combinations}, {count(plan.cells, 'cell')}; {passes} over {images}"
    for each in plan.passes:
        yield f"  {each.backbone}, attention {each.attention}: {', '.join(each.requests)}"
    if plan.seconds is not None:
        yield f"about {duration(plan.seconds)}, metrics and intervals aside"
    yield f"baseline: {plan.baseline}"
    notes = ((name, note) for name, of_it in plan.notes.items() for note in of_it)
    for note, names in grouped(notes).items():
        yield f"note, {names}: {note}"
    yield from not_measured(plan.skipped)
    for name, other in plan.grid.same.items():
        yield f"the same, {name} is {other}"
    for reason, names in grouped(plan.grid.illegal.items()).items():
        yield f"cannot be, {names}: {reason}"


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_results(console: Console, document: BenchDocument, folder: Path) -> None:
    """Print one table, what its figures are, and where the rest is."""
    kind = "grid" if isinstance(document, GridDocument) else "bench"
    names = document.measured(LEAD)
    places = document.places()
    if len(document.dataset.categories) == 1:
        places = places[:1]  # it is its own average
    table = metric_table(document, names, document.settings.shots, places)
    # so narrow that three metrics with their intervals fit into 80 columns
    counts = (row[1].text.removesuffix("-shot") for row in table.rows)
    rows = [[row[0], *entries(few), *row[2:]] for few, row in zip(counts, table.rows, strict=True)]
    columns = [table.columns[0], "shots", *table.columns[2:]]
    _print_table(console, replace(table, columns=columns, rows=rows))
    for line in (*explained(document), *not_measured(document.skipped)):
        console.print(line)
    for shots in shots_of(document):
        console.print()
        _print_table(console, strongest(document, shots), beside=False)
        for line in glance(document, shots):
            console.print(line)
    for ending in ("md", "csv", "json"):
        console.print(f"{folder}/{kind}.{ending}")


def _print_table(console: Console, table: ResultTable, beside: bool = True) -> None:
    """Print a table with its caption; with what stands `beside` figures, and footnotes."""
    shown = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for index, name in enumerate(table.columns):
        if index < table.words:
            shown.add_column(name, overflow="fold", min_width=12 if name == "detector" else None)
        else:
            shown.add_column(name, no_wrap=True)
    notes, gap = Footnotes(), " " if console.width >= ONE_LINE else "\n"
    for row in table.rows:
        shown.add_row(*(_text(entry, gap if beside else "", notes) for entry in row))
    console.print(shown)
    console.print()
    for line in filter(None, (*notes.lines(), table.caption)):
        console.print(line)


def _text(entry: TableEntry, gap: str, notes: Footnotes) -> Text:
    """Return value, mark and deviation, then the interval, after a space or on the next line."""
    rest = f" {entry.note}".rstrip().replace(" [", f"{gap}[") + notes.number(entry.remark)
    return Text.assemble(
        (entry.text, "bold" if entry.best else ""), entry.mark, rest if gap else ""
    )
