"""The first sections: averages and differences, every category by itself, groups of objects."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.metric import Metric, best_value
from vlmad_evaluation.notation import TITLES, UNDEFINED, shots_name, what_is_missing
from vlmad_evaluation.result_documents import GridDocument
from vlmad_report._report_blocks import ReportSection, ReportTable, TableEntry
from vlmad_report._report_text import (
    BETTER,
    SIGNIFICANT,
    WORSE,
    best_of,
    difference_entry,
    entries,
    mark_of,
    metric_charts,
    metric_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_datasets.object_groups import Groups
    from vlmad_evaluation.averaging import Averaged
    from vlmad_evaluation.result_documents import BenchDocument, PairEntry
    from vlmad_report._report_blocks import Block
    from vlmad_report._result_source import ResultSource

TASKS = {
    "Image metrics": ("image_auroc", "image_ap", "image_f1_max"),
    "Pixel metrics": ("pixel_auroc", "pixel_aupro_30", "pixel_ap", "pixel_f1_max"),
    "Saturated overlap": (
        "pixel_au_spro_05",
        "pixel_au_spro_05_logical",
        "pixel_au_spro_05_structural",
    ),
}
ABSENT = Metric(value=None, reason="not measured")
KINDS = ("prompts", "extractor", "attention", "scorer")
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
SAME_AS = (
    "Combinations that came out as another one, because a part that does not fit made way; they "
    "were measured once."
)


def summary(source: ResultSource) -> ReportSection:
    """Show the macro averages of every detector, and how it compares with the first."""
    averages = {shots_name(shots): source.metrics(shots) for shots in source.shots}
    blocks: list[Block] = [
        *metric_charts(source, "Macro averages with their intervals.", averages),
        *_metric_tables(source, [None]),
        *_differences(source),
        _detectors(source.document),
        *_combinations(source.document),
    ]
    return ReportSection("Summary", list(_remarks(source.document)), blocks)


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


def _metric_tables(source: ResultSource, categories: Sequence[str | None]) -> list[ReportTable]:
    """Return a table of the metrics of images and one of those of pixels, or none."""
    rows = {
        (category, detector, shots): metrics
        for category in categories
        for shots in source.shots
        for detector, metrics in source.metrics(shots, category).items()
    }
    shown = [task for task, names in TASKS.items() if source.document.measured(names)]
    return [_metric_table(source, task, rows) for task in shown] if rows else []


def _metric_table(
    source: ResultSource,
    task: str,
    rows: Mapping[tuple[str | None, str, int], Mapping[str, Metric]],
) -> ReportTable:
    """Return a table whose rows are a category, a detector and references, the best marked."""
    names = TASKS[task]
    pairs = {(p.category, p.detector, p.shots, p.metric): p for p in _pairs(source)}
    places: dict[tuple[str | None, str], list[Metric]] = {}
    for (category, _, _), metrics in rows.items():
        for name in names:
            places.setdefault((category, name), []).append(metrics.get(name, ABSENT))
    best = {
        place: None if best_value(each) is None else best_of(metric.value for metric in each)
        for place, each in places.items()
    }
    found = []
    for key, metrics in rows.items():
        category, detector, shots = key
        figures = [
            metric_entry(
                metrics.get(name, ABSENT),
                best[category, name],
                mark_of(pairs.get((*key, name))),
                draws=source.draws(shots),
            )
            for name in names
        ]
        words = [detector, shots_name(shots)]
        found.append([*entries(*([category] if category else []), *words), *figures])
    overall = all(category is None for category, _, _ in rows)
    caption = f"{task}, macro averages." if overall else f"{task}."
    if any(entry.mark for row in found for entry in row):
        caption += (
            f" {BETTER} and {WORSE} differ significantly from {source.baseline} "
            f"(p < {SIGNIFICANT}, corrected by max-T)."
        )
    heads = [*([] if overall else ["category"]), "detector", "references"]
    columns = [*heads, *(TITLES[name] for name in names)]
    return ReportTable(caption, columns, found, words=len(heads))


def _pairs(source: ResultSource) -> list[PairEntry]:
    return [p for p in source.document.comparisons if p.against == source.baseline]


def _differences(source: ResultSource) -> Iterator[ReportTable]:
    found: dict[tuple[str, int], dict[str, PairEntry]] = {}
    for pair in _pairs(source):
        if pair.category is None:
            found.setdefault((pair.detector, pair.shots), {})[pair.metric] = pair
    metrics = list(dict.fromkeys(metric for pairs in found.values() for metric in pairs))
    rows = [
        [
            *entries(name, shots_name(shots)),
            *(difference_entry(pairs.get(metric), len(source.categories)) for metric in metrics),
        ]
        for (name, shots), pairs in found.items()
    ]
    caption = (
        f"Differences to {source.baseline} on the same images, of macro averages over those "
        "categories where both are defined. p is corrected "
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
    blocks: list[Block] = [*_metric_tables(source, source.categories)]
    for shots in source.shots:
        rows = {category: source.metrics(shots, category) for category in source.categories}
        caption = f"Each category, {shots_name(shots)}, with intervals."
        blocks += metric_charts(source, caption, rows)
    return ReportSection("Categories", [paragraph], blocks)


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
    blocks: list[Block] = [ReportTable("Averages over groups.", columns, rows, words=3)]
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
        yield metric_entry(average, draws=source.draws(shots), note=counted)
