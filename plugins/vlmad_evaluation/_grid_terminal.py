"""A grid on a terminal: the plan before, the table after."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from vlmad.errors import printable
from vlmad_evaluation._bench_terminal import SHOWN, WORDS
from vlmad_evaluation._grid_grouping import NAMED, count, grouped, misfits, some_of
from vlmad_evaluation.grid_table import explained, has_references, main_category, rows
from vlmad_evaluation.notation import bracketed, shots_name, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_plan import Skipped
    from vlmad_evaluation._grid_combinations import Grid
    from vlmad_evaluation._grid_plan import Estimate, Planned
    from vlmad_evaluation.grid_table import Figure, Row

LISTED = 12
"""Combinations that the plan names."""
MOST_ROWS = 48
ONE_LINE = 120
"""Columns from which on an interval fits beside its value."""


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
    yield from _not_measured(map(asdict, skipped))
    if found.same:
        same = [f"{name} is {other}" for name, other in found.same.items()]
        yield f"the same, {_who(same)}"
    for reason, who in misfits(found.illegal):
        yield f"cannot be, {_who(who)}: {reason}"


def _not_measured(skipped: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    said = [
        (each["detector"] or each["category"], f"{shots_name(each['shots'])}: {each['reason']}")
        for each in skipped
    ]
    for reason, who in grouped(said).items():
        yield f"not measured, {_who(who)}, {reason}"


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
    """Print one table of all combinations, what its figures are, and where the rest is."""
    wanted = main_category(document)
    found = [row for row in rows(document) if row.category == wanted]
    shown = _worth_a_line(found, document)
    console.print(f"\n{printable(wanted)}", markup=False)
    console.print(_table(shown, has_references(document), console.width))
    if len(shown) < len(found):
        say = f"the {len(shown)} rows that lead in a metric, and the baseline's; grid.md has all"
        console.print(f"{say}, {len(found):,}", markup=False)
    console.print()
    for line in explained(document, printable):
        console.print(line, markup=False, soft_wrap=True)
    for line in _not_measured(document["skipped"]):
        console.print(printable(line), markup=False, soft_wrap=True)
    for name in ("grid.md", "grid.csv", "grid.json"):
        console.print(f"{folder}/{name}", markup=False, soft_wrap=True)


def _worth_a_line(found: Sequence[Row], document: Mapping[str, Any]) -> list[Row]:
    """Return all rows, or of many those that lead in some metric, and the baseline's."""
    if len(found) <= MOST_ROWS:
        return list(found)
    kept = {id(row) for row in found if row.combination == document["baseline"]}
    each = MOST_ROWS // (len(SHOWN) * len({row.shots for row in found}))
    for shots, name in itertools.product({row.shots for row in found}, SHOWN):
        some = [row for row in found if row.shots == shots]
        some.sort(key=lambda row: row.figures[name].metric["value"] or 0.0, reverse=True)
        kept |= {id(row) for row in some[: max(1, each)]}
    return [row for row in found if id(row) in kept]


def _table(lines: Iterable[Row], references: bool, width: int) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("combination", overflow="fold", min_width=16)
    if references:
        table.add_column("shots", justify="right")
    for name in SHOWN:
        table.add_column(WORDS.get(name, name.replace("pixel_aupro_30", "AUPRO")), no_wrap=True)
    gap = " " if width >= ONE_LINE else "\n"
    for row in lines:
        cells = (_cell(row.figures[name], gap) for name in SHOWN)
        shots = [str(row.shots)] if references else []
        table.add_row(escape(printable(row.combination)), *shots, *cells)
    return table


def _cell(figure: Figure, gap: str) -> str:
    """Return value, mark and deviation, then the interval, after a space or on the next line."""
    number, _, deviation = value(figure.metric, interval=False).partition(" ")
    number = f"[bold]{number}[/]" if figure.best else number
    interval = bracketed(figure.metric)
    first = " ".join(filter(None, [number + figure.mark, deviation]))
    return first + (escape(gap + interval) if interval else "")
