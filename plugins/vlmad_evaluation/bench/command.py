"""The command ``vlmad bench``."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vlmad.cli.parts import Choice, choosing, completing
from vlmad.cli.progress import interruptible, progress_bars, speaking
from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad import OpenDataset, Problem
    from vlmad.survey import Survey
    from vlmad_evaluation.bench.document import Bench
    from vlmad_evaluation.bench.plan import Settings

RUNS = Path("vlmad-runs")
NOT_OFFERED = ("detector", "class_name", "references", "shots", "seed", "fitted")
PANEL = "What is measured"


@functools.partial(choosing, without=NOT_OFFERED)
def bench(
    choice: Choice,
    data: Annotated[Path, typer.Argument(help="The folder of a data set, or a table.")],
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="Recipes: A,B or repeated; the others are compared with the first.",
            autocompletion=completing("detector"),
            rich_help_panel="Which detector",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="The reader; by default the one that recognises DATA.", rich_help_panel=PANEL
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help="Only this category; repeatable.", rich_help_panel=PANEL),
    ] = None,
    shots: Annotated[
        str,
        typer.Option(help="Numbers of references, such as 0,1,4.", rich_help_panel=PANEL),
    ] = "0",
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Draws of references for each number.", rich_help_panel=PANEL),
    ] = 5,
    resolution: Annotated[
        str,
        typer.Option(
            help="Of pixel metrics: N for N x N, or mask for each mask's own.",
            rich_help_panel=PANEL,
        ),
    ] = "mask",
    replicates: Annotated[
        int, typer.Option(min=2, help="Resampled sets for intervals.", rich_help_panel=PANEL)
    ] = 1000,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images encoded together; more helps on a GPU.")
    ] = 1,
    maps: Annotated[
        bool, typer.Option("--maps/--no-maps", help="Whether the stored heat maps stay on disk.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help=f"The folder to write; a new one in {RUNS}/ by default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, and no table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Measure detectors on a data set: metrics with intervals, per category and on average.

    A bench that was stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 1 some images could not be scored, 2 nothing could be done.

    Examples:
    vlmad bench mvtec/ --detector winclip,anomalyclip

    vlmad bench mvtec/ --detector winclip --shots 0,1,4 --seeds 5

    vlmad bench parts/ --category valve --prompt learned --extractor window
    """
    from vlmad_evaluation.bench.plan import Settings

    settings = Settings(
        _shots(shots),
        seeds,
        _resolution(resolution),
        replicates,
        batch_size=batch_size,
        keep_maps=maps,
    )
    say = speaking(quiet or as_json)
    choice, options = _split_settings(choice)
    opened = _open(data, dataset, options)
    ready = _prepare(choice, opened, detector, category, settings, say)
    document, folder = _run(ready, out, say)
    if as_json:
        from vlmad.runs.folder import to_json

        sys.stdout.write(to_json(document).decode("utf-8"))
    elif not quiet:
        from vlmad_evaluation.bench.terminal import show

        show(Console(highlight=False), document, folder)
    failed = sum(cell["failed"] for cell in document["cells"])
    if failed:
        images = "image" if failed == 1 else "images"
        what = f"{failed} {images} could not be scored, see {folder}/bench.md"
        print(f"vlmad: {what}", file=sys.stderr)
    if failed or any(entry["fault"] for entry in document["skipped"]):
        raise typer.Exit(1)


def _shots(text: str) -> tuple[int, ...]:
    try:
        shots = sorted({int(word) for word in text.split(",")})
    except ValueError:
        shots = [-1]
    if shots[0] < 0:
        raise InputError(f"--shots takes whole numbers from 0, such as 0,1,4; not {text}")
    return tuple(shots)


def _resolution(text: str) -> tuple[int, int] | None:
    if text == "mask":
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1 << 14):
        raise InputError(f"--resolution takes mask or a number of pixels, not {text}")
    return int(text), int(text)


def _split_settings(choice: Choice) -> tuple[Choice, dict[str, str]]:
    """Return the choice with the settings of parts, and those of the data set's reader."""
    from vlmad.assembly import parse_settings

    words = choice.settings or []
    of_reader = [word for word in words if word.startswith("dataset.")]
    of_parts = [word for word in words if word not in of_reader]
    options = parse_settings(of_reader, kinds=("dataset",)).get("dataset", {})
    return replace(choice, settings=of_parts), options


def _open(path: Path, reader: str | None, options: Mapping[str, str]) -> OpenDataset:
    from vlmad import open_dataset

    return open_dataset(path, reader, options)


def _prepare(
    choice: Choice,
    opened: OpenDataset,
    names: list[str] | None,
    categories: list[str] | None,
    settings: Settings,
    say: Console,
) -> Bench:
    """Check the data set and assemble the detectors, before anything is computed."""
    chosen = dict.fromkeys(sample.category for sample in opened.select(categories))
    found = _check(opened, tuple(chosen), say)
    # here, because a data set that cannot be used needs no torch to be refused
    from vlmad_evaluation.bench.detectors import load_detectors
    from vlmad_evaluation.bench.document import Bench

    detectors = load_detectors(choice, names)
    for name, detector in detectors.items():
        for note in detector.assembly.notes:
            say.print(f"note: {name}: {note}", markup=False, soft_wrap=True)
    return Bench(opened, tuple(chosen), detectors, settings, found.problems)


def _check(opened: OpenDataset, categories: tuple[str, ...], say: Console) -> Survey:
    """Look at every file and list what is wrong; refuse what cannot be measured."""
    from vlmad.survey import survey

    with progress_bars(say) as progress:
        found = survey(
            opened, categories, progress=lambda done, total: progress("checking", done, total)
        )
    fatal = found.of("fatal")
    if fatal or not say.quiet:
        _tell_problems(fatal or found.of("warning"))
    found.refuse()
    return found


def _tell_problems(problems: Sequence[Problem], most: int = 40) -> None:
    for problem in problems[:most]:
        line = " ".join(str(problem).split()).encode("utf-8", "backslashreplace").decode()
        print(f"vlmad: {problem.severity}: {line}", file=sys.stderr)
    if len(problems) > most:
        print(f"vlmad: and {len(problems) - most} more, see vlmad data", file=sys.stderr)


def _run(ready: Bench, out: Path | None, say: Console) -> tuple[dict[str, Any], Path]:
    from vlmad.runs import new_folder, remove_if_empty, unfinished
    from vlmad_evaluation.bench.running import describe, run_bench

    with progress_bars(say) as progress:
        plan, manifest = describe(ready, progress)
        stopped = next(unfinished(RUNS, manifest), None) if out is None else None
        folder = out or stopped or new_folder(RUNS, "bench")
        try:
            with interruptible(folder):
                document = run_bench(ready, plan, manifest, folder, progress, say)
        finally:
            if out is None:
                remove_if_empty(folder)
    return document, folder
