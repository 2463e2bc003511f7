"""The command ``vlmad run``."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmad.detector import Detector
    from vlmad.runs import Progress, Row

RUNS = Path("vlmad-runs")
ROWS_SHOWN = 40
PART = "A part, as NAME or NAME:ARGUMENT, in place of the recipe's."


def run(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders or glob patterns.")
    ],
    detector: Annotated[
        str | None, typer.Option(help="A recipe; winclip by default, vlmad plugins lists them.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help=PART)] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", "--prompts", help=PART)] = None,
    extractor: Annotated[str | None, typer.Option(help=PART)] = None,
    attention: Annotated[str | None, typer.Option(help=PART)] = None,
    scorer: Annotated[str | None, typer.Option(help=PART)] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe file (TOML).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KIND.OPTION=VALUE", help="An option of a part; repeatable."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A checkpoint for the backbone.")] = None,
    class_name: Annotated[str, typer.Option(help="What the images show.")] = "object",
    references: Annotated[Path | None, typer.Option(help="A folder of normal images.")] = None,
    shots: Annotated[
        int | None, typer.Option(help="How many of them to draw; 4 by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which of them to draw.")] = 0,
    resize: Annotated[str, typer.Option(help="squash to the model's square, or pad.")] = "squash",
    out: Annotated[
        Path | None, typer.Option(help=f"The folder to write; a new one in {RUNS}/ by default.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images encoded together.")] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Score photographs and draw a heat map beside each.

    Exit status: 0 all done, 1 some images could not be read, 2 nothing could be done.

    Examples:
    vlmad run photos/

    vlmad run photos/ --class-name "metal nut" --references good/ --shots 4

    vlmad run photos/ --prompt learned --extractor window

    vlmad run photos/ --backbone openclip:ViT-B-16-plus-240/laion400m_e31
    """
    from vlmad.finding import find_images

    if shots is not None and references is None:
        raise InputError("--shots needs --references DIR to draw from")
    images = find_images(paths)
    from vlmad.assembly import parse_settings
    from vlmad.detector import load_detector
    from vlmad.runs import execute, new_folder, remove_if_empty

    assembled = load_detector(
        detector,
        backbone=backbone,
        prompts=prompt,
        extractor=extractor,
        attention=attention,
        scorer=scorer,
        recipe=recipe,
        options=parse_settings(settings or []),
        weights=weights,
        resize=resize,
    )
    say = Console(stderr=True, quiet=quiet, highlight=False)
    for note in assembled.assembly.notes:
        say.print(f"note: {note}", markup=False, soft_wrap=True)
    used = _fit(assembled, references, shots, seed, images, say)
    folder = out or new_folder(RUNS, assembled.assembly.recipe.name)
    asked = {"command": sys.argv[1:], "shots": len(used), "seed": seed}
    try:
        with _progress(say) as progress:
            rows = execute(
                assembled,
                images,
                folder,
                class_name=class_name,
                batch_size=batch_size,
                references=used,
                settings=asked,
                progress=progress,
            )
    except KeyboardInterrupt:
        say.print(f"interrupted; what is done is in {folder}", markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    finally:
        if out is None:
            remove_if_empty(folder)
    _report(rows, folder, quiet)


def print_version(wanted: bool) -> None:
    """Print the version and stop, if asked to."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vlmad {version('vlmad')}")
        raise typer.Exit


def _fit(
    detector: Detector,
    folder: Path | None,
    shots: int | None,
    seed: int,
    images: Sequence[Path],
    say: Console,
) -> list[Path]:
    """Fit on references drawn from a folder, and return them."""
    if folder is None:
        return []
    from vlmad.references import DEFAULT_SHOTS, choose_references

    chosen = choose_references(folder, DEFAULT_SHOTS if shots is None else shots, seed)
    tested = {path.resolve() for path in images}
    for path in chosen:
        if path.resolve() in tested:
            say.print(f"warning: reference {path} is also under test", markup=False, soft_wrap=True)
    detector.fit(chosen)
    return chosen


@contextmanager
def _progress(say: Console) -> Iterator[Progress]:
    """Show what is being done, how far it is, and the time that remains."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    bars = Progress(*columns, TimeRemainingColumn(), console=say, transient=True)
    tasks: dict[str, Any] = {}
    with bars:
        tasks["loading"] = bars.add_task("loading", total=None)

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                bars.update(tasks["loading"], visible=False)
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield told


def _report(rows: Sequence[Row], folder: Path, quiet: bool) -> None:
    """Print the table, the most anomalous first, and exit with 1 if an image failed."""
    done = sorted((r for r in rows if r.score is not None), key=lambda r: -(r.score or 0))
    failed = [row for row in rows if row.status == "failed"]
    if not quiet:
        console = Console(highlight=False)
        console.print(_table(done[:ROWS_SHOWN]))
        if len(done) > ROWS_SHOWN:
            console.print(f"… and {len(done) - ROWS_SHOWN} more with lower scores")
        images = "image" if len(done) == 1 else "images"
        console.print(f"\n{len(done)} {images} scored; higher is more anomalous")
        for what, name in (("all scores", "scores.csv"), ("heat maps", "overlays/")):
            console.print(f"{what}: {folder}/{name}", soft_wrap=True, markup=False)
    for row in failed:
        print(f"vlmad: not scored: {row.reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _shared_folder(images: Sequence[str]) -> str:
    folders = [os.path.dirname(image) for image in images]
    if len({os.path.isabs(folder) for folder in folders}) != 1:
        return ""  # no images, or some named from the root and some from here
    return os.path.commonpath(folders)


def _table(rows: Sequence[Row]) -> Table:
    """Return scores beside images, named from the folder that they share."""
    shared = _shared_folder([row.image for row in rows])
    title = f"image in {shared}" if shared else "image"
    table = Table("score", box=None, header_style="bold")
    table.add_column(title, overflow="fold")
    table.add_column("heat map in overlays/", overflow="fold")
    for row in rows:
        name = os.path.relpath(row.image, shared) if shared else row.image
        table.add_row(f"{row.score:.3f}", escape(name), escape(Path(row.overlay).name))
    return table
