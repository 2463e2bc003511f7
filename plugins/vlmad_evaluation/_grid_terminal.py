"""A grid on a terminal: the plan before, the table after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from vlmad.errors import printable
from vlmad_evaluation._bench_terminal import LEAD
from vlmad_evaluation.grid_table import count, explained, grid_rows, grouped, main_category, some_of
from vlmad_evaluation.notation import TITLES, metric_text, shots_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation._grid_plan import GridPlan
    from vlmad_evaluation.grid_table import GridFigure, GridRow
    from vlmad_evaluation.result_documents import GridDocument, SkippedEntry

NAMED = 3
"""Combinations that are named for each remark; the document names all."""
MOST_ROWS = 48
ONE_LINE = 120
"""Columns from which on an interval fits beside its value."""


def print_plan(console: Console, plan: GridPlan) -> None:
    """Print what will be done, and what cannot be done."""
    for line in _plan_lines(plan):
        console.print(printable(line), markup=False, soft_wrap=True)


def _plan_lines(plan: GridPlan) -> Iterator[str]:
    passes, images = count(len(plan.passes), "pass", "passes"), count(plan.images, "image")
    combinations = count(len(plan.grid.combinations), "combination")
    yield f"{combinations}, {count(plan.cells, 'cell')}; {passes} over {images}"
    for each in plan.passes:
        yield f"  {each.backbone}, attention {each.attention}: {', '.join(each.requests)}"
    if plan.seconds is not None:
        yield f"about {duration(plan.seconds)}, metrics and intervals aside"
    others = [name for name in plan.grid.combinations if name != plan.baseline]
    yield f"baseline: {plan.baseline}" + (f", against it: {some_of(others)}" if others else "")
    notes = ((name, note) for name, of_it in plan.notes.items() for note in of_it)
    for note, names in grouped(notes).items():
        yield f"note, {some_of(names, NAMED)}: {note}"
    yield from _not_measured(plan.skipped)
    if plan.grid.same:
        same = [f"{name} is {other}" for name, other in plan.grid.same.items()]
        yield f"the same, {some_of(same, NAMED)}"
    for reason, names in grouped(plan.grid.illegal.items()).items():
        yield f"cannot be, {some_of(names, NAMED)}: {reason}"


def _not_measured(skipped: Iterable[SkippedEntry]) -> Iterator[str]:
    pairs = (
        (str(each.detector or each.category), f"{shots_name(each.shots)}: {each.reason}")
        for each in skipped
    )
    for reason, names in grouped(pairs).items():
        yield f"not measured, {some_of(names, NAMED)}, {reason}"


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_grid(console: Console, document: GridDocument, folder: Path) -> None:
    """Print one table of all combinations, what its figures are, and where the rest is."""
    category = main_category(document)
    found = [row for row in grid_rows(document) if row.category == category]
    shown = _leading(found, document.baseline)
    console.print(f"\n{printable(category)}", markup=False)
    console.print(_table(shown, len(document.settings.shots) > 1, console.width))
    console.print()
    if len(shown) < len(found):
        console.print(f"{len(shown)} rows lead or are the baseline's; grid.md has all {len(found)}")
    files = (f"{folder}/{name}" for name in ("grid.md", "grid.csv", "grid.json"))
    for line in (*explained(document, printable), *_not_measured(document.skipped), *files):
        console.print(printable(line), markup=False, soft_wrap=True)


def _leading(rows: Sequence[GridRow], baseline: str) -> list[GridRow]:
    """Return all rows, or of many those that lead in some metric, and the baseline's."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    kept = {id(row) for row in rows if row.combination == baseline}
    for name in LEAD:
        in_order = sorted(rows, key=lambda row: row.figures[name].metric.value or 0.0)
        kept |= {id(row) for row in in_order[-MOST_ROWS // len(LEAD) :]}
    return [row for row in rows if id(row) in kept]


def _table(rows: Iterable[GridRow], references: bool, width: int) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("combination", overflow="fold", min_width=16)
    if references:
        table.add_column("shots", justify="right")
    for name in LEAD:
        table.add_column(TITLES[name], no_wrap=True)
    gap = " " if width >= ONE_LINE else "\n"
    for row in rows:
        shots = [str(row.shots)] if references else []
        figures = (_figure(row.figures[name], gap) for name in LEAD)
        table.add_row(Text(printable(row.combination)), *shots, *figures)
    return table


def _figure(figure: GridFigure, gap: str) -> Text:
    """Return value, mark and deviation, then the interval, after a space or on the next line."""
    number, space, rest = metric_text(figure.metric).partition(" ")
    rest = (space + rest).replace(" [", f"{gap}[")
    return Text.assemble((number, "bold" if figure.best else ""), figure.mark + rest)
