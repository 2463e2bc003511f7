"""The sections about a setting that was varied: the number of references, the window size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vlmad_evaluation.averaging import compare_averages, of_categories, over_seeds
from vlmad_evaluation.notation import TITLES, shots_name
from vlmad_evaluation.result_tables import (
    AVERAGE,
    ResultTable,
    difference_entry,
    entries,
    metric_entry,
)
from vlmad_report._metric_charts import DRAWN
from vlmad_report._report_blocks import ReportSection
from vlmad_run.part_options import NOT_SUBSTANCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_evaluation.averaging import ByPlace
    from vlmad_evaluation.result_documents import DetectorFacts
    from vlmad_evaluation.result_tables import TableEntry
    from vlmad_report._result_source import ResultSource

NO_REFERENCES = (
    "No detector was measured with references and without. One that makes use of references is, "
    "by this: vlmad bench DATA --detector winclip --shots 0,1,2,4"
)
NO_SIZES = (
    "No detectors differ in one window size alone. This makes them: vlmad grid DATA --detector "
    'winclip --set "extractor.scales=1|2|3|4|5|6|7" --shots 0,1'
)
SIZES = (
    "Each detector looks through windows of one size, in patches; nothing else differs. Without "
    "references windows make the map alone, with references the score as well."
)


def few_shot(source: ResultSource) -> ReportSection:
    """Compare zero-shot with few-shot, with intervals of the differences.

    Raises:
        InputError: the files of a cell are gone.
    """
    few = [shots for shots in source.shots if shots]
    able = [name for name in source.metrics(0) if any(name in source.metrics(n) for n in few)]
    if not able:
        return ReportSection("Zero-shot and few-shot", [NO_REFERENCES])
    confidence = source.document.settings.confidence
    paragraph = (
        "After ± is the standard deviation over seeds. Beside a difference to zero-shot stands "
        f"its {confidence:.0%} interval over images (paired bootstrap, "
        "percentiles), not corrected for the number of differences. On average it is over the "
        "categories that have both."
    )
    found = over_seeds(source.stored(), confidence)
    tables = [_gain_table(source, able, few, found, metric) for metric in DRAWN]
    return ReportSection("Zero-shot and few-shot", [paragraph], tables)


def _gain_table(
    source: ResultSource, able: Sequence[str], few: Sequence[int], found: ByPlace, metric: str
) -> ResultTable:
    rows = []
    for name in able:
        for category in (*source.categories, None):
            values = [
                metric_entry(
                    source.metric(metric, name, shots, category),
                    interval=False,  # others have those
                    draws=source.document.draws(shots),
                )
                for shots in (0, *few)
            ]
            gains = [_gain(source, found, name, category, shots, metric) for shots in few]
            rows.append([*entries(category or AVERAGE, name), *values, *gains])
    columns = ["category", "detector", shots_name(0), *map(shots_name, few)]
    columns += [f"{shots_name(shots)}, difference" for shots in few]
    return ResultTable(f"{TITLES[metric]} with and without references.", columns, rows, words=2)


def _gain(
    source: ResultSource, found: ByPlace, name: str, category: str | None, shots: int, metric: str
) -> TableEntry:
    """Return a difference by the paired bootstrap: draw i takes the same images in both."""
    categories = source.categories if category is None else [category]
    few, none = (of_categories(found, name, each, categories, metric) for each in (shots, 0))
    gain, _ = compare_averages(few, none, source.document.settings.confidence)
    return difference_entry(gain, len(categories))


def windows(source: ResultSource) -> ReportSection:
    """Show image and pixel AUROC over window sizes."""
    found = _families(source)
    tables = [
        _size_table(source, metric, sizes, shots, label)
        for label, sizes in found
        for shots in source.shots
        if set(sizes.values()) & set(source.metrics(shots))
        for metric in (("image_auroc", "pixel_auroc") if shots else ("pixel_auroc",))
    ]
    paragraphs = [SIZES] if found else [NO_SIZES]
    if found and not any(source.shots):
        paragraphs.append("No few-shot figures: give references as well, such as --shots 0,1.")
    return ReportSection("Window sizes", paragraphs, tables)


def _size_table(
    source: ResultSource, metric: str, sizes: Mapping[int, str], shots: int, label: str
) -> ResultTable:
    rows = []
    for category in (*source.categories, None):
        found = (source.metric(metric, name, shots, category) for name in sizes.values())
        rows.append([*entries(category or AVERAGE), *map(metric_entry, found)])
    caption = f"{TITLES[metric]} by window size, {shots_name(shots)}{label}."
    return ResultTable(caption, ["category", *(f"size {size}" for size in sizes)], rows)


def _families(source: ResultSource) -> list[tuple[str, dict[int, str]]]:
    """Return detectors that differ in their only window size alone, and what they are called."""
    found: dict[str, dict[int, str]] = {}
    for name, facts in source.document.detectors.items():
        size, rest = _substance(facts)
        if size is not None:
            found.setdefault(rest, {}).setdefault(size, name)
    several = [dict(sorted(sizes.items())) for sizes in found.values() if len(sizes) > 1]
    label = "; as {}" if len(several) > 1 else ""
    return [(label.format(next(iter(sizes.values()))), sizes) for sizes in several]


def _substance(facts: DetectorFacts) -> tuple[int | None, str]:
    """Return a detector's only window size, if it has one, and what else its scores depend on."""
    options = {
        kind: {name: v for name, v in each.items() if name not in NOT_SUBSTANCE.get(kind, ())}
        for kind, each in facts.options.items()
    }
    scales = options.get("extractor", {}).pop("scales", None)
    size = scales[0] if isinstance(scales, list) and len(scales) == 1 else scales
    rest = facts.model_dump(include={"parts", "weights_sha256", "precision"})
    known = size if isinstance(size, int) and size > 0 else None
    return known, json.dumps({**rest, "options": options}, sort_keys=True)
