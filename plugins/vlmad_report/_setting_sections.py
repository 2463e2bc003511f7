"""The sections about a setting that was varied: the number of references, the window size."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.comparison import compare_replicates
from vlmad_evaluation.notation import TITLES, UNDEFINED, shots_name
from vlmad_report._report_blocks import (
    PanelFigure,
    ReportSection,
    ReportTable,
    SvgPanel,
    TableEntry,
)
from vlmad_report._report_text import AVERAGE, DRAWN, difference_entry, entries, metric_entry
from vlmad_report._summary import left_out
from vlmad_report._svg_panels import WIDE, draw_lines, panel_svg
from vlmad_run.manifest import NOT_SUBSTANCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_evaluation.averaging import Averaged
    from vlmad_evaluation.result_documents import DetectorFacts, SeedMetric
    from vlmad_report._report_blocks import Block
    from vlmad_report._result_source import ResultSource

    Settings = Mapping[str, tuple[str, int]]
    """From the name of a setting to the detector and the number of references that it is."""

MOST_LINES = 16
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


def _line_figures(
    source: ResultSource,
    caption: str,
    settings: Settings,
    axis: str,
    metrics: Sequence[str],
    name: str,
) -> list[PanelFigure]:
    """Return a figure with a panel for each metric and a line for each category, or none."""
    categories = source.categories if len(source.categories) <= MOST_LINES else []
    if not categories:
        caption += f" Of {len(source.categories)} categories only the average is drawn."
    panels = []
    for metric in metrics:
        lines = [
            [e.value if e else None for e in _metrics_of(source, settings, metric, category)]
            for category in (None, *categories)
        ]
        if any(value is not None for line in lines for value in line):
            draw = partial(draw_lines, lines=lines, settings=list(settings), axis=axis)
            svg = panel_svg(f"{name}-{metric}", draw, WIDE)
            panels.append(SvgPanel(TITLES[metric], svg, f"{TITLES[metric]} by {axis}. {caption}"))
    legend = [("line ink", AVERAGE)]
    legend += [(f"line s{i % 6} d{i % 6}", c) for i, c in enumerate(categories)]
    return [PanelFigure(caption, panels, legend, wide=True)] if panels else []


def _metrics_of(
    source: ResultSource, settings: Settings, metric: str, category: str | None
) -> list[SeedMetric | None]:
    return [source.metric(metric, *setting, category) for setting in settings.values()]


def few_shot(source: ResultSource) -> ReportSection:
    """Compare zero-shot with few-shot, with intervals of the differences, and over shots.

    Raises:
        InputError: the files of a cell are gone.
    """
    few = [shots for shots in source.shots if shots]
    able = [name for name in source.metrics(0) if any(name in source.metrics(n) for n in few)]
    if not able:
        return ReportSection("Zero-shot and few-shot", [NO_REFERENCES])
    paragraph = (
        "After ± is the standard deviation over seeds. Beside a difference to zero-shot stands "
        f"its {source.document.settings.confidence:.0%} interval over images (paired bootstrap, "
        "percentiles), not corrected for the number of differences."
    )
    averages = {name: _averages(source, name) for name in able}
    blocks: list[Block] = [_gain_table(source, few, averages, metric) for metric in DRAWN]
    chosen = source.best(able)
    for number, name in enumerate(chosen):
        caption = f"{name} over the number of references.{left_out(chosen, able)}"
        settings = {str(shots): (name, shots) for shots in source.shots}
        axis = "references"
        blocks += _line_figures(source, caption, settings, axis, DRAWN, f"few-shot-{number}")
    return ReportSection("Zero-shot and few-shot", [paragraph], blocks)


Averages = dict[tuple[str | None, int], "Mapping[str, Averaged]"]
"""By category, None for all, and references."""


def _averages(source: ResultSource, detector: str) -> Averages:
    confidence = source.document.settings.confidence
    cells = over_seeds(source.stored(detector), confidence)
    found: Averages = {(category, shots): each for (_, category, shots), each in cells.items()}
    overall = over_categories(cells, confidence)
    return found | {(None, shots): each for (_, shots), each in overall.items()}


def _gain_table(
    source: ResultSource, few: Sequence[int], averages: Mapping[str, Averages], metric: str
) -> ReportTable:
    rows = []
    confidence = source.document.settings.confidence
    for name, own in averages.items():
        for category in (*source.categories, None):
            found = [source.metric(metric, name, shots, category) for shots in (0, *few)]
            values = [metric_entry(each, interval=False) for each in found]  # others have those
            none, *some = [own.get((category, shots), {}).get(metric) for shots in (0, *few)]
            gains = [_gain(each, none, confidence) for each in some]
            rows.append([*entries(category or AVERAGE, name), *values, *gains])
    columns = ["category", "detector", shots_name(0), *map(shots_name, few)]
    columns += [f"{shots_name(shots)}, difference" for shots in few]
    return ReportTable(f"{TITLES[metric]} with and without references.", columns, rows, words=2)


def _gain(few: Averaged | None, none: Averaged | None, confidence: float) -> TableEntry:
    """Return a difference by the paired bootstrap: draw i takes the same images in both."""
    if few is None or none is None or few.replicates is None or none.replicates is None:
        return TableEntry(UNDEFINED, "the metric is undefined")
    if few.counted != none.counted:
        return TableEntry(UNDEFINED, "not the same categories could be measured")
    try:
        return difference_entry(compare_replicates(few.replicates, none.replicates, confidence))
    except InputError:
        return TableEntry(UNDEFINED, "not the same images could be scored")


def windows(source: ResultSource) -> ReportSection:
    """Show image and pixel AUROC over window sizes, in tables and as a line per category."""
    blocks: list[Block] = []
    found = _families(source)
    for number, (label, sizes) in enumerate(found):
        for shots in source.shots:
            if set(sizes.values()) & set(source.metrics(shots)):
                settings = {str(size): (name, shots) for size, name in sizes.items()}
                title = f"{shots_name(shots)}{label}"
                blocks += _of_sizes(source, settings, title, f"windows-{number}-{shots}")
    paragraphs = [SIZES] if found else [NO_SIZES]
    if found and not any(source.shots):
        paragraphs.append("No few-shot figures: give references as well, such as --shots 0,1.")
    return ReportSection("Window sizes", paragraphs, blocks)


def _of_sizes(source: ResultSource, settings: Settings, title: str, name: str) -> list[Block]:
    few = any(shots for _, shots in settings.values())
    metrics = ("image_auroc", "pixel_auroc") if few else ("pixel_auroc",)
    blocks: list[Block] = []
    for metric in metrics:
        rows = []
        for category in (*source.categories, None):
            figures = map(metric_entry, _metrics_of(source, settings, metric, category))
            rows.append([*entries(category or AVERAGE), *figures])
        columns = ["category", *(f"size {size}" for size in settings)]
        blocks.append(ReportTable(f"{TITLES[metric]} by window size, {title}.", columns, rows))
    axis = "window size, patches"
    caption = f"Over window sizes, {title}."
    return blocks + _line_figures(source, caption, settings, axis, metrics, name)


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
