"""The section on how detectors hold when light, focus, angle and so on change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.condition_tables import (
    HELD_TITLES,
    SHOWN,
    by_condition,
    glance,
    severities,
    shots_of,
    strongest,
)
from vlmad_evaluation.conditions import CLEAN
from vlmad_evaluation.notation import shots_name
from vlmad_report._metric_charts import left_out
from vlmad_report._report_blocks import BarChart, BarPlot, ChartValue, ReportSection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad_report._report_blocks import Block
    from vlmad_report._result_source import ResultSource

TITLE = "Other conditions"
NOTHING = (
    "The test images were not scored under other conditions. This does it: "
    "vlmad bench DATA --conditions all"
)
DOTS = (
    "Averages, {}. The ring is on clean images, the dots are at rising severity, the largest and "
    "the number at the strongest."
)


def other_conditions(source: ResultSource) -> ReportSection:
    """Show which condition hurts which detector most, then all figures."""
    document = source.document
    if not document.conditions:
        return ReportSection(TITLE, [NOTHING])
    several = len(source.categories) > 1
    categories = document.places() if several else [None]
    paragraphs: list[str] = []
    blocks: list[Block] = []
    for shots in shots_of(document):
        paragraphs += glance(document, shots)
        blocks.append(_chart(source, shots))
        blocks += [strongest(document, shots, categories), severities(document, shots)]
    return ReportSection(TITLE, paragraphs, blocks)


def _chart(source: ResultSource, shots: int) -> BarChart:
    found = by_condition(source.document, shots)
    conditions = list(source.document.settings.conditions)
    chosen = source.best(list(found), len(conditions))

    def trails(condition: str, metric: str) -> Iterator[ChartValue]:
        for number, name in enumerate(chosen):
            steps = (*found[name].get(CLEAN, ()), *found[name].get(condition, ()))
            values = [entry.metrics[metric].value for entry in steps]
            yield ChartValue(number, values[-1] if values else None, trail=values)

    plots = [
        BarPlot(HELD_TITLES[metric], [(name, [*trails(name, metric)]) for name in conditions])
        for metric in SHOWN
    ]
    caption = DOTS.format(shots_name(shots)) + left_out(chosen, list(found))
    return BarChart(caption, chosen, [plot for plot in plots if plot.values])
