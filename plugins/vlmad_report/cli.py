"""The command ``vlmad report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmad.console import console, say
from vlmad_datasets.object_groups import MVTEC_AD, read_groups


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="What vlmad bench or vlmad grid wrote.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write; by default FOLDER/report.html."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set is now, if it has moved.")
    ] = None,
    title: Annotated[str, typer.Option(help="The title, instead of one made of names.")] = "",
    groups: Annotated[
        Path | None,
        typer.Option(
            "--object-groups",
            metavar="FILE",
            help="Which categories go together, instead of the ones of MVTec AD.",
        ),
    ] = None,
    failures: Annotated[
        int,
        typer.Option(
            min=0, max=200, help="False alarms and misses shown, of each; 0 for no photographs."
        ),
    ] = 4,
) -> None:
    """Show what a bench or a grid gave: one page with tables, figures and failures.

    Writes a single HTML file that loads nothing from anywhere.

    Exit status: 0 all done, 1 a part of the report could not be made, 2 nothing could be done.

    Examples:
    vlmad report vlmad-runs/2026-05-01-120000-bench

    vlmad report benches/one --out one.html --title "Before the new camera"

    vlmad report benches/one --data /where/the/photographs/are/now
    """
    from vlmad_report._report_page import write_report

    path = out or folder / "report.html"
    found = read_groups(groups or MVTEC_AD)
    faults = write_report(folder, path, data, found, title, failures)
    console().print(str(path))
    for fault in faults:
        say(f"not in the report: {fault}")
    if faults:
        raise typer.Exit(1)
