"""A data set's description as a table for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from vlmad_datasets.description import (
        CategoryDescription,
        DatasetDescription,
        ProblemDescription,
    )

PROBLEMS_SHOWN = 40
STYLES = {"fatal": "bold red", "warning": "yellow", "note": "dim"}


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
    for problem in found.problems[:PROBLEMS_SHOWN]:
        console.print(problem.severity, style=STYLES[problem.severity], end=" ")
        console.print(_line(problem, Path(found.root)))
    if len(found.problems) > PROBLEMS_SHOWN:
        console.print(f"… and {len(found.problems) - PROBLEMS_SHOWN} more; --json lists all")


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
    return f"{place}: {problem.what}"


def percent(share: float) -> str:
    """Return a share in percent, with as many digits as small ones need.

    >>> percent(0.0123), percent(0.00042)
    ('1.2 %', '0.042 %')
    """
    return f"{100 * share:.2g} %"
