"""Charts of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.metric import are_comparable
from vlmad_evaluation.notation import TITLES
from vlmad_report._report_blocks import BarChart, BarPlot, ChartValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_evaluation.metric import Metric
    from vlmad_report._result_source import ResultSource

DRAWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")


def metric_charts(
    source: ResultSource, caption: str, rows: Mapping[str, Mapping[str, Mapping[str, Metric]]]
) -> list[BarChart]:
    """Return bars of the first and the best detectors, in named rows; nothing if undefined.

    Averages over different categories are not drawn beside each other.
    """
    measured = {name for found in rows.values() for name in found}
    names = [name for name in source.document.detectors if name in measured]
    chosen = source.best(names, len(rows))

    def bars(found: Mapping[str, Mapping[str, Metric]], metric: str) -> list[ChartValue]:
        own = [(i, found[name][metric]) for i, name in enumerate(chosen) if name in found]
        drawn = own if are_comparable(each for _, each in own) else []
        return [ChartValue(i, each.value, each.low, each.high) for i, each in drawn]

    plots = [
        BarPlot(TITLES[metric], [(row, bars(found, metric)) for row, found in rows.items()])
        for metric in DRAWN
    ]
    plots = [plot for plot in plots if plot.values]
    return [BarChart(caption + left_out(chosen, names), chosen, plots)] if plots else []


def left_out(chosen: Sequence[str], names: Sequence[str]) -> str:
    """Return a sentence where not all detectors are drawn."""
    if len(chosen) == len(names):
        return ""
    return f" Of {len(names)} detectors the first and the best on average are drawn."
