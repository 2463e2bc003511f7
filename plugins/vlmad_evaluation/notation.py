"""How figures of a bench are written, and what is missing from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad_evaluation.metric import ANOMALIES, AU_SPRO_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmad.datasets import Problem
    from vlmad_evaluation.metric import Metric
    from vlmad_evaluation.result_documents import BenchDocument, DatasetFault, SkippedEntry

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
for _name, _limit in AU_SPRO_LIMITS.items():
    TITLES[_name] = f"AU-sPRO {_limit:g}"
    TITLES |= {f"{_name}_{kind}": f"AU-sPRO {_limit:g}, {kind}" for kind in ANOMALIES}


def figure(value: float | None) -> str:
    """Return a value from 0 to 1 as all tables have it; a dash if it is undefined."""
    return UNDEFINED if value is None else f"{value:.3f}"


def metric_text(metric: Metric, interval: bool = True) -> str:
    """Return a metric for a table: value, deviation over seeds, interval over images."""
    text = figure(metric.value)
    if metric.deviation_over_seeds is not None:
        text += f" ± {metric.deviation_over_seeds:.3f}"
    low, high = metric.low, metric.high
    if interval and low is not None and high is not None and low < high:
        text += f" [{low:.3f}, {high:.3f}]"
    return text


def remark_on(metric: Metric, draws: int = 1) -> str:
    """Return why a figure, or its interval, is missing, and what it leaves out of an average.

    Args:
        metric: of a category, or an average.
        draws: of references, over which it should be a mean.

    >>> from vlmad_evaluation.metric import Metric
    >>> average = Metric(value=0.5, categories=["tile"], left_out={"wood": "no mask"})
    >>> remark_on(average), remark_on(Metric(value=0.5, seeds=2), 5)
    ('over 1 of 2 categories, no mask: wood', 'over 2 of 5 draws')
    """
    words: list[str] = []
    if metric.left_out and metric.value is not None:
        whole = len(metric.categories) + len(metric.left_out)
        words.append(f"over {len(metric.categories)} of {whole} categories")
    if metric.value is not None and metric.seeds < draws:
        few = "not every category has all draws"
        words.append(few if metric.categories else f"over {metric.seeds} of {draws} draws")
    words += [metric.reason] if metric.reason else []
    by_reason: dict[str, list[str]] = {}
    for category, reason in metric.left_out.items():
        by_reason.setdefault(reason, []).append(category)
    words += [f"{reason}: {' and '.join(names)}" for reason, names in by_reason.items()]
    return ", ".join(words)


def shots_name(shots: int) -> str:
    """Return how many references there are, in words."""
    return "zero-shot" if shots == 0 else f"{shots}-shot"


def escaped(text: object) -> str:
    """Return a text that Markdown shows as it is, on one line, in a cell of a table."""
    return "".join(f"\\{c}" if c in "\\|`*_<>[]#" else c for c in printable(text))


def what_is_missing(document: BenchDocument) -> Iterator[str]:
    """Yield, in plain words, what was not measured, and what may mislead."""
    for skipped in document.skipped:
        who = skipped.detector or skipped.category
        yield f"{who}, {shots_name(skipped.shots)}: not measured, {skipped.reason}"
    yield from problem_lines(document.dataset.problems)
    for cell in document.cells:
        if cell.failed:
            yield (
                f"{cell.detector} on {cell.category}: not scored, images: "
                f"{cell.failed}; see {cell.run}/scores.csv"
            )
        if cell.parts is not None and cell.parts.left_out:
            yield (
                f"{cell.detector} on {cell.category}: parts that are not whole, left out: "
                f"{count(len(cell.parts.left_out), 'part')}, such as {cell.parts.left_out[0]}"
            )
        if cell.pixels is not None and cell.pixels.without_mask:
            yield (
                f"{cell.category}: {cell.pixels.without_mask} anomalous images without "
                "a mask are not in the pixel metrics"
            )


def problem_lines(problems: Sequence[DatasetFault | Problem], most: int = 20) -> Iterator[str]:
    """Name what may mislead: without it the tables would look sounder than they are."""
    doubtful = [problem for problem in problems if problem.severity != "note"]
    for problem in doubtful[:most]:
        yield f"{problem.severity}: {problem.path}: {problem.what}"
    if len(doubtful) > most:
        yield f"and {len(doubtful) - most} more problems, see vlmad data"


def not_measured(skipped: Iterable[SkippedEntry]) -> Iterator[str]:
    """Yield what was or will not be measured, each reason once."""
    pairs = (
        (str(each.detector or each.category), f"{shots_name(each.shots)}: {each.reason}")
        for each in skipped
    )
    for reason, names in grouped(pairs).items():
        yield f"not measured, {names}, {reason}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "pass", "passes"), count(2400, "cell")
    ('1 pass', '2,400 cells')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def some_of(names: Iterable[str], most: int = 5, between: str = ", ") -> str:
    """Return the first few of many names.

    >>> some_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return whom each remark is about, of many the first ones, from names and remarks.

    >>> grouped([("a", "too large"), ("b", "too small"), ("c", "too large")])
    {'too large': 'a; c', 'too small': 'b'}
    """
    found: dict[str, list[str]] = {}
    for name, remark in pairs:
        found.setdefault(remark, []).append(name)
    return {remark: some_of(names, between="; ") for remark, names in found.items()}
