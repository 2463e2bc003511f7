"""A grid on a terminal: the plan before, the table after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from vlmad_evaluation.bench.tables import printable, shots_name, value
from vlmad_evaluation.bench.terminal import SHOWN, WITH_INTERVAL, WORDS
from vlmad_evaluation.grid.table import AVERAGE, BETTER, SIGNIFICANT, WORSE, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation.grid.combinations import Grid
    from vlmad_evaluation.grid.estimate import Estimate
    from vlmad_evaluation.grid.table import Figure, Row


def show_plan(console: Console, found: Grid, estimate: Estimate) -> None:
    """Print what will be done and what it costs."""

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    distinct = sum(len(each.requests) for each in estimate.passes)
    say(
        f"{_count(len(found.detectors), 'combination')}, {_count(estimate.cells, 'cell')}; "
        f"{_count(distinct, 'distinct visual request')} in "
        f"{_count(len(estimate.passes), 'pass', 'passes')} over "
        f"{_count(estimate.images, 'image')}"
    )
    for each in estimate.passes:
        say(
            f"  {each.backbone}, attention {each.attention}: {', '.join(each.requests)} "
            f"({each.seconds:.2f} s an image, for {_count(each.combinations, 'combination')})"
        )
    texts = estimate.texts
    say(
        f"{_count(texts.calls, 'text encoding')} with {_count(texts.sentences, 'sentence')} in all"
    )
    say(
        f"about {duration(estimate.seconds)}: {duration(estimate.seconds_of_encoding)} to encode, "
        f"{duration(estimate.seconds_of_scoring)} to score, "
        f"{duration(estimate.seconds_of_metrics)} for metrics and intervals"
    )
    say(
        f"{decimal(estimate.bytes_of_maps + estimate.bytes_of_results)} on disk, of which "
        f"{decimal(estimate.bytes_of_maps)} for maps; "
        f"{decimal(estimate.bytes_of_features)} for features in the cache"
    )
    for name, other in found.same.items():
        say(f"the same: {printable(name)} is {printable(other)}")
    for reason, names in _by_reason(found.illegal).items():
        say(f"cannot be: {'; '.join(map(printable, names))}: {printable(reason)}")


def _by_reason(illegal: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in illegal.items():
        reasons.setdefault(reason, []).append(name)
    return reasons


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show(console: Console, document: Mapping[str, Any], folder: Path) -> None:
    """Print a table for each number of references, and where the rest is."""
    found = list(rows(document))
    categories = document["dataset"]["categories"]
    wanted = next(iter(categories)) if len(categories) == 1 else AVERAGE
    for shots in document["settings"]["shots"]:
        lines = [row for row in found if row.shots == shots and row.category == wanted]
        if lines:
            console.print(f"\n{shots_name(shots)}, {wanted}", markup=False)
            console.print(_table(lines))
    console.print(
        f"\nbold: best; {BETTER} {WORSE}: differs from {printable(document['baseline'])} "
        f"(p < {SIGNIFICANT}, corrected by max-T); intervals over images",
        markup=False,
        soft_wrap=True,
    )
    for entry in document["skipped"]:
        who = entry["detector"] or entry["category"]
        reason = f"{who}, {shots_name(entry['shots'])}: not measured, {entry['reason']}"
        console.print(f"note: {printable(reason)}", markup=False, soft_wrap=True)
    for name in ("grid.md", "grid.csv", "grid.json"):
        console.print(f"{folder}/{name}", markup=False, soft_wrap=True)


def _table(lines: Iterable[Row]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("combination", overflow="fold", min_width=16)
    for name in SHOWN:
        table.add_column(WORDS.get(name, name.replace("pixel_aupro_30", "AUPRO")), no_wrap=True)
    for row in lines:
        cells = (_cell(row.figures[name], name) for name in SHOWN)
        table.add_row(escape(printable(row.combination)), *cells)
    return table


def _cell(figure: Figure, name: str) -> str:
    drawn = figure.metric["deviation_over_seeds"] is not None
    text = escape(value(figure.metric, name in WITH_INTERVAL and not drawn))
    number, _, rest = text.partition(" ")
    number = f"[bold]{number}[/]" if figure.best else number
    return " ".join(filter(None, [number + figure.mark, rest]))
