"""One table of all combinations: what they are made of, what they reach, and against whom."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation._bench_page import remarks
from vlmad_evaluation._detector_pairs import COMPARED
from vlmad_evaluation.notation import TITLES, escaped, markdown_table, metric_text, shots_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vlmad_evaluation.result_documents import GridDocument, PairEntry, SeedMetric

SIGNIFICANT = 0.05
BETTER, WORSE = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"
AVERAGE = "average"
CHANCE = (
    "The more combinations are tried, the more the best of them owes to chance: confirm it on "
    "images that were not in here."
)


@dataclass(frozen=True, slots=True)
class GridFigure:
    """A metric of a combination, beside those of the others."""

    metric: SeedMetric
    pair: PairEntry | None
    """The difference to the baseline; None for the baseline itself."""
    best: bool

    @property
    def mark(self) -> str:
        """An arrow if it differs significantly from the baseline."""
        pair = self.pair
        if pair is None or pair.difference is None or pair.p_value_max_t is None:
            return ""
        if pair.p_value_max_t >= SIGNIFICANT:
            return ""
        return BETTER if pair.difference > 0 else WORSE


@dataclass(frozen=True, slots=True)
class GridRow:
    """A combination with some references on a category, or on average."""

    combination: str
    varied: Mapping[str, str]
    shots: int
    category: str
    figures: Mapping[str, GridFigure]


def grid_rows(document: GridDocument) -> Iterator[GridRow]:
    """Yield all rows: for each number of references the averages, then category by category."""
    pairs = {(p.metric, p.shots, p.category, p.detector): p for p in document.comparisons}
    for shots in document.settings.shots:
        for category in (None, *document.dataset.categories):
            entries: dict[str, Mapping[str, SeedMetric]] = {
                e.detector: e.metrics for e in document.averages if e.shots == shots
            }
            if category is not None:
                entries = {
                    e.detector: e.metrics
                    for e in document.categories
                    if (e.shots, e.category) == (shots, category)
                }
            best = {name: _best(m[name].value for m in entries.values()) for name in COMPARED}
            for combination, metrics in entries.items():
                figures = {
                    name: GridFigure(
                        metrics[name],
                        pairs.get((name, shots, category, combination)),
                        metrics[name].value is not None and metrics[name].value == best[name],
                    )
                    for name in COMPARED
                }
                varied = document.grid.combinations[combination]
                yield GridRow(combination, varied, shots, category or AVERAGE, figures)


def _best(values: Iterable[float | None]) -> float | None:
    return max((number for number in values if number is not None), default=None)


def main_category(document: GridDocument) -> str:
    """Return what the table of everything shows: the average, or the only category."""
    first, *others = document.dataset.categories
    return AVERAGE if others else first


def grid_csv(document: GridDocument) -> str:
    """Return the table with every figure, its interval, and its difference to the baseline."""
    ends = ("", "_low", "_high", "_difference", "_p_value_max_t", "_best")
    axes = _axes(document)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [f"{name}{end}" for name in COMPARED for end in ends]
    writer.writerow(["category", "shots", "combination", *axes, *columns])
    for row in grid_rows(document):
        figures: list[float | None] = []
        for figure in row.figures.values():
            metric, pair = figure.metric, figure.pair
            figures += [metric.value, metric.low, metric.high]
            difference = None if pair is None else pair.difference
            p_value = None if pair is None else pair.p_value_max_t
            figures += [difference, p_value, int(figure.best)]
        varied = (row.varied.get(axis, "") for axis in axes)
        writer.writerow([row.category, row.shots, row.combination, *varied, *figures])
    return buffer.getvalue()


def grid_markdown(document: GridDocument) -> str:
    """Return the grid as a page of Markdown: one table of everything, then each category."""
    found, whole = list(grid_rows(document)), main_category(document)
    sections = [f"# {count(len(document.detectors), 'combination')}, {escaped(whole)}"]
    if not document.finished:
        sections.append("**Unfinished**: the same command goes on.")
    sections.append(_table(document, [row for row in found if row.category == whole]))
    sections += [*explained(document, escaped), CHANCE]
    for shots in document.settings.shots:
        for category in document.dataset.categories:
            some = [row for row in found if (row.category, row.shots) == (category, shots)]
            if category != whole and some:
                sections += [f"## {escaped(category)}, {shots_name(shots)}", _table(document, some)]
    illegal = grouped(document.grid.illegal.items()).items()
    same = [f"{name} is {other}" for name, other in document.grid.same.items()]
    for title, lines in (
        ("Combinations that cannot be", [f"{some_of(names)}: {why}" for why, names in illegal]),
        ("Combinations that are another one", [some_of(same)] if same else []),
    ):
        if lines:
            sections += [f"## {title}", "\n".join(f"- {escaped(line)}" for line in lines)]
    return "\n\n".join([*sections, *remarks(document)]) + "\n"


def _axes(document: GridDocument) -> list[str]:
    """Return what tells combinations apart."""
    varied = (axis for values in document.grid.combinations.values() for axis in values)
    return list(dict.fromkeys(varied))


def _table(document: GridDocument, rows: Sequence[GridRow]) -> str:
    axes, several = _axes(document), len({row.shots for row in rows}) > 1
    lines = []
    for row in rows:
        words = [row.varied.get(axis, "") for axis in axes] or [row.combination]
        words += [shots_name(row.shots)] if several else []
        lines.append([*map(escaped, words), *(_cell(row.figures[name]) for name in COMPARED)])
    header = [*(axes or ["combination"]), *(["references"] if several else [])]
    return markdown_table([*header, *(TITLES[name] for name in COMPARED)], lines)


def _cell(figure: GridFigure) -> str:
    number, gap, rest = metric_text(figure.metric).partition(" ")
    return (f"**{number}**" if figure.best else number) + figure.mark + gap + rest


def explained(document: GridDocument, shown: Callable[[str], str]) -> Iterator[str]:
    """Yield what the figures of a table are, and what their marks mean.

    Args:
        document: the grid's.
        shown: makes a name fit to be shown.
    """
    settings, categories = document.settings, len(document.dataset.categories)
    average = f"Averages are macro averages over {categories} categories. "
    words = (average if categories > 1 else "") + (
        f"In brackets the {settings.confidence:.0%} interval over images (BCa, "
        f"{settings.replicates:,} resampled sets)"
    )
    if any(settings.shots) and settings.seeds > 1:
        words += (
            f"; with references the value is the mean of {settings.seeds} draws of them, the "
            "interval is that of this mean, and after ± stands the standard deviation over draws"
        )
    yield f"{words}. Pixel metrics at {settings.resolution} resolution."
    among = " among those with as many references" if len(settings.shots) > 1 else ""
    yield (
        f"Bold: the best of its column{among}. {BETTER} {WORSE}: better or worse than the "
        f"baseline, {shown(document.baseline)}, on the same images (two-sided p below "
        f"{SIGNIFICANT} by the bootstrap, corrected by max-T over all comparisons of the metric; "
        "averages and categories apart)."
    )


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "pass", "passes"), count(2400, "cell")
    ('1 pass', '2,400 cells')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def some_of(names: Sequence[str], most: int = 12) -> str:
    """Name the first ones, or the first of many and how many there are.

    >>> some_of(["a", "b"]), some_of(["a", "b", "c", "d"], 2)
    ('a; b', '4 combinations: a; b; and 2 more')
    """
    if len(names) <= most:
        return "; ".join(names)
    first = "; ".join(names[:most])
    return f"{len(names):,} combinations: {first}; and {len(names) - most:,} more"


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return whom each remark is about, from pairs of a name and a remark.

    >>> grouped([("a", "too large"), ("b", "too small"), ("c", "too large")])
    {'too large': ['a', 'c'], 'too small': ['b']}
    """
    found: dict[str, list[str]] = {}
    for name, remark in pairs:
        found.setdefault(remark, []).append(name)
    return found
