"""How figures of a bench are written, and what is missing from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad_evaluation.result_documents import SeedMetric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmad.datasets import Problem
    from vlmad_evaluation.metric import Metric
    from vlmad_evaluation.result_documents import BenchDocument, DatasetFault, MeasuredMetric

UNDEFINED = "\N{EN DASH}"
TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro_30": "AUPRO",
    "pixel_aupro_05": "AUPRO 0.05",
    "pixel_aupro_200_thresholds": "AUPRO, 200 thresholds",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
}


def metric_text(metric: MeasuredMetric | Metric, interval: bool = True) -> str:
    """Return a metric for a table: value, deviation over seeds, interval over images."""
    if metric.value is None:
        return UNDEFINED
    text = f"{metric.value:.3f}"
    if isinstance(metric, SeedMetric) and metric.deviation_over_seeds is not None:
        text += f" ± {metric.deviation_over_seeds:.3f}"
    low, high = metric.low, metric.high
    if interval and low is not None and high is not None and low < high:
        text += f" [{low:.3f}, {high:.3f}]"
    return text


def shots_name(shots: int) -> str:
    """Return how many references there are, in words."""
    return "zero-shot" if shots == 0 else f"{shots}-shot"


def escaped(text: object) -> str:
    """Return a text that Markdown shows as it is, on one line, in a cell of a table."""
    return "".join(f"\\{c}" if c in "\\|`*_<>[]#" else c for c in printable(text))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; the cells are Markdown already."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def what_is_missing(document: BenchDocument) -> Iterator[str]:
    """Yield, in plain words, what was not measured or is undefined, and what may mislead."""
    for skipped in document.skipped:
        who = skipped.detector or skipped.category
        yield f"{who}, {shots_name(skipped.shots)}: not measured, {skipped.reason}"
    yield from dict.fromkeys(_undefined(document))
    yield from problem_lines(document.dataset.problems)
    for cell in document.cells:
        if cell.failed:
            yield (
                f"{cell.detector} on {cell.category}: not scored, images: "
                f"{cell.failed}; see {cell.run}/scores.csv"
            )
        if cell.pixels is not None and cell.pixels.without_mask:
            yield (
                f"{cell.category}: {cell.pixels.without_mask} anomalous images without "
                "a mask are not in the pixel metrics"
            )


def _undefined(document: BenchDocument) -> Iterator[str]:
    for entry in document.averages:
        for name, metric in entry.metrics.items():
            for category, reason in metric.left_out.items():
                what = name
                if name.startswith("image") or "no" in reason:
                    what = f"{name.partition('_')[0]} metrics"
                yield f"{category}: {what} are undefined and not averaged, {reason}"


def problem_lines(problems: Sequence[DatasetFault | Problem], most: int = 20) -> Iterator[str]:
    """Name what may mislead: without it the tables would look sounder than they are."""
    doubtful = [problem for problem in problems if problem.severity != "note"]
    for problem in doubtful[:most]:
        yield f"{problem.severity}: {problem.path}: {problem.what}"
    if len(doubtful) > most:
        yield f"and {len(doubtful) - most} more problems, see vlmad data"
