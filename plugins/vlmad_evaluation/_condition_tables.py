"""How detectors hold under conditions, as tables: on a terminal, in `bench.md`, as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from vlmad_evaluation._result_tables import AVERAGE, count
from vlmad_evaluation.comparison import Comparison
from vlmad_evaluation.condition_results import (
    HELD_TITLES,
    RATES,
    RULE,
    WORSE,
    amount_text,
    by_condition,
    change_text,
    glance,
    held_text,
    is_worse,
)
from vlmad_evaluation.conditions import CLEAN, HELD
from vlmad_evaluation.notation import escaped, markdown_table, shots_name
from vlmad_run.csv_cells import csv_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from vlmad_evaluation._bench_plan import Plan
    from vlmad_evaluation.result_documents import BenchDocument, BenchSettings, ConditionEntry


def cost(plan: Plan, settings: BenchSettings, passes: int) -> str:
    """Say how much there is to do with all conditions."""
    images = len({sample.image for cell in plan.cells for sample in cell.samples})
    changes = sum(len(each.amounts) for each in settings.conditions.values())
    seen = images * (1 + changes)
    return (
        f"{count(images, 'test image')} as they are and under {count(changes, 'change')}: "
        f"{count(seen, 'image')} to encode in {count(passes, 'pass', 'passes')} each, "
        f"{count(plan.images, 'score')}"
    )


def print_conditions(console: Console, document: BenchDocument) -> None:
    """Print averages at the strongest severity of each condition, and what hurts whom most."""
    lines: list[str] = []
    for shots in _shots(document):
        console.print()
        console.print(_strongest(document, shots))
        lines += glance(document, shots)
    if lines:
        console.print()
        lines.append(f"Averages at the strongest severities; * {WORSE}. {RULE}")
    for line in lines:
        console.print(line)


def _shots(document: BenchDocument) -> list[int]:
    return sorted({entry.shots for entry in document.conditions})


def _strongest(document: BenchDocument, shots: int) -> Table:
    names = [CLEAN, *document.settings.conditions]
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("detector", overflow="fold", min_width=10)
    table.add_column(shots_name(shots), no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for detector, found in by_condition(document, shots).items():
        for metric in ("image_auroc", *RATES):
            entries = (found[name][-1] if name in found else None for name in names)
            own = [held_text(e, metric) + "*" * is_worse(e, metric) if e else "" for e in entries]
            label = detector if metric == "image_auroc" else ""
            table.add_row(label, HELD_TITLES[metric], *own)
    return table


def conditions_markdown(document: BenchDocument) -> Iterator[str]:
    """Yield the sections about conditions: all severities, on average."""
    header = ["condition", "by", "detector", *(HELD_TITLES[name] for name in HELD), "rank"]
    for shots in _shots(document):
        entries = (e for e in document.conditions if (e.shots, e.category) == (shots, None))
        yield f"## Under conditions, {shots_name(shots)}"
        yield "\n".join(f"- {escaped(line)}" for line in glance(document, shots))
        yield markdown_table(header, [_row(document, entry) for entry in entries])
    if document.conditions:
        yield (
            "Averages over categories, with the change against clean images and its interval; of "
            f"false alarms and misses in percentage points. Bold: {WORSE}. {RULE} The rank is that "
            "by image AUROC. conditions.csv has each category."
        )


def _row(document: BenchDocument, entry: ConditionEntry) -> list[str]:
    figures = []
    for name in HELD:
        text, change = held_text(entry, name), change_text(entry, name)
        text = f"**{text}**" if is_worse(entry, name) else text
        figures.append(f"{text} ({change})" if change else text)
    words = (entry.name, amount_text(document, entry), entry.detector)
    return [*map(escaped, words), *figures, "" if entry.rank is None else str(entry.rank)]


def conditions_csv(document: BenchDocument) -> bytes:
    """Return a row for each detector, category or average, references, condition and severity."""
    ends = ("", "_low", "_high", "_change", "_change_low", "_change_high")
    columns = [f"{name}{end}" for name in HELD for end in ends]
    facts = ("category", "shots", "detector", "condition", "severity", "amount", "rank")
    rows: list[Sequence[object]] = [(*facts, *columns)]
    for entry in document.conditions:
        by = (None, None) if entry.change is None else (entry.change.severity, entry.change.amount)
        row: list[object] = [entry.category or AVERAGE, entry.shots, entry.detector, entry.name]
        row += [*by, entry.rank]
        for name in HELD:
            metric, change = entry.metrics[name], entry.changes.get(name, Comparison())
            row += [metric.value, metric.low, metric.high]
            row += [change.difference, change.low, change.high]
        rows.append(row)
    return csv_table(rows)
