"""Numbers and names as a report writes them, and charts of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.metric import are_comparable
from vlmad_evaluation.notation import TITLES, UNDEFINED, metric_text, remark_on
from vlmad_evaluation.result_documents import PairEntry
from vlmad_report._report_blocks import BarChart, BarPlot, ChartValue, TableEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vlmad_evaluation.comparison import Comparison
    from vlmad_evaluation.metric import Metric
    from vlmad_report._result_source import ResultSource

DRAWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
AVERAGE = "average"
SIGNIFICANT = 0.05
BETTER, WORSE = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"


def entries(*texts: str) -> list[TableEntry]:
    """Return plain texts as entries of a table."""
    return [TableEntry(text) for text in texts]


def number(value: float | None) -> str:
    """Return a figure with three decimals; a dash if it is undefined."""
    return UNDEFINED if value is None else f"{value:.3f}"


def count(amount: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "image"), count(1200, "miss", "misses")
    ('1 image', '1,200 misses')
    """
    return f"{amount:,} {noun if amount == 1 else nouns or noun + 's'}"


def some_of(names: Iterable[str], most: int = 5) -> str:
    """Return the first few of many names.

    >>> some_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def best_of(values: Iterable[float | None]) -> str | None:
    """Return the highest figure as it is shown, or None where all are shown as the same."""
    shown = {"" if value is None else number(abs(value)) for value in values}
    return max(shown) if len(shown) > 1 else None


def metric_entry(
    metric: Metric | None,
    best: str | None = None,
    mark: str = "",
    interval: bool = True,
    draws: int = 1,
    note: str = "",
) -> TableEntry:
    """Return a metric as an entry; what else is known of it, or is missing, is its note."""
    if metric is None:
        return TableEntry(UNDEFINED, "not measured")
    text, _, rest = metric_text(metric, interval).partition(" ")
    notes = filter(None, (rest, remark_on(metric, draws), note))
    return TableEntry(text, ", ".join(notes), text == best, mark)


def difference_entry(found: Comparison | None, whole: int = 1) -> TableEntry:
    """Return a difference with its interval, and its corrected p-value if there is one.

    `whole` is over how many categories it should be.
    """
    if found is None or found.difference is None:
        return TableEntry(UNDEFINED, "not compared" if found is None else found.reason)
    notes = []
    if found.low is not None and found.high is not None:
        notes.append(f"[{found.low:+z.3f}, {found.high:+z.3f}]")
    if isinstance(found, PairEntry) and found.p_value_max_t is not None:
        notes.append(f"p = {found.p_value_max_t:.2g}")
    if len(found.categories) < whole:
        notes.append(f"over {len(found.categories)} of {whole} categories")
    notes += [found.reason] if found.reason else []
    mark = mark_of(found) if isinstance(found, PairEntry) else ""
    return TableEntry(f"{found.difference:+z.3f}", ", ".join(notes), mark=mark)


def mark_of(pair: PairEntry | None) -> str:
    """Return an arrow for a difference that is significant after correction."""
    if pair is None or pair.p_value_max_t is None or pair.p_value_max_t >= SIGNIFICANT:
        return ""
    return BETTER if (pair.difference or 0) > 0 else WORSE


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
