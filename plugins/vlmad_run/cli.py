"""The command ``vlmad run``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.errors import InputError
from vlmad_run.choosing import Assembled, Choice, choosing
from vlmad_run.outcome import computed_by, show, tell_failures
from vlmad_run.progress import interruptible, progress_bars, speaking, tell_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from vlmad_run.execute import Summary
    from vlmad_run.repeating import Earlier
    from vlmad_run.rows import Row
    from vlmad_run.thresholds import Threshold

ANOMALOUS, FAILED = 3, 1
"""Exit statuses."""
WARNINGS = 20
"""As many of a kind are written out."""


class Overlays(StrEnum):
    """Which pictures a run draws."""

    all = "all"
    anomalous = "anomalous"
    none = "none"


class FailOn(StrEnum):
    """What makes a run end with a status of its own."""

    anomalous = "anomalous"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """From which score on an image is anomalous, and what follows."""

    threshold: Annotated[
        str | None,
        typer.Option(help="From which score on an image is anomalous: a number or a file."),
    ] = None
    fail_on: Annotated[
        FailOn | None, typer.Option(help=f"Exit with {ANOMALOUS} if an image is anomalous.")
    ] = None

    def limit(self, earlier: Earlier | None) -> Threshold | None:
        """Return the threshold in force: the one that is given, or that of an earlier run.

        Raises:
            InputError: it cannot be read, or one is needed.
        """
        from vlmad_run.thresholds import read_threshold

        limit = None if self.threshold is None else read_threshold(self.threshold)
        if limit is None and earlier is not None:
            limit = earlier.threshold
        if self.fail_on is not None and limit is None:
            raise InputError("--fail-on anomalous needs --threshold, a number or a file")
        return limit


@dataclass(frozen=True, slots=True)
class Output:
    """What a run writes, and what it prints."""

    out: Annotated[
        Path | None, typer.Option(help="The folder to write; a new one in vlmad-runs/ by default.")
    ] = None
    overlays: Annotated[Overlays, typer.Option(help="Which pictures to draw.")] = Overlays.all
    batch_size: Annotated[int, typer.Option(min=1, help="Images encoded together.")] = 8
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each image, and no table.")
    ] = False


@choosing
def run(
    choice: Choice,
    verdicts: Verdicts,
    output: Output,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH…", help="Images, folders or glob patterns; - reads a list of them."
        ),
    ] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="A file that names images, one a line.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Repeat the run of a manifest.json and compare scores.")
    ] = None,
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
    from vlmad_run.repeating import read_earlier

    earlier = None if manifest is None else read_earlier(manifest)
    images = _images(paths, list_file, earlier)
    if earlier is not None:
        _check_apart(earlier, output.out)
    limit = verdicts.limit(earlier)
    assembled = choice.assemble() if earlier is None else _repeated(earlier, choice)
    say = speaking(output.quiet or output.as_json)
    tell_choice(say, assembled)
    apart = None if earlier is None else earlier.folder
    seen = _Seen(assembled, output.as_json)
    summary, folder = _execute(assembled, images, limit, output, apart, choice, seen, say)
    if not say.quiet:
        show(summary, folder, limit, computed_by(assembled.detector.backbone))
    tell_failures(summary, folder)
    seen.warn()
    status = FAILED if summary.failed else 0
    if earlier is not None and not _agrees(earlier, folder):
        status = FAILED
    if verdicts.fail_on is not None and summary.anomalous:
        status = ANOMALOUS
    if status:
        raise typer.Exit(status)


def _images(
    paths: Sequence[str] | None, list_file: Path | None, earlier: Earlier | None
) -> list[Path]:
    from vlmad_run.finding import STANDARD_INPUT, find_images, read_list

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
    for difference in earlier.differences(detector):
        print(f"vlmad: differs from the manifest: {difference}", file=sys.stderr)
    return Assembled(detector, earlier.class_name, references)


def _execute(
    assembled: Assembled,
    images: Sequence[Path],
    threshold: Threshold | None,
    output: Output,
    apart: Path | None,
    choice: Choice,
    each: Callable[[Row], None],
    say: Console,
) -> tuple[Summary, Path]:
    from vlmad.files import digest
    from vlmad_run.execute import execute
    from vlmad_run.manifest import describe_run
    from vlmad_run.places import describe_images, open_folder

    with progress_bars(say) as progress:
        settings = {
            "command": sys.argv[1:],
            "images": describe_images(images),
            "fitted": None if choice.fitted is None else str(choice.fitted.absolute()),
            "fitted_sha256": None if choice.fitted is None else digest(choice.fitted),
            "shots": len(assembled.references),
            "seed": choice.seed,
        }
        value = None if threshold is None else threshold.value
        description = describe_run(
            assembled.detector, assembled.class_name, assembled.references, value, settings
        )
        if threshold is not None:
            threshold.check(description["identity"])
        name = assembled.detector.assembly.recipe.name
        with (
            open_folder(output.out, description, name, apart) as folder,
            interruptible(folder.path),
        ):
            if len(folder):
                say.print(f"going on with {folder.path}", markup=False, soft_wrap=True)
            summary = execute(
                assembled.detector,
                images,
                folder,
                class_name=assembled.class_name,
                batch_size=output.batch_size,
                threshold=threshold,
                overlays=output.overlays.value,
                progress=progress,
                each=each,
            )
    return summary, folder.path


class _Seen:
    """What is done with each row: it is printed for machines, and compared with references."""

    def __init__(self, assembled: Assembled, as_json: bool) -> None:
        self.as_json = as_json
        self.references = {sha256: path for path, sha256 in assembled.references}
        self.tested: dict[str, str] = {}

    def __call__(self, row: Row) -> None:
        if row.sha256 in self.references:
            self.tested.setdefault(row.image, self.references[row.sha256])
        if self.as_json:
            from vlmad_run.rows import to_line

            sys.stdout.buffer.write(to_line(row))
            sys.stdout.flush()

    def warn(self) -> None:
        """Name the tested images that are references too: their scores mean little."""
        for image, reference in list(self.tested.items())[:WARNINGS]:
            what = f"reference {reference} is also under test"
            same = image == reference
            print(f"vlmad: warning: {what}{'' if same else f', as {image}'}", file=sys.stderr)
        if len(self.tested) > WARNINGS:
            print(f"vlmad: warning: and {len(self.tested) - WARNINGS} more", file=sys.stderr)


def _check_apart(earlier: Earlier, out: Path | None) -> None:
    if out is not None and out.resolve() == earlier.folder.resolve():
        raise InputError(f"{out} is the run to compare with; choose another --out")


def _agrees(earlier: Earlier, folder: Path) -> bool:
    comparison = earlier.compare(folder)
    print(f"vlmad: {comparison}", file=sys.stderr)
    return comparison.agree
