"""The command `vlmad data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from vlmad.console import console, messages, write_json
from vlmad.files import write_atomically
from vlmad_datasets._data_tables import print_description
from vlmad_datasets.description import describe_dataset
from vlmad_datasets.survey import survey
from vlmad_run.choosing import parse_settings
from vlmad_run.opening import open_dataset

if TYPE_CHECKING:
    from vlmad_datasets.survey import Survey
    from vlmad_run.opening import OpenDataset


def data(
    path: Annotated[Path, typer.Argument(help="The folder of a data set, or a table.")],
    dataset: Annotated[
        str | None, typer.Option(help="The reader; by default the one that recognises the data.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="dataset.OPTION=VALUE", help="An option of the reader."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet (PNG) of images and masks.")
    ] = None,
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
    found = _survey(opened, category)
    description = describe_dataset(opened, found)
    if as_json:
        write_json(description.to_json())
    else:
        print_description(console(), description, len(found.measured))
    if sheet is not None and found.measured:
        _write_sheet(sheet, found)
    found.refuse()
    if found.of("warning"):
        raise typer.Exit(1)


def _survey(opened: OpenDataset, categories: list[str] | None) -> Survey:
    terminal = messages()
    quiet = not terminal.is_terminal  # rich would leave an empty line in a log
    with Progress(console=terminal, transient=True, disable=quiet) as bar:
        task = bar.add_task("reading", total=None)
        return survey(
            opened,
            categories,
            lambda done, total: bar.update(task, completed=done, total=total),
            decoding=True,
        )


def _write_sheet(path: Path, found: Survey) -> None:
    from vlmad_datasets._contact_sheet import contact_sheet

    write_atomically(path, contact_sheet(found.measured))
    messages().print(f"contact sheet: {path}")
