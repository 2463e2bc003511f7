"""A bench or a grid as a page of Markdown: `bench.md`, `grid.md`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmad_evaluation._detector_pairs import COMPARED
from vlmad_evaluation.condition_tables import glance, severities, shots_of
from vlmad_evaluation.notation import count, escaped, grouped, shots_name, what_is_missing
from vlmad_evaluation.result_documents import GridDocument
from vlmad_evaluation.result_tables import (
    TASKS,
    Footnotes,
    ResultTable,
    combination_tables,
    detector_table,
    difference_tables,
    entries,
    explained,
    metric_table,
    published_sources,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vlmad_evaluation.result_documents import BenchDocument
    from vlmad_evaluation.result_tables import TableEntry

CHANCE = (
    "The more combinations are tried, the more the best of them owes to chance: confirm it on "
    "images that were not in here."
)


def to_markdown(document: BenchDocument) -> str:
    """Return the whole document in Markdown."""
    names = ", ".join(document.detectors)
    if isinstance(document, GridDocument):
        names = count(len(document.detectors), "combination")
    categories = count(len(document.dataset.categories), "category", "categories")
    sections = [f"# {escaped(f'{names} on {categories}')}"]
    if not document.finished:
        sections.append("**Unfinished**: the same command goes on.")
    sections += [*explained(document, escaped), *_figures(document), *_conditions(document)]
    sections += ["## Detectors", markdown_table(detector_table(document))]
    sections.append(f"## Data set, read as {escaped(document.dataset.reader)}")
    sections.append(markdown_table(_data_set(document)))
    for table in difference_tables(document):
        sections.append(f"## Against {escaped(document.first)}, on the same images")
        sections.append(markdown_table(table))
    sections += [*_lists(document)]
    for table in combination_tables(document):
        sections += [f"## {table.caption}", markdown_table(replace(table, caption=""))]
    return "\n\n".join(sections) + "\n"


def markdown_table(table: ResultTable) -> str:
    """Return a table with its footnotes and its caption below."""
    notes = Footnotes()
    rows = [
        [_markdown(entry, notes, index < table.words) for index, entry in enumerate(row)]
        for row in table.rows
    ]
    lines = [table.columns, ["---"] * len(table.columns), *rows]
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    below = "  \n".join(map(escaped, notes.lines()))
    return "\n\n".join(filter(None, (shown, below, escaped(table.caption))))


def _markdown(entry: TableEntry, notes: Footnotes, words: bool) -> str:
    text, note = entry.text, entry.note
    if words:
        text, note = escaped(text), escaped(note)
    text = f"**{text}**" if entry.best else text
    return f"{text}{escaped(entry.mark)} {note}".rstrip() + notes.number(entry.remark)


def _figures(document: BenchDocument) -> Iterator[str]:
    if isinstance(document, GridDocument):
        yield CHANCE
        names = document.measured(COMPARED)
        table = metric_table(document, names, document.settings.shots, document.places())
        yield markdown_table(_with_axes(document, table))
        return
    for shots in document.settings.shots:
        for task, wanted in TASKS.items():
            table = metric_table(document, document.measured(wanted), [shots], document.places())
            if table.rows and table.columns[table.words :]:
                yield f"## {task}, {shots_name(shots)}"
                yield markdown_table(table)


def _with_axes(document: GridDocument, table: ResultTable) -> ResultTable:
    """Return a table that has what varies in place of names of combinations."""
    place, axes = table.words - 1, document.axes
    if not axes:
        return table
    rows = []
    for row in table.rows:
        varied = document.grid.combinations.get(row[place].text, {axes[0]: row[place].text})
        values = entries(*(varied.get(axis, "") for axis in axes))
        rows.append([*row[:place], *values, *row[place + 1 :]])
    columns = [*table.columns[:place], *axes, *table.columns[place + 1 :]]
    return replace(table, columns=columns, rows=rows, words=place + len(axes))


def _conditions(document: BenchDocument) -> Iterator[str]:
    for shots in shots_of(document):
        yield f"## Under conditions, {shots_name(shots)}"
        yield "\n".join(f"- {escaped(line)}" for line in glance(document, shots))
        yield markdown_table(severities(document, shots))


def _data_set(document: BenchDocument) -> ResultTable:
    columns = ["category", "class name", "train", "test, normal", "test, anomalous", "masks"]
    rows = [
        entries(name, f.class_name, *map(str, (f.train, f.normal, f.anomalous, f.masks)))
        for name, f in document.dataset.categories.items()
    ]
    return ResultTable("", columns, rows, words=2)


def _lists(document: BenchDocument) -> Iterator[str]:
    notes = grouped((name, n) for name, each in document.detectors.items() for n in each.notes)
    lists: dict[str, Iterable[str]] = {
        "Notes": [f"{names}: {note}" for note, names in notes.items()],
        "Sources of published figures": published_sources(document),
        "What is missing": what_is_missing(document),
    }
    for title, lines in lists.items():
        known = "\n".join(f"- {escaped(line)}" for line in dict.fromkeys(lines))
        if known:
            yield f"## {title}\n\n{known}"
