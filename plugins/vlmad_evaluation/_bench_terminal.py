"""A bench on a terminal: averages, then each category, the lead metrics only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from vlmad.errors import printable
from vlmad_evaluation._bench_page import figure_rows
from vlmad_evaluation.notation import TITLES, shots_name

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation.result_documents import BenchDocument

LEAD = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
WITH_INTERVAL = ("image_auroc", "pixel_auroc")
"""Where nothing was drawn; the other intervals are left to the files, because lines are short."""


def print_bench(console: Console, document: BenchDocument, folder: Path) -> None:
    """Print the tables and where the rest is."""
    settings = document.settings
    for shots in settings.shots:
        drawn = bool(shots) and settings.seeds > 1
        table = _table(document, shots, () if drawn else WITH_INTERVAL)
        if table.row_count:
            brackets = f"{settings.confidence:.0%} intervals over images"
            terms = "mean ± standard deviation over seeds" if drawn else brackets
            where = f"pixel metrics at {settings.resolution} resolution"
            console.print(f"\n{shots_name(shots)}, {terms}, {where}", markup=False)
            console.print(table)
    for entry in document.skipped:
        who = entry.detector or entry.category
        reason = f"{who}, {shots_name(entry.shots)}: not measured, {entry.reason}"
        console.print(f"note: {printable(reason)}", markup=False, soft_wrap=True)
    for name in ("bench.md", "bench.json", "bench.csv"):
        console.print(f"{folder}/{name}", markup=False, soft_wrap=True)


def _table(document: BenchDocument, shots: int, intervals: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("category", overflow="fold")
    table.add_column("detector", overflow="fold")
    for name in LEAD:
        table.add_column(TITLES[name], no_wrap=True)
    for row in figure_rows(document, shots, LEAD, intervals):
        category = "average" if row.category is None else printable(row.category)
        cells = (category, printable(row.label), *row.figures)
        table.add_row(*map(escape, cells), style=None if row.category else "bold")
    return table
