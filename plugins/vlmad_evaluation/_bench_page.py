"""The figures of a bench as tables: `bench.md` for people, `bench.csv` for spreadsheets."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation.metric import METRICS
from vlmad_evaluation.notation import (
    TITLES,
    UNDEFINED,
    escaped,
    markdown_table,
    metric_text,
    shots_name,
    what_is_missing,
)
from vlmad_evaluation.result_documents import PublishedAverage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmad_evaluation.result_documents import (
        AverageEntry,
        BenchDocument,
        CategoryEntry,
        PairEntry,
        PublishedEntry,
    )

TASKS = {
    "classification": ("image_auroc", "image_ap", "image_f1_max"),
    "segmentation": (
        "pixel_auroc",
        "pixel_aupro_30",
        "pixel_aupro_200_thresholds",
        "pixel_ap",
        "pixel_f1_max",
    ),
}
WITH_INTERVAL = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
"""The others have theirs in bench.json and bench.csv: tables are to be read."""
CLEAR = 0.05


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A row of a table: one's own figures, or published ones."""

    category: str | None
    """None for averages."""
    label: str
    published: bool
    figures: list[str]


def figure_rows(
    document: BenchDocument, shots: int, names: Sequence[str], intervals: Sequence[str]
) -> Iterator[FigureRow]:
    """Yield own figures of each category, published ones below them, then the averages.

    Args:
        document: the bench's.
        shots: the number of references.
        names: the metrics that are shown.
        intervals: those whose interval is shown too.
    """
    published = [entry for entry in document.published if entry.shots == shots]
    for category in document.dataset.categories:
        for entry in document.categories:
            if (entry.category, entry.shots) == (category, shots):
                yield _own_row(category, entry, names, intervals)
        for each in published:
            figures = each.categories.get(category, {})
            if any(name in figures for name in names):
                label = f"{each.label}, published"
                yield _published_row(category, label, [figures.get(name) for name in names])
    for average in document.averages:
        if average.shots == shots:
            yield _own_row(None, average, names, intervals)
    for each in published:
        yield from _published_averages(each, names)


def _own_row(
    category: str | None,
    entry: CategoryEntry | AverageEntry,
    names: Sequence[str],
    intervals: Sequence[str],
) -> FigureRow:
    figures = [metric_text(entry.metrics[name], name in intervals) for name in names]
    return FigureRow(category, entry.detector, False, figures)


def _published_row(
    category: str | None, label: str, figures: Sequence[float | None]
) -> FigureRow:
    texts = ["" if figure is None else f"{figure:.3f}" for figure in figures]
    return FigureRow(category, label, True, texts)


def _published_averages(entry: PublishedEntry, names: Sequence[str]) -> Iterator[FigureRow]:
    """Yield what is stated, and what follows from the published rows where it differs."""
    unknown = PublishedAverage(stated=None, recomputed=None)
    both = [entry.averages.get(name, unknown) for name in names]
    label = f"{entry.label}, published"
    stated = _published_row(None, f"{label}, stated", [each.stated for each in both])
    own = _published_row(None, f"{label}, recomputed", [each.recomputed for each in both])
    pairs = zip(stated.figures, own.figures, strict=True)
    if any(stated.figures):
        yield stated
    if any(recomputed and recomputed != figure for figure, recomputed in pairs):
        yield own


def to_markdown(document: BenchDocument) -> str:
    """Return the whole document in Markdown."""
    names = ", ".join(document.detectors)
    title = escaped(f"{names} on {len(document.dataset.categories)} categories")
    sections = [f"# {title}", *_introduction(document)]
    number = 0
    for shots in document.settings.shots:
        for task, metrics in TASKS.items():
            rows = list(map(_markdown_row, figure_rows(document, shots, metrics, WITH_INTERVAL)))
            if rows:
                number += 1
                sections.append(f"## Table {number}: {task}, {shots_name(shots)}")
                header = ["category", "detector", *(TITLES[name] for name in metrics)]
                sections.append(markdown_table(header, rows))
    return "\n\n".join([*sections, *remarks(document)]) + "\n"


def _markdown_row(row: FigureRow) -> list[str]:
    category = "**average**" if row.category is None else escaped(row.category)
    label = escaped(row.label)
    return [category, f"*{label}*" if row.published else label, *row.figures]


