"""The command ``vlmad run``."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vlmad.cli.parts import Assembled, Choice, choosing
from vlmad.cli.progress import interruptible, progress_bars, speaking, tell_choice
from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.repeating import Earlier
    from vlmad.runs import Row, Summary
    from vlmad.thresholds import Threshold

RUNS = Path("vlmad-runs")
ANOMALOUS, FAILED = 3, 1
"""Exit statuses."""


class Overlays(StrEnum):
    """Which pictures a run draws."""

    all = "all"
    anomalous = "anomalous"
    none = "none"


class FailOn(StrEnum):
    """What makes a run end with a status of its own."""

    anomalous = "anomalous"


@choosing
def run(
    choice: Choice,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH…", help="Images, folders or glob patterns; - reads a list of them."
        ),
    ] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="A file that names images, one a line.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(help="From which score on an image is anomalous: a number or a file."),
    ] = None,
    fail_on: Annotated[
        FailOn | None, typer.Option(help=f"Exit with {ANOMALOUS} if an image is anomalous.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Repeat the run of a manifest.json and compare scores.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"The folder to write; a new one in {RUNS}/ by default.")
    ] = None,
    overlays: Annotated[Overlays, typer.Option(help="Which pictures to draw.")] = Overlays.all,
    batch_size: Annotated[int, typer.Option(min=1, help="Images encoded together.")] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each image, and no table.")
    ] = False,
) -> None:
    """Score photographs and draw a heat map beside each.

    A run that was stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 1 some images could not be read (or scores differ from those of
    the manifest), 2 nothing could be done, 3 anomalous images were found and --fail-on asks.

    Examples:
    vlmad run photos/

    vlmad run photos/ --class-name "metal nut" --references good/ --shots 4

    vlmad run photos/ --prompt learned --extractor window

    vlmad run photos/ --threshold 0.6 --fail-on anomalous

    vlmad run photos/ --backbone openclip:ViT-B-16-plus-240/laion400m_e31
    """
    from vlmad.repeating import read_earlier
    from vlmad.thresholds import read_threshold

    if fail_on is not None and threshold is None and manifest is None:
        raise InputError("--fail-on anomalous needs --threshold, a number or a file")
    limit = None if threshold is None else read_threshold(threshold)
    earlier = None if manifest is None else read_earlier(manifest)
    images = _images(paths, list_file, earlier)
    assembled = choice.assemble() if earlier is None else _repeated(earlier, choice)
    if earlier is not None and limit is None:
        limit = earlier.threshold
    say = speaking(quiet or as_json)
    tell_choice(say, assembled)
    _warn_of_tested_references(assembled, images, say)
    each = _print_line if as_json else _ignore
    summary, folder = _execute(
        assembled, images, limit, out, overlays.value, batch_size, choice, each, say
    )
    if not (quiet or as_json):
        _show(summary, folder, limit)
    _tell_failures(summary, folder)
    status = FAILED if summary.failed else 0
    if earlier is not None and not _agrees(earlier, folder):
        status = FAILED
    if fail_on is not None and summary.anomalous:
        status = ANOMALOUS
    if status:
        raise typer.Exit(status)


def print_version(wanted: bool) -> None:
    """Print the version and stop, if asked to."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vlmad {version('vlmad')}")
        raise typer.Exit


def _images(
    paths: Sequence[str] | None, list_file: Path | None, earlier: Earlier | None
) -> list[Path]:
    from vlmad.finding import STANDARD_INPUT, find_images, read_list

    named: list[str | Path] = []
    for path in paths or ():
        named += read_list(path) if path == STANDARD_INPUT else [path]
    if list_file is not None:
        named += read_list(list_file)
    if named:
        return find_images(named)
    if earlier is not None:
        return earlier.images
    raise InputError("no images: name files or folders, or a list of them with --list FILE")


def _repeated(earlier: Earlier, choice: Choice) -> Assembled:
    """Build the detector of an earlier run; only where its weights are may differ."""
    for field in fields(choice):
        allowed = field.name in ("weights", "settings", "precision")
        if not allowed and getattr(choice, field.name) != field.default:
            name = field.name.replace("_", "-")
            raise InputError(f"--manifest brings its own parts: leave out --{name}")
    detector, references = earlier.detector(choice.options())
    return Assembled(detector, earlier.class_name, references)


