"""What figures by contrast and by size have in common: a table of classes, one of AUROC, dots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.bench.tables import UNDEFINED

from vlmad.errors import printable
from vlmad_report.content import Entry, Figure, Table
from vlmad_report.figures.dots import Dot, Dots, words_of
from vlmad_report.looking.averages import mean_of
from vlmad_report.looking.cells import said_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_report.content import Block
    from vlmad_report.looking.averages import Mean
    from vlmad_report.looking.study import Study

METRICS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC"}
AVERAGED = (
    "Each class is measured within a category: its anomalous images against all normal test "
    "images of the category, and its defective pixels against the sound pixels of both. Over "
    "categories the mean is weighted by the anomalous images of the class. Classes hold other "
    "categories in other shares, so differences between them are not the quantity's alone."
)


def blocks_of(study: Study, kind: str, ranges: Sequence[str]) -> Iterator[Block]:
    """Yield the blocks of a section about contrast or size.

    Args:
        study: what was looked at.
        kind: which.
        ranges: the classes' limits in words.
    """
    means = _means(study, kind)
    yield _classes(study, kind, ranges)
    if not means:
        return
    yield _table(study, kind, means)
    yield _figure(study, kind, means)


def paragraphs_of(study: Study) -> tuple[str, ...]:
    """Say what is looked at, and what is missing."""
    unknown = [reason for reason in study.defects.values() if isinstance(reason, str)]
    found = [f"{said_of(study.lines)} {AVERAGED}"]
    if unknown:
        reasons = list(dict.fromkeys(map(printable, unknown)))
        found.append(
            f"{len(unknown)} of {len(study.defects)} anomalous images are left out: "
            f"{words_of(reasons, 5)}."
        )
    problems = list(map(printable, study.problems))
    if problems:
        found.append(f"Not in the figures: {words_of(problems, 5)}.")
    return tuple(found)


def _classes(study: Study, kind: str, ranges: Sequence[str]) -> Table:
    classes = study.classes(kind)
    assert classes is not None
    rows = []
    for name, limits in zip(classes.names, ranges, strict=True):
        there = [s for s, defect in study.known() if study.class_of(kind, defect) == name]
        categories = len({sample.category for sample in there})
        rows.append(tuple(map(Entry, (name, limits, str(len(there)), str(categories)))))
    columns = (kind, "limits", "anomalous images", "categories")
    return Table("The classes.", columns, tuple(rows), words=2)


def _means(study: Study, kind: str) -> dict[tuple[int, str, str], Mean]:
    """Return all that are defined, by line, class and metric."""
    classes = study.classes(kind)
    assert classes is not None
    found = {
        (index, name, metric): mean_of(looks, (kind, name), metric)
        for index, looks in enumerate(study.looks)
        for name in classes.names
        for metric in METRICS
    }
    return {key: mean for key, mean in found.items() if mean is not None}


def _table(study: Study, kind: str, means: Mapping[tuple[int, str, str], Mean]) -> Table:
    classes = study.classes(kind)
    assert classes is not None
    columns = [(metric, name) for metric in METRICS for name in classes.names]
    values: dict[tuple[str, str], list[float]] = {}
    for (_, name, metric), mean in means.items():
        values.setdefault((name, metric), []).append(mean.value)
    rows = []
    for index, line in enumerate(study.lines):
        entries = [Entry(printable(line.name))]
        for metric, name in columns:
            found = means.get((index, name, metric))
            entries.append(_entry(found, values.get((name, metric), [])))
        rows.append(tuple(entries))
    titles = tuple(f"{METRICS[metric]}, {name}" for metric, name in columns)
    caption = f"AUROC by {kind}; n is the number of anomalous images behind a figure."
    return Table(caption, ("detector", *titles), tuple(rows))


def _entry(mean: Mean | None, column: Sequence[float]) -> Entry:
    if mean is None:
        return Entry(UNDEFINED)
    best = mean.value == max(column) > min(column)  # where all are equal, none is best
    return Entry(f"{mean.value:.3f}", f"n = {mean.images}", best)


def _figure(study: Study, kind: str, means: Mapping[tuple[int, str, str], Mean]) -> Figure:
    classes = study.classes(kind)
    assert classes is not None
    series = {
        title: {
            (classes.names.index(name), index): Dot(mean.value)
            for (index, name, key), mean in means.items()
            if key == metric
        }
        for metric, title in METRICS.items()
    }
    panels = tuple(f"{name} {kind}" if kind == "contrast" else name for name in classes.names)
    dots = Dots(panels, tuple(line.name for line in study.lines), series, "AUROC")
    lines = [
        f"{line.name}: "
        + ", ".join(
            f"{name} {means[index, name, 'image_auroc'].value:.3f}"
            for name in classes.names
            if (index, name, "image_auroc") in means
        )
        for index, line in enumerate(study.lines)
    ]
    return Figure(
        f"{kind}-auroc",
        f"AUROC of images and pixels by {kind}; the dotted line is chance.",
        printable(f"Image AUROC by {kind}. {'; '.join(lines[:24])}."),
        dots.draw,
    )
