"""The first sections: averages and differences, then every category by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation.notation import TITLES, UNDEFINED, shots_name, what_is_missing
from vlmad_evaluation.result_documents import GridDocument
from vlmad_report._report_blocks import ReportSection, ReportTable, TableEntry
from vlmad_report._report_text import (
    BETTER,
    SIGNIFICANT,
    WORSE,
    difference_entry,
    entries,
    mark_of,
    metric_charts,
    metric_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.result_documents import BenchDocument, PairEntry, SeedMetric
    from vlmad_report._report_blocks import BarChart, Block
    from vlmad_report._result_source import ResultSource

TASKS = {
    "Image metrics": ("image_auroc", "image_ap", "image_f1_max"),
    "Pixel metrics": ("pixel_auroc", "pixel_aupro_30", "pixel_ap", "pixel_f1_max"),
}
KINDS = ("prompts", "extractor", "attention", "scorer")
MOST_MISSING = 20
SAME_AS = (
    "Combinations that came out as another one, because a part that does not fit made way; they "
    "were measured once."
)


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """What a detector reaches on a category, or on average."""

    category: str | None
    detector: str
    shots: int
    metrics: Mapping[str, SeedMetric]

    def key(self, metric: str) -> tuple[str | None, str, int, str]:
        """Return under what a comparison of one metric is found."""
        return self.category, self.detector, self.shots, metric


def summary(source: ResultSource) -> ReportSection:
    """Show the macro averages of every detector, and how it compares with the first."""
    rows = _rows(source, None)
    blocks: list[Block] = list(_average_chart(source))
    blocks += [_metric_table(source, task, rows) for task in TASKS] if rows else []
    blocks += [*_differences(source), _detectors(source.document)]
    blocks += _combinations(source.document)
    return ReportSection("Summary", list(_remarks(source.document)), blocks)


def _rows(source: ResultSource, category: str | None) -> list[MeasuredRow]:
    return [
        MeasuredRow(category, detector, shots, metrics)
        for shots in source.shots
        for detector, metrics in source.metrics(shots, category).items()
    ]


def _remarks(document: BenchDocument) -> Iterator[str]:
    yield (
        "Averages are macro averages over categories: each counts the same. In brackets is the "
        f"{document.settings.confidence:.0%} interval over images; after ± the standard "
        "deviation over seeds, where references were drawn. AUPRO reaches to a false positive "
        f"rate of 0.3. {UNDEFINED} is undefined."
    )
    for name, detector in document.detectors.items():
        yield from (f"{name}: {note}" for note in detector.notes)
    missing = list(what_is_missing(document))
    yield from missing[:MOST_MISSING]
    if len(missing) > MOST_MISSING:
        yield f"And {len(missing) - MOST_MISSING} more things are missing; see the JSON file."


def _detectors(document: BenchDocument) -> ReportTable:
    """Return a table of parts with their options, as the command line takes them."""
    rows = []
    for name, each in document.detectors.items():
        parts = [TableEntry(each.parts[k], _options(each.options.get(k, {}))) for k in KINDS]
        rows.append([TableEntry(name), *parts, TableEntry(each.backbone)])
    columns = ["detector", *KINDS, "backbone"]
    caption = "Detectors. Below a part stand its options."
    return ReportTable(caption, columns, rows, words=len(columns))


def _options(options: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in options.items()
        if value is not None
    )


def _metric_table(source: ResultSource, task: str, rows: Sequence[MeasuredRow]) -> ReportTable:
    """Return a table of metrics, the best of each category shown as such.

    What is shown as the same figure is equally good; where all rows are, none is the best.
    """
    names = TASKS[task]
    pairs = {(p.category, p.detector, p.shots, p.metric): p for p in _pairs(source)}
    shown: dict[tuple[str | None, str], set[str]] = {}
    for row in rows:
        for name in names:
            shown.setdefault((row.category, name), set()).add(_shown(row, name))
    found = []
    for row in rows:
        words = [row.detector, shots_name(row.shots)]
        figures = [
            metric_entry(
                row.metrics[name],
                len(shown[row.category, name]) > 1
                and _shown(row, name) == max(shown[row.category, name]),
                mark_of(pairs.get(row.key(name))),
            )
            for name in names
        ]
        found.append([*entries(*([row.category] if row.category else []), *words), *figures])
    heads = [*(["category"] if rows[0].category else []), "detector", "references"]
    caption = f"{task}." if rows[0].category else f"{task}, macro averages."
    if any(entry.mark for row in found for entry in row):
        caption += (
            f" {BETTER} and {WORSE} differ significantly from {source.baseline} "
            f"(p < {SIGNIFICANT}, corrected by max-T)."
        )
    columns = [*heads, *(TITLES[name] for name in names)]
    return ReportTable(caption, columns, found, words=len(heads))


def _shown(row: MeasuredRow, name: str) -> str:
    """Return a figure as it is shown, which sorts as figures from 0 to 1 do; "" if undefined."""
    value = row.metrics[name].value
    return "" if value is None else f"{abs(value):.3f}"


def _pairs(source: ResultSource) -> list[PairEntry]:
    return [p for p in source.document.comparisons if p.against == source.baseline]


def _average_chart(source: ResultSource) -> list[BarChart]:
    names = list(source.document.detectors)
    chosen = source.best(names)
    rows = {
        name: [
            (index, source.metrics(shots)[name])
            for index, shots in enumerate(source.shots)
            if name in source.metrics(shots)
        ]
        for name in chosen
    }
    caption = f"Macro averages with their intervals.{left_out(chosen, names)}"
    return metric_charts(caption, list(map(shots_name, source.shots)), rows)


def left_out(chosen: Sequence[str], names: Sequence[str]) -> str:
    """Return a sentence where not all detectors are drawn."""
    if len(chosen) == len(names):
        return ""
    return f" Of {len(names)} detectors the first and the best on average are drawn."


def _differences(source: ResultSource) -> Iterator[ReportTable]:
    found: dict[tuple[str, int], dict[str, PairEntry]] = {}
    for pair in _pairs(source):
        if pair.category is None:
            found.setdefault((pair.detector, pair.shots), {})[pair.metric] = pair
    metrics = list(dict.fromkeys(metric for pairs in found.values() for metric in pairs))
    rows = [
        [*entries(name, shots_name(shots)), *(difference_entry(pairs.get(m)) for m in metrics)]
        for (name, shots), pairs in found.items()
    ]
    caption = (
        f"Differences to {source.baseline} on the same images, of macro averages. p is corrected "
        "by the max-T method over all detectors and numbers of references. "
        f"{BETTER} and {WORSE} mark p < {SIGNIFICANT}."
    )
    columns = ["detector", "references", *(TITLES[metric] for metric in metrics)]
    if rows:
        yield ReportTable(caption, columns, rows, words=2)


def _combinations(document: BenchDocument) -> Iterator[ReportTable]:
    """Yield tables of the combinations of a grid that cannot be, and of those that are others."""
    if isinstance(document, GridDocument):
        for caption, column, found in (
            ("Combinations that cannot be.", "why", document.grid.illegal),
            (SAME_AS, "is the same as", document.grid.same),
        ):
            if found:
                rows = [entries(*each) for each in found.items()]
                yield ReportTable(caption, ["combination", column], rows, words=2)


def categories(source: ResultSource) -> ReportSection:
    """Show the metrics of every category with their intervals, in tables and as bars."""
    paragraph = (
        "In brackets is the interval over images, after ± the standard deviation over seeds. "
        "Where several detectors were measured, the best of each category is marked."
    )
    rows = [row for category in source.categories for row in _rows(source, category)]
    blocks: list[Block] = [_metric_table(source, task, rows) for task in TASKS] if rows else []
    for shots in source.shots:
        names = list(source.metrics(shots))
        chosen = source.best(names, len(source.categories))
        bars = {
            category: [(i, found[n]) for i, n in enumerate(chosen) if n in found]
            for category in source.categories
            for found in [source.metrics(shots, category)]
        }
        caption = f"Each category, {shots_name(shots)}, with intervals.{left_out(chosen, names)}"
        blocks += metric_charts(caption, chosen, bars)
    return ReportSection("Categories", [paragraph], blocks)