def _execute(
    assembled: Assembled,
    images: Sequence[Path],
    threshold: Threshold | None,
    out: Path | None,
    overlays: Any,
    batch_size: int,
    choice: Choice,
    each: Any,
    say: Console,
) -> tuple[Summary, Path]:
    from vlmad.manifest import describe_run
    from vlmad.runs import RunFolder, execute, new_folder, remove_if_empty, unfinished
    from vlmad.runs.folder import list_digest

    with progress_bars(say) as progress:
        settings = {
            "command": sys.argv[1:],
            "images": {"count": len(images), "digest": list_digest(map(str, images))},
            "fitted": None if choice.fitted is None else str(choice.fitted.absolute()),
            "shots": len(assembled.references),
            "seed": choice.seed,
        }
        value = None if threshold is None else threshold.value
        description = describe_run(
            assembled.detector, assembled.class_name, assembled.references, value, settings
        )
        if threshold is not None:
            threshold.check(description["identity"])
        stopped = unfinished(RUNS, description["identity"], images) if out is None else None
        folder = out or stopped or new_folder(RUNS, assembled.detector.assembly.recipe.name)
        try:
            with interruptible(folder), RunFolder(folder, description) as run_folder:
                if len(run_folder):
                    say.print(f"going on with {folder}", markup=False, soft_wrap=True)
                summary = execute(
                    assembled.detector,
                    images,
                    run_folder,
                    class_name=assembled.class_name,
                    batch_size=batch_size,
                    threshold=threshold,
                    overlays=overlays,
                    progress=progress,
                    each=each,
                )
        finally:
            if out is None:
                remove_if_empty(folder)
    return summary, folder


def _warn_of_tested_references(
    assembled: Assembled, images: Sequence[Path], say: Console
) -> None:
    tested = {path.resolve() for path in images}
    for path, _ in assembled.references:
        if Path(path).resolve() in tested:
            say.print(f"warning: reference {path} is also under test", markup=False, soft_wrap=True)


def _ignore(row: Row) -> None:
    pass


def _print_line(row: Row) -> None:
    from vlmad.runs.rows import to_line

    sys.stdout.write(to_line(row).decode("utf-8"))
    sys.stdout.flush()


def _tell_failures(summary: Summary, folder: Path) -> None:
    for row in summary.failures:
        print(f"vlmad: not scored: {' '.join(row.reason.split())}", file=sys.stderr)
    unsaid = summary.failed - len(summary.failures)
    if unsaid:
        print(f"vlmad: and {unsaid} more, see {folder}/scores.csv", file=sys.stderr)


def _agrees(earlier: Earlier, folder: Path) -> bool:
    comparison = earlier.compare(folder)
    print(f"vlmad: {comparison}", file=sys.stderr)
    return comparison.agree


def _show(summary: Summary, folder: Path, threshold: Threshold | None) -> None:
    """Print the table, the most anomalous first, and where the rest is."""
    console = Console(highlight=False)
    rows = summary.shown()
    if rows:
        console.print(_table(rows))
    if summary.done > len(rows):
        console.print(f"… and {summary.done - len(rows)} more with lower scores")
    images = "image" if summary.done == 1 else "images"
    console.print(f"\n{summary.done} {images} scored; higher is more anomalous")
    if threshold is not None:
        console.print(
            f"{summary.anomalous} anomalous, {summary.done - summary.anomalous} ok; "
            f"anomalous from {threshold.value:.6g} on ({threshold.rule})"
        )
    for what, name in (("all scores", "scores.csv"), ("heat maps", "overlays/")):
        console.print(f"{what}: {folder}/{name}", soft_wrap=True, markup=False)


def _shared_folder(images: Sequence[str]) -> str:
    folders = [os.path.dirname(image) for image in images]
    if len({os.path.isabs(folder) for folder in folders}) != 1:
        return ""  # no images, or some named from the root and some from here
    return os.path.commonpath(folders)


def _table(rows: Sequence[Row]) -> Table:
    """Return scores beside images, named from the folder that they share."""
    shared = _shared_folder([row.image for row in rows])
    title = f"image in {_printable(shared)}" if shared else "image"
    table = Table("score", box=None, header_style="bold")
    judged = any(row.verdict for row in rows)
    if judged:
        table.add_column("verdict")
    table.add_column(escape(title), overflow="fold")
    table.add_column("heat map in overlays/", overflow="fold")
    for row in rows:
        name = os.path.relpath(row.image, shared) if shared else row.image
        verdict = [row.verdict] if judged else []
        files = [escape(_printable(name)), escape(Path(row.overlay).name)]
        table.add_row(f"{row.score:.3f}", *verdict, *files)
    return table


def _printable(name: str) -> str:
    """Return a name whose bytes that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
