"""One table of all combinations: what they are made of, what they reach, and against whom."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad_evaluation._bench_document import Kind
from vlmad_evaluation._bench_remarks import WORDS, remarks
from vlmad_evaluation._detector_pairs import COMPARED
from vlmad_evaluation._grid_grouping import count, grouped, some_of
from vlmad_evaluation.notation import escaped, shots_name, table, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SIGNIFICANT = 0.05
BETTER, WORSE = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"
AVERAGE = "average"
LISTED = 12
"""Combinations that are named for a reason; grid.json names all."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of a combination, beside those of the others."""

    metric: Mapping[str, Any]
    comparison: Mapping[str, Any] | None
    """With the baseline; None for the baseline itself."""
    best: bool

    @property
    def mark(self) -> str:
        """An arrow if it differs significantly from the baseline."""
        if self.comparison is None or self.comparison["p_value_max_t"] is None:
            return ""
        if self.comparison["p_value_max_t"] >= SIGNIFICANT:
            return ""
        return BETTER if self.comparison["difference"] > 0 else WORSE


@dataclass(frozen=True, slots=True)
class Row:
    """A combination with some references on a category, or on average."""

    combination: str
    values: Mapping[str, str]
    shots: int
    category: str
    figures: Mapping[str, Figure]


def rows(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield all rows: for each number of references the averages, then category by category."""
    compared = {
        (c["metric"], c["shots"], c["category"], c["detector"]): c for c in document["comparisons"]
    }
    for shots in document["settings"]["shots"]:
        for category in (None, *document["dataset"]["categories"]):
            entries = [e for e in _entries(document, category) if e["shots"] == shots]
            best = {name: _best(entries, name) for name in COMPARED}
            for entry in entries:
                combination = entry["detector"]
                figures = {
                    name: Figure(
                        entry["metrics"][name],
                        compared.get((name, shots, category, combination)),
                        entry["metrics"][name]["value"] is not None
                        and entry["metrics"][name]["value"] == best[name],
                    )
                    for name in COMPARED
                }
                values = document["grid"]["combinations"][combination]
                yield Row(combination, values, shots, category or AVERAGE, figures)


def _entries(document: Mapping[str, Any], category: str | None) -> list[Mapping[str, Any]]:
    if category is None:
        return list(document["averages"])
    return [entry for entry in document["categories"] if entry["category"] == category]


def _best(entries: Sequence[Mapping[str, Any]], name: str) -> float | None:
    found = (entry["metrics"][name]["value"] for entry in entries)
    return max((number for number in found if number is not None), default=None)


def axes_of(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that tell combinations apart."""
    names = (name for values in document["grid"]["combinations"].values() for name in values)
    return list(dict.fromkeys(names))


def to_csv(document: Mapping[str, Any]) -> str:
    """Return the table with every figure, its interval, and its difference to the baseline."""
    axes = axes_of(document)
    columns = ["category", "shots", "combination", *axes]
    for name in COMPARED:
        ends = ("low", "high", "difference", "p_value_max_t", "best")
        columns += [name, *(f"{name}_{end}" for end in ends)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows(document):
        line: dict[str, Any] = {
            "category": row.category,
            "shots": row.shots,
            "combination": row.combination,
            **row.values,
        }
        for name, figure in row.figures.items():
            comparison = figure.comparison or {}
            line[name] = figure.metric["value"]
            line |= {f"{name}_{end}": figure.metric[end] for end in ("low", "high")}
            line |= {f"{name}_{k}": comparison.get(k) for k in ("difference", "p_value_max_t")}
            line[f"{name}_best"] = int(figure.best)
        writer.writerow(line)
    return buffer.getvalue()


def to_markdown(document: Mapping[str, Any]) -> str:
    """Return the grid as a page of Markdown: one table of everything, then each category."""
    found, whole = list(rows(document)), main_category(document)
    combinations = count(len(document["detectors"]), "combination")
    sections = [f"# {combinations}, {escaped(whole)}", *_unfinished(document)]
    sections += [_table(document, [row for row in found if row.category == whole])]
    sections += [*explained(document, escaped), CHANCE]
    for shots in document["settings"]["shots"]:
        for category in document["dataset"]["categories"]:
            some = [row for row in found if (row.category, row.shots) == (category, shots)]
            if category != whole and some:
                title = f"## {escaped(category)}, {shots_name(shots)}"
                sections += [title, _table(document, some)]
    sections += _left_out(document)
    return "\n\n".join([*sections, *remarks(document)]) + "\n"


def main_category(document: Mapping[str, Any]) -> str:
    """Return what the table of everything shows: the average, or the only category."""
    categories = list(document["dataset"]["categories"])
    return str(categories[0]) if len(categories) == 1 else AVERAGE


def has_references(document: Mapping[str, Any]) -> bool:
    """Tell whether rows differ in their number of references."""
    return len(document["settings"]["shots"]) > 1


def _table(document: Mapping[str, Any], some: Sequence[Row]) -> str:
    axes = axes_of(document)
    several = has_references(document) and len({row.shots for row in some}) > 1
    header = [*(axes or ["combination"]), *(["references"] if several else [])]
    lines = []
    for row in some:
        words = [row.values.get(axis, "") for axis in axes] or [row.combination]
        words += [shots_name(row.shots)] if several else []
        cells = (_cell(row.figures[name]) for name in COMPARED)
        lines.append([*map(escaped, words), *cells])
    return table([*header, *(WORDS[name] for name in COMPARED)], lines)


def _unfinished(document: Mapping[str, Any]) -> Iterator[str]:
    if not document["finished"]:
        yield "**Unfinished**: the same command goes on."


CHANCE = (
    "The more combinations are tried, the more the best of them owes to chance: confirm it on "
    "images that were not in here."
)


def explained(document: Mapping[str, Any], shown: Callable[[str], str]) -> Iterator[str]:
    """Yield what the figures of a table are, and what their marks mean.

    Args:
        document: the grid's.
        shown: makes a name fit to be shown.
    """
    settings = document["settings"]
    categories = document["dataset"]["categories"]
    words = "" if len(categories) == 1 else (
        f"Averages are macro averages over {count(len(categories), 'category', 'categories')}. "
    )
    words += (
        f"In brackets the {settings['confidence']:.0%} interval over images (BCa, "
        f"{settings['replicates']:,} resampled sets)"
    )
    if any(settings["shots"]) and settings["seeds"] > 1:
        words += (
            f"; with references the value is the mean of {settings['seeds']} draws of them, the "
            "interval is that of this mean, and after ± stands the standard deviation over draws"
        )
    yield f"{words}. Pixel metrics at {settings['resolution']} resolution."
    among = " among those with as many references" if has_references(document) else ""
    pairs = "metric, all numbers of references together" if among else "metric"
    yield (
        f"Bold: the best of its column{among}. {BETTER} {WORSE}: better or worse than the "
        f"baseline, {shown(document['baseline'])}, on the same images (two-sided p below "
        f"{SIGNIFICANT} by the bootstrap, corrected by max-T over all comparisons of the {pairs}; "
        "averages and categories apart)."
    )


def _cell(figure: Figure) -> str:
    text = value(figure.metric)
    number, _, rest = text.partition(" ")
    number = f"**{number}**" if figure.best else number
    return " ".join(filter(None, [number + figure.mark, rest]))


def _left_out(document: Mapping[str, Any]) -> Iterator[str]:
    grid = document["grid"]
    reasons = grouped(grid["illegal"].items())
    if reasons:
        yield "## Combinations that cannot be"
        yield "\n".join(f"- {escaped(why)}: {_who(names)}" for why, names in reasons.items())
    if grid["same"]:
        yield "## Combinations that are another one"
        same = [f"{name} is {other}" for name, other in grid["same"].items()]
        yield _who(same)


def _who(names: Sequence[str]) -> str:
    return f"{count(len(names), 'combination')}: {escaped(some_of(names, LISTED))}"


GRID = Kind(
    "grid",
    lambda document: {"grid.csv": to_csv(document), "grid.md": to_markdown(document)},
    tells=False,
)
