"""A bench or a grid on a terminal: a grid's plan before, one table after, the lead metrics only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from vlmad_evaluation._condition_tables import print_conditions
from vlmad_evaluation._result_tables import (
    Footnotes,
    all_rows,
    count,
    explained,
    grouped,
    not_measured,
)
from vlmad_evaluation.notation import TITLES
from vlmad_evaluation.result_documents import GridDocument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation._grid_plan import GridPlan
    from vlmad_evaluation._result_tables import FigureRow, MarkedFigure
    from vlmad_evaluation.result_documents import BenchDocument

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
    notes, names = Footnotes(), document.measured(LEAD)
    rows = all_rows(document, document.settings.shots, names)
    console.print(_table(rows, names, console.width, notes))
    console.print()
    files = (f"{folder}/{kind}.{ending}" for ending in ("md", "csv", "json"))
    skipped = not_measured(document.skipped)
    for line in (*notes.lines(), *explained(document, str), *skipped):
        console.print(line)
    print_conditions(console, document)
    for line in files:
        console.print(line)


def _table(rows: list[FigureRow], names: list[str], width: int, notes: Footnotes) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("category", overflow="fold")
    table.add_column("shots", justify="right")
    table.add_column("detector", overflow="fold", min_width=12)
    for name in names:
        table.add_column(TITLES[name], no_wrap=True)
    gap = " " if width >= ONE_LINE else "\n"
    for row in rows:
        style = "italic" if row.published else None
        words = row.category, str(row.shots), row.label
        figures = (_figure(figure, gap, notes.number(figure.remark)) for figure in row.figures)
        table.add_row(*words, *figures, style=style)
    return table


def _figure(figure: MarkedFigure, gap: str, footnote: str) -> Text:
    """Return value, mark and deviation, then the interval, after a space or on the next line."""
    rest = f" {figure.rest}".rstrip().replace(" [", f"{gap}[") + footnote
    return Text.assemble((figure.number, "bold" if figure.best else ""), figure.mark + rest)
