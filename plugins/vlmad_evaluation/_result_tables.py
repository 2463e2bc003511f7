"""The figures of a bench or a grid as rows: of its page, of the terminal and of `*.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation._detector_pairs import COMPARED
from vlmad_evaluation.metric import Metric, best_value
from vlmad_evaluation.notation import UNDEFINED, metric_text, remark_on, shots_name
from vlmad_evaluation.result_documents import GridDocument, PublishedAverage
from vlmad_run.csv_cells import csv_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vlmad_evaluation.result_documents import (
        BenchDocument,
        PairEntry,
        PublishedEntry,
        SkippedEntry,
    )

SIGNIFICANT = 0.05
BETTER, WORSE = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"
AVERAGE = "average"
ABSENT = Metric(value=None, reason="not measured")
NAMED = 5
"""Combinations that are named for each remark; the document names all."""


@dataclass(frozen=True, slots=True)
class MarkedFigure:
    """A metric in a table."""

    number: str
    rest: str = ""
    """Deviation over seeds and interval."""
    best: bool = False
    mark: str = ""
    """An arrow if it differs significantly from the first detector's."""
    remark: str = ""
    """Why it, or its interval, is missing, and what it leaves out."""


class Footnotes(dict[str, int]):
    """The remarks below a table, each with its number."""

    def number(self, remark: str) -> str:
        """Return what stands beside a figure."""
        return f" ({self.setdefault(remark, len(self) + 1)})" if remark else ""

    def lines(self) -> Iterator[str]:
        """Yield what stands below the table."""
        return (f"({number}) {remark}" for remark, number in self.items())


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One's own figures, or published ones, on a category or on average."""

    category: str
    shots: int
    label: str
    figures: list[MarkedFigure]
    published: bool = False


def figure_rows(
    document: BenchDocument, shots: int, names: Sequence[str], category: str | None = None
) -> Iterator[FigureRow]:
    """Yield own figures on a category, or on average, and published ones below them."""
    entries, where = document.entries(shots, category), category or AVERAGE
    found = [{name: entry.metrics.get(name, ABSENT) for name in names} for entry in entries]
    best = {name: best_value(metrics[name] for metrics in found) for name in names}
    pairs = {(p.metric, p.shots, p.category, p.detector): p for p in document.comparisons}
    draws = document.settings.seeds if shots else 1
    for entry, metrics in zip(entries, found, strict=True):
        figures = []
        for name, metric in metrics.items():
            number, _, rest = metric_text(metric).partition(" ")
            leads = len(entries) > 1 and metric.value is not None and metric.value == best[name]
            mark = _mark(pairs.get((name, shots, category, entry.detector)))
            figures.append(MarkedFigure(number, rest, leads, mark, remark_on(metric, draws)))
        yield FigureRow(where, shots, entry.detector, figures)
    for each in document.published:
        if each.shots == shots:
            yield from _published_rows(each, category, names)


def all_rows(
    document: BenchDocument, shots: Iterable[int], names: Sequence[str]
) -> list[FigureRow]:
    """Return what a table shows: every category and the average; of a grid the average alone."""
    categories: list[str | None] = [*document.dataset.categories]
    if not isinstance(document, GridDocument):
        categories.append(None)
    elif len(categories) > 1:
        categories = [None]
    return [
        row
        for number in shots
        for category in categories
        for row in figure_rows(document, number, names, category)
    ]


def _mark(pair: PairEntry | None) -> str:
    if pair is None or pair.difference is None or pair.p_value_max_t is None:
        return ""
    if pair.p_value_max_t >= SIGNIFICANT:
        return ""
    return BETTER if pair.difference > 0 else WORSE


def _published_rows(
    entry: PublishedEntry, category: str | None, names: Sequence[str]
) -> Iterator[FigureRow]:
    """Yield what is published; of averages also what follows from the rows, if it differs."""

    def row(words: str, values: Iterable[float | None]) -> FigureRow:
        figures = [MarkedFigure("" if value is None else f"{value:.3f}") for value in values]
        return FigureRow(category or AVERAGE, entry.shots, entry.label + words, figures, True)

    if category is not None:
        figures = entry.categories.get(category, {})
        if any(name in figures for name in names):
            yield row(", published", [figures.get(name) for name in names])
        return
    unknown = PublishedAverage(stated=None, recomputed=None)
    both = [entry.averages.get(name, unknown) for name in names]
    stated = row(", published, stated", [each.stated for each in both])
    own = row(", published, recomputed", [each.recomputed for each in both])
    pairs = zip(stated.figures, own.figures, strict=True)
    if any(figure.number for figure in stated.figures):
        yield stated
    if any(recomputed.number not in ("", figure.number) for figure, recomputed in pairs):
        yield own


