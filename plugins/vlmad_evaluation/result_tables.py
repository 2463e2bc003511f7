"""The tables of a bench or a grid: made once, for a terminal, for Markdown and for a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vlmad_evaluation.judged_parts import part_words
from vlmad_evaluation.metric import Metric, best_value
from vlmad_evaluation.notation import (
    TITLES,
    UNDEFINED,
    figure,
    grouped,
    metric_text,
    remark_on,
    shots_name,
)
from vlmad_evaluation.result_documents import GridDocument, PairEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vlmad_evaluation.comparison import Comparison
    from vlmad_evaluation.result_documents import BenchDocument, PublishedEntry

TASKS = {
    "Image metrics": ("image_auroc", "image_ap", "image_f1_max"),
    "Pixel metrics": (
        "pixel_auroc",
        "pixel_aupro_30",
        "pixel_aupro_200_thresholds",
        "pixel_ap",
        "pixel_f1_max",
    ),
    "Saturated overlap": (
        "pixel_au_spro_05",
        "pixel_au_spro_05_logical",
        "pixel_au_spro_05_structural",
    ),
}
KINDS = ("prompts", "extractor", "attention", "scorer")
SIGNIFICANT = 0.05
BETTER, WORSE = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"
AVERAGE = "average"
ABSENT = Metric(value=None, reason="not measured")
DIFFERENCES = (
    "Differences are those detectors' minus the first's, on average over the categories where both "
    "are defined. p is corrected by max-T over all pairs of one metric, categories and averages "
    "apart. DeLong's test needs ten images of each class; elsewhere the paired bootstrap is used. "
    f"Single categories are listed where the corrected p is below {SIGNIFICANT}; the JSON file has "
    "all."
)
SAME_AS = (
    "Combinations that came out as another one, because a part that does not fit made way; they "
    "were measured once."
)


@dataclass(frozen=True, slots=True)
class TableEntry:
    """What stands in one place of a table."""

    text: str
    note: str = ""
    """Smaller, beside the text: an interval, a deviation, a count."""
    best: bool = False
    mark: str = ""
    """A sign that the table's caption explains."""
    remark: str = ""
    """Why something is missing, or what is left out."""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Rows under columns; the first `words` columns hold names, the others numbers."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableEntry]]
    words: int = 1


class Footnotes(dict[str, int]):
    """The remarks below a table, each with its number."""

    def number(self, remark: str) -> str:
        """Return what stands beside a figure."""
        return f" ({self.setdefault(remark, len(self) + 1)})" if remark else ""

    def lines(self) -> Iterator[str]:
        """Yield what stands below the table."""
        return (f"({number}) {remark}" for remark, number in self.items())


def entries(*texts: str) -> list[TableEntry]:
    """Return plain texts as entries of a table."""
    return [TableEntry(text) for text in texts]


def metric_entry(
    metric: Metric | None,
    draws: int = 1,
    interval: bool = True,
    best: bool = False,
    mark: str = "",
    note: str = "",
) -> TableEntry:
    """Return a metric as an entry; `draws` of references are those that it should be over."""
    metric = metric or ABSENT
    text, _, rest = metric_text(metric, interval).partition(" ")
    notes = ", ".join(filter(None, (rest, note)))
    return TableEntry(text, notes, best, mark, remark_on(metric, draws))


def difference_entry(found: Comparison | None, whole: int = 1) -> TableEntry:
    """Return a difference with its interval; `whole` is over how many categories it should be."""
    if found is None or found.difference is None:
        return TableEntry(UNDEFINED, remark="not compared" if found is None else found.reason)
    remarks: list[str] = [found.reason]
    if len(found.categories) < whole:
        remarks.append(f"over {len(found.categories)} of {whole} categories")
    ends = (found.low, found.high)
    note = "" if found.low is None else "[{:+z.3f}, {:+z.3f}]".format(*ends)
    mark = mark_of(found) if isinstance(found, PairEntry) else ""
    remark = ", ".join(filter(None, remarks))
    return TableEntry(f"{found.difference:+z.3f}", note, mark=mark, remark=remark)


def mark_of(pair: PairEntry | None) -> str:
    """Return an arrow for a difference to the first detector that is significant, corrected."""
    if pair is None or pair.p_value_max_t is None or pair.p_value_max_t >= SIGNIFICANT:
        return ""
    return BETTER if (pair.difference or 0) > 0 else WORSE


def metric_table(
    document: BenchDocument,
    names: Sequence[str],
    shots: Iterable[int],
    categories: Sequence[str | None],
    caption: str = "",
) -> ResultTable:
    """Return the metrics of each detector on categories, or on average, above published ones."""
    rows = [
        row
        for number in shots
        for category in categories
        for found in (
            _measured_rows(document, number, category, names),
            _published_rows(document, number, category, names),
        )
        for row in found
    ]
    columns = ["category", "references", "detector", *(TITLES[name] for name in names)]
    return ResultTable(caption, columns, rows, words=3)


def _measured_rows(
    document: BenchDocument, shots: int, category: str | None, names: Sequence[str]
) -> Iterator[list[TableEntry]]:
    draws, pairs = document.draws(shots), document.pairs()
    found = figures_at(document, shots, category, names)
    several = len(found) > 1
    for detector, metrics in found.items():
        row = entries(category or AVERAGE, shots_name(shots), detector)
        for name, (metric, leads) in metrics.items():
            mark = mark_of(pairs.get((name, shots, category, detector)))
            row.append(metric_entry(metric, draws, best=leads and several, mark=mark))
        yield row


