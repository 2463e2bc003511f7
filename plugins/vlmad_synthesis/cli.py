"""The command `vlmad synthesise`."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import console, messages
from vlmad.errors import printable
from vlmad.files import write_atomically
from vlmad_run.choosing import completing, parse_settings
from vlmad_run.places import RUNS, new_folder
from vlmad_run.progress import bars
from vlmad_synthesis.good_images import find_good
from vlmad_synthesis.synthetic import choose_defects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_synthesis.synthetic import Defect

SHEET = "preview.png"


def synthesise(
    data: Annotated[Path, typer.Argument(help="A data set, or a folder of good images.")],
    kinds: Annotated[
        str | None,
        typer.Option(
            help="Kinds of defect, with commas between; by default all that are installed.",
            autocompletion=completing("defect"),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder to write; by default a new one in vlmad-runs/."
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help=f"Write only a sheet of examples, {SHEET}.")
    ] = False,
    each: Annotated[int, typer.Option(min=1, help="Pictures of each kind and category.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed draws others.")] = 0,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="defect.OPTION=VALUE",
            help="An option, for those of the kinds that have it.",
        ),
    ] = None,
) -> None:
    """Draw defects in good images: a data set of pictures and masks, or a sheet to look at.

    The data set has MVTec AD's layout: of the good images one half to refer to, and from the
    other half as many good pictures as defective ones. Masks are exact.

    Examples:
    vlmad synthesise photos/good --preview

    vlmad synthesise mvtec/ --category bottle --kinds scratch,stain --out drawn/

    vlmad synthesise photos/good --kinds cutpaste --set defect.area=0.01,0.05
    """
    options = parse_settings(settings or [], kinds=("defect",)).get("defect", {})
    names = None if kinds is None else [word.strip() for word in kinds.split(",")]
    defects = choose_defects(names, options)
    good = find_good(data, category)
    with ExitStack() as stack:
        folder = out or stack.enter_context(new_folder(RUNS, "synthesise"))
        if preview:
            turns = zip_longest(*good.values())
            images = [path for turn in turns for path in turn if path is not None]
            _write_sheet(folder / SHEET, images, defects, seed)
        else:
            _write_folder(folder, good, defects, options, each, seed)


def _write_sheet(
    path: Path, images: Sequence[Path], defects: Mapping[str, Defect], seed: int
) -> None:
    from vlmad_synthesis._preview_sheet import preview

    write_atomically(path, preview(images, defects, seed))
    console().print(f"sheet: {printable(path)}", soft_wrap=True)


def _write_folder(
    folder: Path,
    good: Mapping[str, Sequence[Path]],
    defects: Mapping[str, Defect],
    options: Mapping[str, str],
    each: int,
    seed: int,
) -> None:
    from vlmad_synthesis._synthetic_folder import plan, write_pictures

    referred, planned = plan(good, list(defects), each, seed)
    with bars(messages()) as bar:
        task = bar.add_task("drawing", total=len(referred) + len(planned))
        for done in write_pictures(folder, referred, planned, defects, options, seed):
            bar.update(task, completed=done)
    wrong = sum(picture.kind in defects for picture in planned)
    counts = (
        f"{wrong} defective and {len(planned) - wrong} good pictures, {len(referred)} references"
    )
    console().print(f"{counts}: {printable(folder)}", soft_wrap=True)
