"""The section on published figures, beside one's own where they are about the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.metric import METRICS
from vlmad_evaluation.notation import TITLES, shots_name
from vlmad_report._report_blocks import ReportSection, ReportTable
from vlmad_report._report_text import AVERAGE, entries, metric_entry, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.result_documents import PublishedEntry
    from vlmad_report._report_blocks import TableEntry
    from vlmad_report._result_source import ResultSource

NOTHING = (
    "No published figures stand beside these: they are shown only for a data set in its public "
    "layout with exactly the public numbers of test images, such as MVTec AD or VisA, and for a "
    "recipe as it was registered. With MVTec AD this makes them: "
    "vlmad bench mvtec/ --detector winclip,anomalyclip"
)
STATED = (
    "Averages are shown as the source states them, and as they follow from its own rows where "
    "these differ. An empty place was not published."
)


def published(source: ResultSource) -> ReportSection:
    """Show published figures beside measured ones; averages as stated and as recomputed."""
    entries = source.document.published
    sources = dict.fromkeys(
        f"{each.label}, {shots_name(each.shots)}: {'; '.join([each.source, *each.notes])}."
        for each in entries
    )
    paragraphs = [STATED, *sources] if entries else [NOTHING]
    return ReportSection("Published figures", paragraphs, [_beside(source, e) for e in entries])


def _beside(source: ResultSource, entry: PublishedEntry) -> ReportTable:
    shown = {name for row in entry.categories.values() for name in row} | set(entry.averages)
    names = [name for name in METRICS if name in shown]
    rows = []
    for category in source.categories:
        if category in entry.categories:
            rows.append(_row(category, "published", entry.categories[category], names))
            rows += _measured(source, entry, names, category)
    if entry.averages:
        stated = {name: each.stated for name, each in entry.averages.items()}
        recomputed = {name: each.recomputed for name, each in entry.averages.items()}
        rows.append(_row(AVERAGE, "published, stated", stated, names))
        again = _row(AVERAGE, "published, recomputed", recomputed, names)
        rows += [again] if again[2:] != rows[-1][2:] else []
        rows += _measured(source, entry, names, None)
    who = f"{entry.label}, {shots_name(entry.shots)}"
    columns = ["category", "figures", *(TITLES[name] for name in names)]
    caption = f"{who}: published, and measured with {entry.detector}."
    return ReportTable(caption, columns, rows, words=2)


def _row(
    category: str, what: str, figures: Mapping[str, float | None], names: Sequence[str]
) -> list[TableEntry]:
    found = (figures.get(name) for name in names)
    return entries(category, what, *("" if each is None else number(each) for each in found))


def _measured(
    source: ResultSource, entry: PublishedEntry, names: Sequence[str], category: str | None
) -> Iterator[list[TableEntry]]:
    found = source.metrics(entry.shots, category).get(entry.detector)
    if found is not None:
        values = (metric_entry(found[name]) for name in names)
        yield [*entries(category or AVERAGE, "measured"), *values]