def figures_at(
    document: BenchDocument, shots: int, category: str | None, names: Sequence[str]
) -> dict[str, dict[str, tuple[Metric, bool]]]:
    """Return the metrics of each detector, and whether each is the best there."""
    measured = document.entries(shots, category)
    found = {e.detector: {name: e.metrics.get(name, ABSENT) for name in names} for e in measured}
    best = {name: best_value(metrics[name] for metrics in found.values()) for name in names}
    return {
        detector: {
            name: (metric, metric.value is not None and metric.value == best[name])
            for name, metric in metrics.items()
        }
        for detector, metrics in found.items()
    }


def _published_rows(
    document: BenchDocument, shots: int, category: str | None, names: Sequence[str]
) -> Iterator[list[TableEntry]]:
    """Yield what is published; of averages also what follows from the rows, if it differs."""
    for entry in document.published:
        found = [] if entry.shots != shots else _published_texts(entry, category, names)
        for words, texts in found:
            label = f"{entry.label}, published{words}"
            yield entries(category or AVERAGE, shots_name(shots), label, *texts)


def _published_texts(
    entry: PublishedEntry, category: str | None, names: Sequence[str]
) -> list[tuple[str, list[str]]]:
    def texts(found: Mapping[str, float | None]) -> list[str]:
        return ["" if found.get(name) is None else figure(found[name]) for name in names]

    if category is not None:
        rows = [("", texts(entry.categories.get(category, {})))]
    else:
        averages = entry.averages.items()
        stated = texts({name: each.stated for name, each in averages})
        own = texts({name: each.recomputed for name, each in averages})
        differ = any(b not in ("", a) for a, b in zip(stated, own, strict=True))
        rows = [(", stated", stated), *([(", recomputed", own)] if differ else [])]
    return [row for row in rows if any(row[1])]


def published_sources(document: BenchDocument) -> list[str]:
    """Return where published figures are from, and what to know of them."""
    return [
        f"{each.label}, {shots_name(each.shots)}: {'; '.join([each.source, *each.notes])}"
        for each in document.published
    ]


def difference_tables(document: BenchDocument) -> Iterator[ResultTable]:
    """Yield how later detectors compare with the first, if there are any."""
    rows = []
    for pair in document.comparisons:
        if pair.category is None or (pair.p_value_max_t or 1) < SIGNIFICANT:
            whole = 1 if pair.category else len(document.dataset.categories)
            p_values = (pair.p_value, pair.p_value_max_t)
            row = entries(TITLES[pair.metric], shots_name(pair.shots), pair.category or AVERAGE)
            row += [TableEntry(pair.detector), difference_entry(pair, whole)]
            row += entries(*(UNDEFINED if p is None else f"{p:.2g}" for p in p_values))
            rows.append([*row, TableEntry(pair.method)])
    if rows:
        names = ("metric", "references", "category", "detector")
        columns = [*names, "difference", "p", "p, max-T", "test"]
        yield ResultTable(DIFFERENCES, columns, rows, words=len(names))


def detector_table(document: BenchDocument) -> ResultTable:
    """Return the parts of each detector with their options, as the command line takes them."""
    rows = []
    for name, each in document.detectors.items():
        parts = [
            TableEntry(each.parts.get(k, ""), _options(each.options.get(k, {}))) for k in KINDS
        ]
        rows.append([TableEntry(name), TableEntry(each.backbone), *parts])
    columns = ["detector", "backbone", *KINDS]
    seconds = {name: document.learning_seconds(name) for name in document.detectors}
    if any(took is not None for took in seconds.values()):
        columns.append("seconds of learning")
        for row, took in zip(rows, seconds.values(), strict=True):
            row.append(TableEntry("" if took is None else f"{took:.0f}"))
    return ResultTable("Beside a part stand its options.", columns, rows, words=len(columns))


def _options(options: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in options.items()
        if value is not None
    )


def combination_tables(document: BenchDocument) -> Iterator[ResultTable]:
    """Yield the combinations of a grid that cannot be, and those that are another one."""
    if isinstance(document, GridDocument):
        for caption, column, found in (
            ("Combinations that cannot be.", "why", document.grid.illegal),
            (SAME_AS, "is the same as", document.grid.same),
        ):
            rows = [entries(names, why) for why, names in grouped(found.items()).items()]
            if rows:
                yield ResultTable(caption, ["combination", column], rows, words=2)


def explained(document: BenchDocument, shown: Callable[[str], str] = str) -> Iterator[str]:
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
    if settings.spare_good:
        words += ". Good train images that are no reference of a cell are test images of it too"
    for words_on_parts in part_words(settings):
        words += f". {words_on_parts}"
    if settings.align:
        words += ". Images are aligned to the first reference of a cell"
    yield f"{words}. {UNDEFINED} is undefined. Pixel metrics at {settings.resolution} resolution."
    if len(document.detectors) > 1:
        yield (
            f"Bold: the best among those with as many references. {BETTER} {WORSE}: better or "
            f"worse than the baseline, {shown(document.first)}, on the same images (two-sided p "
            f"below {SIGNIFICANT} by the bootstrap, corrected by max-T over all comparisons of the "
            "metric; averages and categories apart)."
        )
