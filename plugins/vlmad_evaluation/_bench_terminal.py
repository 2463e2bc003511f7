"""The document of a bench on a terminal: averages, then each category, the lead metrics only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from vlmad.errors import printable
from vlmad_evaluation.notation import TITLES, shots_name, value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

SHOWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
WITH_INTERVAL = ("image_auroc", "pixel_auroc")
"""Where nothing was drawn; the other intervals are left to the files, because lines are short."""
WORDS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC"}


def show(console: Console, document: Mapping[str, Any], folder: Path) -> None:
    """Print the tables and where the rest is."""
    for shots in document["settings"]["shots"]:
        entries = [e for e in document["categories"] if e["shots"] == shots]
        averages = [e for e in document["averages"] if e["shots"] == shots]
        if not averages:
            continue
        console.print(f"\n{shots_name(shots)}, {_terms(document, shots)}", markup=False)
        console.print(_table(document, shots, entries, averages))
    for entry in document["skipped"]:
        who = entry["detector"] or entry["category"]
        reason = f"{who}, {shots_name(entry['shots'])}: not measured, {entry['reason']}"
        console.print(f"note: {printable(reason)}", markup=False, soft_wrap=True)
    for name in ("bench.md", "bench.json", "bench.csv"):
        console.print(f"{folder}/{name}", markup=False, soft_wrap=True)


def _terms(document: Mapping[str, Any], shots: int) -> str:
    settings = document["settings"]
    brackets = f"{settings['confidence']:.0%} intervals over images"
    if shots and settings["seeds"] > 1:
        brackets = "mean ± standard deviation over seeds"
    return f"{brackets}, pixel metrics at {settings['resolution']} resolution"


def _table(
    document: Mapping[str, Any], shots: int, entries: list[Any], averages: list[Any]
) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("category", overflow="fold")
    table.add_column("detector", overflow="fold")
    for name in SHOWN:
        table.add_column(WORDS.get(name, TITLES[name]), no_wrap=True)
    for category in document["dataset"]["categories"]:
        for entry in entries:
            if entry["category"] == category:
                table.add_row(escape(printable(category)), *_row(entry))
    for entry in averages:
        table.add_row("[bold]average[/]", *_row(entry))
    for entry in document["published"]:
        if entry["shots"] == shots and entry["averages"]:
            stated = (entry["averages"].get(name, {}).get("stated") for name in SHOWN)
            label = escape(f"{entry['label']}, published")
            figures = ("" if number is None else f"{number:.3f}" for number in stated)
            table.add_row("average", label, *figures)
    return table


def _row(entry: Mapping[str, Any]) -> list[str]:
    return [escape(printable(entry["detector"])), *(_figure(entry, name) for name in SHOWN)]


def _figure(entry: Mapping[str, Any], name: str) -> str:
    metric = entry["metrics"][name]
    with_interval = name in WITH_INTERVAL and metric["deviation_over_seeds"] is None
    return escape(value(metric, with_interval))
