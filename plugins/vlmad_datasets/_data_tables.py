"""A data set's description as a table for people."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from vlmad_datasets.masks import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import Console

    from vlmad_datasets.description import (
        CategoryDescription,
        DatasetDescription,
        ProblemDescription,
    )

LINES_SHOWN, ALIKE_SHOWN = 40, 3
STYLES: dict[str, str] = {"fatal": "bold red", "warning": "yellow", "note": "dim"}


def print_description(console: Console, found: DatasetDescription, images: int) -> None:
    """Print what a data set holds and what is wrong with it.

    Args:
        console: where.
        found: the data set's description.
        images: how many of its images could be read.
    """
    console.print(f"{found.root}: {found.dataset}, {images} images", "", sep="\n")
    if found.categories:
        console.print(_counts(found.categories))
    console.print()
    if not found.problems:
        console.print("no problems")
    lines = list(_lines(found.problems, Path(found.root)))
    for severity, line in lines[:LINES_SHOWN]:
        console.print(severity, style=STYLES[severity], end=" ")
        console.print(line)
    if len(lines) > LINES_SHOWN or len(lines) < len(found.problems):
        console.print(f"{len(found.problems)} problems in all; --json lists them")


def _lines(problems: Iterable[ProblemDescription], root: Path) -> Iterator[tuple[str, str]]:
    """Yield severity and text of each problem, but of those alike only the first few.

    Alike are those that differ in numbers.
    """
    alike: dict[tuple[str, str], list[ProblemDescription]] = defaultdict(list)
    for problem in problems:
        alike[problem.severity, re.sub(r"\d+", "0", problem.what)].append(problem)
    for (severity, _), found in alike.items():
        yield from ((severity, _line(problem, root)) for problem in found[:ALIKE_SHOWN])
        if len(found) > ALIKE_SHOWN:
            yield severity, f"… and {len(found) - ALIKE_SHOWN} more like this"


def _counts(categories: Mapping[str, CategoryDescription]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("category", overflow="fold")
    for title in ("train", "validation", "normal", "anomalous", "masks"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("width x height", no_wrap=True)
    table.add_column("defective", justify="right", no_wrap=True)
    rows = [[c.train, c.validation, *c.test.model_dump().values()] for c in categories.values()]
    for (name, category), counts in zip(categories.items(), rows, strict=True):
        (width, height), *others = category.image_sizes
        sizes = f"{width} x {height}" + (f" +{len(others)} more" if others else "")
        share = "-" if category.defective_pixels is None else percent(category.defective_pixels)
        table.add_row(name, *map(str, counts), sizes, share)
    sums = [sum(column) for column in zip(*rows, strict=True)]
    if len(categories) > 1:
        table.add_row("all", *map(str, sums), style="bold")
    if not sums[1]:
        del table.columns[2]
    return table


def _line(problem: ProblemDescription, root: Path) -> str:
    path = Path(problem.path)
    place = path.relative_to(root) if path != root and path.is_relative_to(root) else path
    return f"{place}: {problem.what.replace(f'{root}/', '')}"