def explained(document: BenchDocument, shown: Callable[[str], str]) -> Iterator[str]:
    """Yield what the figures of a table are, and what their marks mean."""
    settings, categories = document.settings, len(document.dataset.categories)
    average = f"Averages are macro averages over {categories} categories, or as a footnote says. "
    words = (average if categories > 1 else "") + (
        f"In brackets the {settings.confidence:.0%} interval over images (BCa, "
        f"{settings.replicates:,} resampled sets)"
    )
    if any(settings.shots) and settings.seeds > 1:
        words += (
            f"; with references the value is the mean of {settings.seeds} draws of them, the "
            "interval is that of this mean, and after ± stands the standard deviation over draws"
        )
    yield f"{words}. {UNDEFINED} is undefined. Pixel metrics at {settings.resolution} resolution."
    if len(document.detectors) > 1:
        baseline = shown(next(iter(document.detectors)))
        yield (
            f"Bold: the best among those with as many references. {BETTER} {WORSE}: better or "
            f"worse than the baseline, {baseline}, on the same images (two-sided p below "
            f"{SIGNIFICANT} by the bootstrap, corrected by max-T over all comparisons of the "
            "metric; averages and categories apart)."
        )


def bench_csv(document: BenchDocument) -> bytes:
    """Return a row for each cell; undefined values are empty, and have a reason."""
    facts = ("detector", "category", "shots", "seed", "normal", "anomalous", "failed")
    figures = ("value", "low", "high", "error", "reason")
    names = list(dict.fromkeys(name for cell in document.cells for name in cell.metrics))
    columns = [f"{name}_{figure}".removesuffix("_value") for name in names for figure in figures]
    rows: list[list[object]] = [[*facts, "resolution", "threshold", *columns]]
    for cell in document.cells:
        threshold = cell.metrics["image_f1_max"].threshold
        own = [getattr(cell, fact) for fact in facts]
        values = [getattr(cell.metrics.get(name), f, None) for name in names for f in figures]
        rows.append([*own, document.settings.resolution, threshold, *values])
    return csv_table(rows)


def grid_csv(document: GridDocument) -> bytes:
    """Return a row for each combination, number of references and category or average."""
    of_it, beside = (
        ("", "_low", "_high", "_reason", "_categories"),
        ("_difference", "_p_value_max_t"),
    )
    ends = (*of_it, *beside, "_best")
    compared = document.measured(COMPARED)
    columns = [f"{name}{end}" for name in compared for end in ends]
    rows: list[list[object]] = [["category", "shots", "combination", *document.axes, *columns]]
    pairs = {(p.metric, p.shots, p.category, p.detector): p for p in document.comparisons}
    places = [(s, c) for s in document.settings.shots for c in (None, *document.dataset.categories)]
    for shots, category in places:
        entries = document.entries(shots, category)
        found = [{name: entry.metrics.get(name, ABSENT) for name in compared} for entry in entries]
        best = {name: best_value(metrics[name] for metrics in found) for name in compared}
        for entry, metrics in zip(entries, found, strict=True):
            varied = document.grid.combinations[entry.detector]
            axes = (varied.get(axis, "") for axis in document.axes)
            row: list[object] = [category or AVERAGE, shots, entry.detector, *axes]
            for name, metric in metrics.items():
                pair = pairs.get((name, shots, category, entry.detector))
                beside_first = (pair.difference, pair.p_value_max_t) if pair else (None, None)
                leads = metric.value is not None and metric.value == best[name]
                over = len(metric.categories) or None
                row += [metric.value, metric.low, metric.high, metric.reason, over]
                row += [*beside_first, int(leads)]
            rows.append(row)
    return csv_table(rows)


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "pass", "passes"), count(2400, "cell")
    ('1 pass', '2,400 cells')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def grouped(pairs: Iterable[tuple[str, str]], most: int = NAMED) -> dict[str, str]:
    """Return whom each remark is about, of many the first ones, from names and remarks.

    >>> grouped([("a", "too large"), ("b", "too small"), ("c", "too large")], 2)
    {'too large': 'a; c', 'too small': 'b'}
    """
    found: dict[str, list[str]] = {}
    for name, remark in pairs:
        found.setdefault(remark, []).append(name)
    return {remark: _some_of(names, most) for remark, names in found.items()}


def _some_of(names: Sequence[str], most: int) -> str:
    first = "; ".join(names[:most])
    more = len(names) - most
    return first if more <= 0 else f"{len(names):,} combinations: {first}; and {more:,} more"


def not_measured(skipped: Iterable[SkippedEntry]) -> Iterator[str]:
    """Yield what was or will not be measured, each reason once."""
    pairs = (
        (str(each.detector or each.category), f"{shots_name(each.shots)}: {each.reason}")
        for each in skipped
    )
    for reason, names in grouped(pairs).items():
        yield f"not measured, {names}, {reason}"
