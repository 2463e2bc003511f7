"""The first sections: averages and differences, every category by itself, groups of objects."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.notation import TITLES, shots_name, what_is_missing
from vlmad_evaluation.result_tables import (
    TASKS,
    ResultTable,
    combination_tables,
    detector_table,
    difference_tables,
    entries,
    explained,
    metric_entry,
    metric_table,
)
from vlmad_report._metric_charts import metric_charts
from vlmad_report._report_blocks import ReportSection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_datasets.object_groups import Groups
    from vlmad_evaluation.averaging import Averaged
    from vlmad_evaluation.result_documents import BenchDocument
    from vlmad_evaluation.result_tables import TableEntry
    from vlmad_report._report_blocks import Block
    from vlmad_report._result_source import ResultSource

MOST_MISSING = 20
GROUPED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
MAPPING = (
    "a TOML file says which category belongs to which group: [groups], then a line such as "
    'texture = ["carpet", "wood"] for each group'
)
GROUP_AVERAGES = (
    "Averages over the categories of a group, each counting the same, with the interval over "
    "images; then the standard deviation over these categories, and their number."
)


def summary(source: ResultSource) -> ReportSection:
    """Show the macro averages of every detector, and how it compares with the first."""
    document = source.document
    averages = {shots_name(shots): source.metrics(shots) for shots in source.shots}
    blocks: list[Block] = [
        *metric_charts(source, "Macro averages with their intervals.", averages),
        *_metric_tables(document, [None]),
        *difference_tables(document),
        detector_table(document),
        *combination_tables(document),
    ]
    return ReportSection("Summary", list(_remarks(document)), blocks)


def _remarks(document: BenchDocument) -> Iterator[str]:
    yield from explained(document)
    for name, detector in document.detectors.items():
        yield from (f"{name}: {note}" for note in detector.notes)
    missing = list(what_is_missing(document))
    yield from missing[:MOST_MISSING]
    if len(missing) > MOST_MISSING:
        yield f"And {len(missing) - MOST_MISSING} more things are missing; see the JSON file."


def _metric_tables(
    document: BenchDocument, categories: Sequence[str | None]
) -> Iterator[ResultTable]:
    """Yield a table of the metrics of images and one of those of pixels, of what was measured."""
    for task, wanted in TASKS.items():
        names, shots = document.measured(wanted), document.settings.shots
        if names:
            yield metric_table(document, names, shots, categories, f"{task}.")


def categories(source: ResultSource) -> ReportSection:
    """Show the metrics of every category with their intervals, in tables and as bars."""
    blocks: list[Block] = [*_metric_tables(source.document, source.categories)]
    for shots in source.shots:
        rows = {category: source.metrics(shots, category) for category in source.categories}
        caption = f"Each category, {shots_name(shots)}, with intervals."
        blocks += metric_charts(source, caption, rows)
    return ReportSection("Categories", list(explained(source.document)), blocks)


def object_groups(source: ResultSource, groups: Groups) -> ReportSection:
    """Show averages over the categories of each group, with their number and deviation.

    Raises:
        InputError: the files of a cell are gone.
    """
    members = _members(source, groups)
    if not members:
        return ReportSection("Object groups", [f"None of the categories is in a group: {MAPPING}."])
    paragraphs = [GROUP_AVERAGES]
    paragraphs += [f"{group}: {', '.join(each)}." for group, each in members.items()]
    others = [c for c in source.categories if not any(c in each for each in members.values())]
    if others:
        paragraphs.append(f"In no group, and not shown here: {', '.join(others)}; {MAPPING}.")
    confidence = source.document.settings.confidence
    cells = over_seeds(source.stored(), confidence)
    averages = {group: over_categories(cells, each, confidence) for group, each in members.items()}
    rows = [
        [*entries(group, name, shots_name(shots)), *_group_figures(source, name, shots, own)]
        for group, each in averages.items()
        for (name, _, shots), own in each.items()
    ]
    columns = ["group", "detector", "references", *(TITLES[metric] for metric in GROUPED)]
    blocks: list[Block] = [ResultTable("Averages over groups.", columns, rows, words=3)]
    for shots in source.shots:
        bars = {
            group: {
                name: {metric: own[metric].metric for metric in own}
                for (name, _, of), own in each.items()
                if of == shots
            }
            for group, each in averages.items()
        }
        caption = f"Groups, {shots_name(shots)}, with intervals over images."
        blocks += metric_charts(source, caption, bars)
    return ReportSection("Object groups", paragraphs, blocks)


def plain(name: str) -> str:
    """Return a category's name as it is compared: lower case, one underscore between words.

    >>> plain("Metal-nut ")
    'metal_nut'
    """
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _members(source: ResultSource, groups: Groups) -> dict[str, list[str]]:
    """Return the measured categories of each group; `metal nut` is taken for `metal_nut`."""
    known = {plain(category): group for category, group in groups.objects.items()}
    found: dict[str, list[str]] = {group: [] for group in groups.objects.values()}
    for category in source.categories:
        if plain(category) in known:
            found[known[plain(category)]].append(category)
    return {group: each for group, each in found.items() if each}


def _group_figures(
    source: ResultSource, detector: str, shots: int, averages: Mapping[str, Averaged]
) -> Iterator[TableEntry]:
    for metric in GROUPED:
        average = averages[metric].metric
        found = [source.metric(metric, detector, shots, each) for each in average.categories]
        values = [each.value for each in found if each and each.value is not None]
        deviation = f"± {statistics.stdev(values):.3f} " if len(values) > 1 else ""
        counted = f"{deviation}({len(values)})" if values else ""
        yield metric_entry(average, draws=source.document.draws(shots), note=counted)
