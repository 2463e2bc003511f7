"""Rows of figures: cells and tables of Markdown, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from vlmad.errors import printable
from vlmad_evaluation._cell_results import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

UNDEFINED = "\N{EN DASH}"
TITLES = {
    "image_auroc": "AUROC",
    "image_ap": "AP",
    "image_f1_max": "F1-max",
    "pixel_auroc": "AUROC",
    "pixel_aupro_30": "AUPRO",
    "pixel_aupro_05": "AUPRO 0.05",
    "pixel_aupro_200_thresholds": "AUPRO, 200 thresholds",
    "pixel_ap": "AP",
    "pixel_f1_max": "F1-max",
}
CLASSIFICATION = ("image_auroc", "image_ap", "image_f1_max")
SEGMENTATION = (
    "pixel_auroc",
    "pixel_aupro_30",
    "pixel_aupro_200_thresholds",
    "pixel_ap",
    "pixel_f1_max",
)
TASKS = {"classification": CLASSIFICATION, "segmentation": SEGMENTATION}
WITH_INTERVAL = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
"""The others have theirs in bench.json and bench.csv: tables are to be read."""


def value(metric: Mapping[str, Any], interval: bool = True) -> str:
    """Return a metric as a table's cell: value, interval over images, deviation over seeds."""
    if metric["value"] is None:
        return UNDEFINED
    text = f"{metric['value']:.3f}"
    if metric.get("deviation_over_seeds") is not None:
        text += f" ± {metric['deviation_over_seeds']:.3f}"
    between = bracketed(metric) if interval else ""
    return f"{text} {between}" if between else text


def bracketed(metric: Mapping[str, Any]) -> str:
    """Return the interval of a metric, or nothing if it has none."""
    low, high = metric["low"], metric["high"]
    if low is None or high is None or not low < high:
        return ""
    return f"[{low:.3f}, {high:.3f}]"


def shots_name(shots: int) -> str:
    """Say how many references there are."""
    return "zero-shot" if shots == 0 else f"{shots}-shot"


def escaped(text: object) -> str:
    """Return a text that Markdown shows as it is, on one line, in a cell of a table."""
    return "".join(f"\\{c}" if c in "\\|`*_<>[]#" else c for c in printable(text))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; the cells are Markdown already."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def category_rows(
    document: Mapping[str, Any], shots: int, names: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the rows of a table: own figures of each category, published ones below them."""
    own = [entry for entry in document["categories"] if entry["shots"] == shots]
    published = [entry for entry in document["published"] if entry["shots"] == shots]
    for category in document["dataset"]["categories"]:
        for entry in own:
            if entry["category"] == category:
                yield [escaped(category), escaped(entry["detector"]), *_cells(entry, names)]
        for entry in published:
            figures = entry["categories"].get(category)
            if figures and any(name in figures for name in names):
                label = f"*{escaped(entry['label'])}, published*"
                yield [escaped(category), label, *(_fixed(figures.get(n)) for n in names)]
    for entry in document["averages"]:
        if entry["shots"] == shots:
            yield ["**average**", escaped(entry["detector"]), *_cells(entry, names)]
    for entry in published:
        yield from _published_averages(entry, names)


def _cells(entry: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [value(entry["metrics"][name], name in WITH_INTERVAL) for name in names]


def _published_averages(entry: Mapping[str, Any], names: Sequence[str]) -> Iterator[list[str]]:
    """Yield what is stated, and what follows from the published rows where it differs."""
    for kind in ("stated", "recomputed"):
        figures = {name: each[kind] for name, each in entry["averages"].items()}
        known = [name for name in names if figures.get(name) is not None]
        differs = any(
            f"{figures[n]:.3f}" != _fixed(entry["averages"][n]["stated"]) for n in known
        )
        if known and (kind == "stated" or differs):
            label = f"*{escaped(entry['label'])}, published, {kind}*"
            yield ["**average**", label, *(_fixed(figures.get(n)) for n in names)]


def _fixed(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"


def to_csv(document: Mapping[str, Any]) -> str:
    """Return a row for each cell; undefined values are empty."""
    ends = ("low", "high", "error")
    columns = ["detector", "category", "shots", "seed", "normal", "anomalous", "failed"]
    columns += ["resolution", "threshold"]
    for name in NAMES:
        columns += [name, *(f"{name}_{end}" for end in ends)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for cell in document["cells"]:
        row = {**cell, "resolution": document["settings"]["resolution"]}
        row["threshold"] = cell["metrics"]["image_f1_max"]["threshold"]
        for name in NAMES:
            metric = cell["metrics"][name]
            row[name] = metric["value"]
            row |= {f"{name}_{end}": metric[end] for end in ends}
        writer.writerow(row)
    return buffer.getvalue()
