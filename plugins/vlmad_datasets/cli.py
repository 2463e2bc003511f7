"""The command `vlmad data`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vlmad.assembly import parse_settings
from vlmad_datasets.description import Summary, as_json, percent, readable, summarise
from vlmad_datasets.opening import open_dataset
from vlmad_datasets.survey import survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Problem
    from vlmad_datasets.opening import OpenDataset
    from vlmad_datasets.survey import Survey

PROBLEMS_SHOWN = 40
MARKS = {"fatal": "[bold red]fatal[/]", "warning": "[yellow]warning[/]", "note": "[dim]note[/]"}


def data(
    path: Annotated[Path, typer.Argument(help="The folder of a data set, or a table.")],
    dataset: Annotated[
        str | None, typer.Option(help="The reader; by default the one that recognises PATH.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="dataset.OPTION=VALUE", help="An option of the reader."),
    ] = None,
    to_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every problem.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet (PNG) of images and masks.")
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Decode every image: finds damage in their midst.")
    ] = False,
) -> None:
    """Describe a data set, and check its files before anything runs on them.

    Exit status: 0 all is well, 1 there are problems, 2 it cannot be evaluated.

    Examples:
    vlmad data mvtec/

    vlmad data mvtec/ --category bottle --sheet bottle.png

    vlmad data parts/ --dataset folder --set dataset.bad=scrap

    vlmad data parts.csv --json
    """
    options = parse_settings(settings or [], kinds=("dataset",)).get("dataset", {})
    opened = open_dataset(path, dataset, options)
    opened.select(category)  # a misspelt category is refused before the work begins
    found = _survey(opened, category, thorough)
    summaries = summarise(opened, found)
    if to_json:
        _print_json(opened, summaries, found)
    else:
        _print_tables(opened, summaries, found)
    if sheet is not None and found.measured:
        _write_sheet(sheet, found, quiet=to_json)
    found.refuse()
    if found.of("warning"):
        raise typer.Exit(1)


def _survey(opened: OpenDataset, categories: list[str] | None, thorough: bool) -> Survey:
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # rich would leave an empty line in a log
    )
    with bar:
        task = bar.add_task("reading", total=None)
        return survey(
            opened,
            categories,
            thorough=thorough,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _print_json(opened: OpenDataset, summaries: Sequence[Summary], found: Survey) -> None:
    typer.echo(json.dumps(as_json(opened, summaries, found.problems), indent=2))


def _print_tables(opened: OpenDataset, summaries: Sequence[Summary], found: Survey) -> None:
    console = Console(highlight=False)
    total = len(found.measured)
    console.print(f"{readable(opened.root)}: {opened.name}, {total} images\n", markup=False)
    if summaries:
        console.print(_counts(summaries))
    if any(summary.defects for summary in summaries):
        console.print()
        console.print(_defects(summaries))
    _print_problems(console, opened.root, found.problems)


def _counts(summaries: Sequence[Summary]) -> Table:
    splits = ["train", "validation", "normal", "anomalous", "masks"]
    if not any(summary.validation for summary in summaries):
        splits.remove("validation")
    table = Table(box=None, header_style="bold")
    table.add_column("category", overflow="fold")
    for name in splits:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("width x height", no_wrap=True)
    table.add_column("defective", justify="right", no_wrap=True)
    for summary in summaries:
        counts = (str(getattr(summary, name)) for name in splits)
        size, share = _sizes(summary.sizes), percent(summary.defective_pixels)
        table.add_row(escape(readable(summary.category)), *counts, size, share)
    if len(summaries) > 1:
        sums = (sum(getattr(summary, name) for summary in summaries) for name in splits)
        table.add_row("[bold]all[/]", *map(str, sums))
    return table


def _defects(summaries: Sequence[Summary]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("category", overflow="fold")
    table.add_column("defect", overflow="fold")
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("covers of an image", no_wrap=True)
    for summary in summaries:
        for index, (name, defect) in enumerate(summary.defects.items()):
            category = "" if index else readable(summary.category)
            spread = "-"
            if defect.smallest is not None:
                spread = f"{percent(defect.smallest)} to {percent(defect.largest)}"
            table.add_row(escape(category), escape(readable(name)), str(defect.images), spread)
    return table


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    width, height = sizes[0]
    more = f" +{len(sizes) - 1} more" if len(sizes) > 1 else ""
    return f"{width} x {height}{more}"


def _print_problems(console: Console, root: Path, problems: Sequence[Problem]) -> None:
    if not problems:
        console.print("\nno problems", markup=False)
        return
    console.print()
    for problem in problems[:PROBLEMS_SHOWN]:
        path = problem.path
        place = path.relative_to(root) if path != root and path.is_relative_to(root) else path
        line = escape(f"{readable(place)}: {readable(problem.what)}")
        console.print(f"{MARKS[problem.severity]} {line}", soft_wrap=True)
    if len(problems) > PROBLEMS_SHOWN:
        console.print(f"… and {len(problems) - PROBLEMS_SHOWN} more; --json lists all")


def _write_sheet(path: Path, found: Survey, quiet: bool) -> None:
    from vlmad.files import write_atomically
    from vlmad_datasets._contact_sheet import CATEGORIES_SHOWN, draw_sheet
    from vlmad_run.overlays import png

    samples = [measured.sample for measured in found.measured]
    write_atomically(path, png(draw_sheet(samples)))
    if not quiet:
        count = len({sample.category for sample in samples})
        left_out = f" (the first {CATEGORIES_SHOWN} of {count} categories)"
        line = f"\ncontact sheet: {path}{left_out if count > CATEGORIES_SHOWN else ''}"
        Console(highlight=False).print(line, markup=False, soft_wrap=True)
