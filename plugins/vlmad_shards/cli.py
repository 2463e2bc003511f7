"""The command ``vlmad merge``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from vlmad.console import console, messages
from vlmad_run.cli import FAILED, Overlays


def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="Those of all shards, in any order.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write.")],
    overlays: Annotated[
        Overlays | None, typer.Option(help="Which pictures to draw; by default as for the shards.")
    ] = None,
    steady: Annotated[
        str, typer.Option(metavar="PART", help="Of films: how verdicts are steadied over time.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Join the shards of `vlmad run --shard` into one run.

    The folder is that of a run over all images. Maps are linked, or copied to another disk; the
    shards may be deleted afterwards. A merge that was stopped goes on when it is given again.

    Exit status: 0 all done, 1 some images could not be scored, 2 nothing could be done.

    Examples: vlmad merge shards/* --out whole
    """
    from vlmad_run.outcome import print_table, print_warnings
    from vlmad_run.progress import bars, interruptible, print_notes
    from vlmad_run.supplements import supplements_of
    from vlmad_shards._merging import merge_shards
    from vlmad_shards._scored_shards import read_shards

    shards, errors = read_shards(folders), messages(quiet)
    print_notes(shards.remarks, errors)
    with bars(errors) as progress, interruptible(out):
        folder = merge_shards(shards, out, overlays, progress)
    images = [folder.file_of(row) for row in folder.all_rows()]
    if not quiet:
        print_table(folder, images, console())
    asked = {"steady": steady, "overlays": overlays.value if overlays else ""}
    for line in itertools.chain.from_iterable(
        make(folder) for make in supplements_of(images, asked)
    ):
        if not quiet:
            console().print(line)
    print_warnings(folder, images)
    if folder.result.failed:
        raise typer.Exit(FAILED)
