"""The command ``vlmad fit``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vlmad.errors import InputError, OutputError
from vlmad_run.choosing import Choice, choosing
from vlmad_run.progress import progress_bars, speaking, tell_choice


@choosing
def fit(
    choice: Choice,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="DIR…", help="Normal images: short for --references."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("fitted.safetensors"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Store a detector with what it remembers of normal images, for `vlmad run --fitted`.

    Without --shots all images are taken. The file holds no weights of the
    backbone, but their hash.

    Examples:
    vlmad fit good/ --class-name "metal nut" --out nut.safetensors

    vlmad run photos/ --fitted nut.safetensors
    """
    from vlmad_run.finding import find_images
    from vlmad_run.fitted import save_fitted

    if choice.fitted is not None:
        raise InputError("a fitted detector cannot be fitted again: leave out --fitted")
    if paths and choice.references not in (None, paths):
        raise InputError("name the normal images once: as DIR or with --references")
    paths = paths or choice.references
    if not paths:
        raise InputError("no normal images: name their folder, vlmad fit good/")
    if out.exists() and not force:
        raise OutputError(f"{out} exists; choose another --out or add --force")
    shots = len(find_images(paths)) if choice.shots is None else choice.shots
    say = speaking(quiet)
    with progress_bars(say):
        assembled = replace(choice, references=paths, shots=shots).assemble()
    tell_choice(say, assembled)
    save_fitted(
        assembled.detector,
        out,
        assembled.class_name,
        assembled.references,
        {"command": sys.argv[1:], "seed": choice.seed},
    )
    say.print(
        f"fitted on {len(assembled.references)} images; use it with: vlmad run … --fitted {out}",
        markup=False,
        soft_wrap=True,
    )
