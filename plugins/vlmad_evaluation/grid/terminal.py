"""A grid on a terminal: the plan before, the table after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from vlmad_evaluation.bench.tables import printable, shots_name, value
from vlmad_evaluation.bench.terminal import SHOWN, WITH_INTERVAL, WORDS
from vlmad_evaluation.grid.grouping import NAMED, count, grouped, misfits, some_of
from vlmad_evaluation.grid.table import AVERAGE, BETTER, SIGNIFICANT, WORSE, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation.bench.document import Bench
    from vlmad_evaluation.bench.plan import Skipped
    from vlmad_evaluation.grid.combinations import Grid
    from vlmad_evaluation.grid.estimate import Estimate, Planned
    from vlmad_evaluation.grid.table import Figure, Row

LISTED = 12
"""Combinations that the plan names."""


def show_plan(console: Console, found: Grid, ready: Bench, planned: Planned) -> None:
    """Print what will be done, what it costs, and what cannot be done."""
    lines = [*_cost_lines(found, planned.cost), *_who_lines(found, ready, planned.skipped)]
    for line in lines:
        console.print(printable(line), markup=False, soft_wrap=True)


def _cost_lines(found: Grid, cost: Estimate) -> Iterator[str]:
    distinct = sum(len(each.requests) for each in cost.passes)
    yield (
        f"{count(len(found.detectors), 'combination')}, {count(cost.cells, 'cell')}; "
        f"{count(distinct, 'distinct visual request')} in "
        f"{count(len(cost.passes), 'pass', 'passes')} over {count(cost.images, 'image')}"
    )
    for each in cost.passes:
        yield (
            f"  {each.backbone}, attention {each.attention}: {', '.join(each.requests)} "
            f"({each.seconds:.2f} s an image, for {count(each.combinations, 'combination')})"
        )
    calls, sentences = cost.texts.calls, cost.texts.sentences
    yield f"{count(calls, 'text encoding')} with {count(sentences, 'sentence')} in all"
    yield (
        f"about {duration(cost.seconds)}: {duration(cost.seconds_of_encoding)} to encode, "
        f"{duration(cost.seconds_of_scoring)} to score, "
        f"{duration(cost.seconds_of_metrics)} for metrics and intervals"
    )
    yield (
        f"{decimal(cost.bytes_of_maps + cost.bytes_of_results)} on disk, of which "
        f"{decimal(cost.bytes_of_maps)} for maps; "
        f"{decimal(cost.bytes_of_features)} for features in the cache"
    )


def _who_lines(found: Grid, ready: Bench, skipped: Sequence[Skipped]) -> Iterator[str]:
    """Yield who is measured against whom, what is not, and what there is to say of some."""
    names = list(ready.detectors)
    others = f", against it: {some_of(names[1:], LISTED)}" if names[1:] else ""
    yield f"baseline: {names[0]}{others}"
    notes = [(name, note) for name, d in ready.detectors.items() for note in d.assembly.notes]
    for note, who in grouped(notes).items():
        yield f"note, {_who(who)}: {note}"
    left_out = [(_skipped(each), f"{shots_name(each.shots)}: {each.reason}") for each in skipped]
    for reason, who in grouped(left_out).items():
        yield f"not measured, {reason}: {_who(who)}"
    if found.same:
        same = [f"{name} is {other}" for name, other in found.same.items()]
        yield f"the same, {_who(same)}"
    for reason, who in misfits(found.illegal):
        yield f"cannot be, {reason}: {_who(who)}"


def _skipped(skipped: Skipped) -> str:
    return str(skipped.detector or skipped.category)


def _who(names: Sequence[str]) -> str:
    number = f"{len(names):,} combinations: " if len(names) > NAMED else ""
    return number + some_of(names)


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