def _introduction(document: BenchDocument) -> Iterator[str]:
    settings, dataset = document.settings, document.dataset
    if not document.finished:
        yield "**Unfinished**: the same command goes on."
    yield (
        f"Data set read as `{dataset.reader}`. Pixel metrics at {settings.resolution} "
        f"resolution. In brackets the {settings.confidence:.0%} interval over images "
        f"(BCa, {settings.replicates} replicates); after ± the standard deviation over "
        "seeds, where references were drawn. "
        f"{UNDEFINED} is undefined. Averages are macro averages over categories."
    )
    yield markdown_table(
        ["category", "class name", "train", "test, normal", "test, anomalous", "masks"],
        [
            [escaped(name), escaped(f.class_name)]
            + [str(count) for count in (f.train, f.normal, f.anomalous, f.masks)]
            for name, f in dataset.categories.items()
        ],
    )


def remarks(document: BenchDocument) -> Iterator[str]:
    """Yield what stands below the tables: detectors, comparisons, sources, what is missing."""
    yield from _detectors(document)
    yield from _comparisons(document)
    sources = dict.fromkeys(
        f"{entry.label}, {shots_name(entry.shots)}: {'; '.join([entry.source, *entry.notes])}"
        for entry in document.published
    )
    for title, lines in (
        ("Sources of published figures", list(sources)),
        ("What is missing", list(what_is_missing(document))),
    ):
        if lines:
            yield f"## {title}"
            yield "\n".join(f"- {escaped(line)}" for line in lines)


def _detectors(document: BenchDocument) -> Iterator[str]:
    kinds = ("prompts", "extractor", "attention", "scorer")
    yield "## Detectors"
    yield markdown_table(
        ["detector", "backbone", *kinds, "seconds"],
        [
            [
                *map(escaped, (name, each.backbone, *(each.parts[kind] for kind in kinds))),
                UNDEFINED if each.seconds_per_image is None else f"{each.seconds_per_image:.3f}",
            ]
            for name, each in document.detectors.items()
        ],
    )
    memory = document.peak_memory_bytes
    held = "unknown" if memory is None else f"{memory / 1e9:.2f} GB"
    devices = sorted({each.device for each in document.detectors.values()})
    yield (
        f"Seconds are the model's for an image, one at a time on {escaped(', '.join(devices))}, "
        f"nothing read from caches (median, measured apart). Peak memory of this bench: {held}."
    )
    notes = [
        f"- {escaped(name)}: {escaped(note)}"
        for name, each in document.detectors.items()
        for note in each.notes
    ]
    if notes:
        yield "\n".join(notes)


def _comparisons(document: BenchDocument) -> Iterator[str]:
    known = [entry for entry in document.comparisons if entry.difference is not None]
    rows = [
        _comparison(entry)
        for entry in known
        if entry.category is None
        or (entry.p_value_holm is not None and entry.p_value_holm < CLEAR)
    ]
    if not rows:
        return
    smallest = 2 / (document.settings.replicates + 1)
    yield f"## Against {escaped(document.comparisons[0].against)}, on the same images"
    yield markdown_table(
        ["metric", "references", "category", "detector", "difference", "p", "p, Holm", "test"],
        rows,
    )
    yield (
        "Differences are those detectors' minus the first's. "
        "Holm's correction is over all pairs of one metric, categories and averages apart. "
        "DeLong's test needs ten images of each class; elsewhere the paired bootstrap is used, "
        f"whose smallest p is {smallest:.2g}. Single categories are listed where the corrected p "
        f"is below {CLEAR}; bench.json has all."
    )


def _comparison(entry: PairEntry) -> list[str]:
    difference = f"{entry.difference:+.3f}"
    if entry.low is not None:
        difference += f" [{entry.low:+.3f}, {entry.high:+.3f}]"
    p_values = (entry.p_value, entry.p_value_holm)
    return [
        TITLES[entry.metric],
        shots_name(entry.shots),
        "**average**" if entry.category is None else escaped(entry.category),
        escaped(entry.detector),
        difference,
        *(UNDEFINED if p_value is None else f"{p_value:.2g}" for p_value in p_values),
        entry.method,
    ]


def to_csv(document: BenchDocument) -> str:
    """Return a row for each cell; undefined values are empty."""
    facts = ("detector", "category", "shots", "seed", "normal", "anomalous", "failed")
    figures = ("value", "low", "high", "error")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [f"{name}_{figure}".removesuffix("_value") for name in METRICS for figure in figures]
    writer.writerow([*facts, "resolution", "threshold", *columns])
    for cell in document.cells:
        threshold = cell.metrics["image_f1_max"].threshold
        own = [getattr(cell, fact) for fact in facts]
        values = [getattr(cell.metrics[name], figure) for name in METRICS for figure in figures]
        writer.writerow([*own, document.settings.resolution, threshold, *values])
    return buffer.getvalue()
