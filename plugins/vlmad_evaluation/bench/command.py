"""The command ``vlmad bench``."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vlmad.cli.parts import Choice, choosing, completing
from vlmad.cli.progress import interruptible, progress_bars, speaking
from vlmad_evaluation.bench.asking import (
    RUNS,
    AsJson,
    BatchSize,
    Categories,
    Data,
    Maps,
    Out,
    Quiet,
    Reader,
    Replicates,
    Resolution,
    Seeds,
    Shots,
    open_checked,
    parse_resolution,
    parse_shots,
    split_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmad_evaluation.bench.document import Bench

NOT_OFFERED = ("detector", "class_name", "references", "shots", "seed", "fitted")


@functools.partial(choosing, without=NOT_OFFERED)
def bench(
    choice: Choice,
    data: Data,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="Recipes: A,B or repeated; the others are compared with the first.",
            autocompletion=completing("detector"),
            rich_help_panel="Which detector",
        ),
    ] = None,
    dataset: Reader = None,
    category: Categories = None,
    shots: Shots = "0",
    seeds: Seeds = 5,
    resolution: Resolution = "mask",
    replicates: Replicates = 1000,
    batch_size: BatchSize = 1,
    maps: Maps = True,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure detectors on a data set: metrics with intervals, per category and on average.

    A bench that was stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 1 some images or detectors failed, 2 nothing could be done.

    Examples:
    vlmad bench mvtec/ --detector winclip,anomalyclip

    vlmad bench mvtec/ --detector winclip --shots 0,1,4 --seeds 5

    vlmad bench parts/ --category valve --prompt learned --extractor window
    """
    from vlmad_evaluation.bench.plan import Settings

    settings = Settings(
        parse_shots(shots),
        seeds,
        parse_resolution(resolution),
        replicates,
        batch_size=batch_size,
        keep_maps=maps,
    )
    say = speaking(quiet or as_json)
    choice, options = split_settings(choice)
    opened, categories, problems = open_checked(data, dataset, options, category, say)
    # here, because a data set that cannot be used needs no torch to be refused
    from vlmad_evaluation.bench.detectors import load_detectors
    from vlmad_evaluation.bench.document import Bench
    from vlmad_evaluation.bench.running import BENCH
    from vlmad_evaluation.bench.terminal import show

    detectors = load_detectors(choice, detector)
    tell_notes(detectors, say)
    ready = Bench(opened, categories, detectors, settings, problems, BENCH)
    document, folder = run_into(ready, out, say)
    finish(document, folder / "bench.md", as_json, None if quiet else show)


def tell_notes(detectors: Any, say: Console) -> None:
    """Say which parts made way for which."""
    for name, detector in detectors.items():
        for note in detector.assembly.notes:
            say.print(f"note: {name}: {note}", markup=False, soft_wrap=True)


def run_into(ready: Bench, out: Path | None, say: Console) -> tuple[dict[str, Any], Path]:
    """Run a bench into the named folder, the one where it was stopped, or a new one."""
    from vlmad.runs import new_folder, remove_if_empty, unfinished
    from vlmad_evaluation.bench.running import describe, run_bench

    with progress_bars(say) as progress:
        plan, manifest = describe(ready, progress)
        stopped = next(unfinished(RUNS, manifest), None) if out is None else None
        folder = out or stopped or new_folder(RUNS, ready.kind.name)
        try:
            with interruptible(folder):
                document = run_bench(ready, plan, manifest, folder, progress, say)
        finally:
            if out is None:
                remove_if_empty(folder)
    return document, folder


def finish(
    document: dict[str, Any],
    page: Path,
    as_json: bool,
    show: Callable[[Console, dict[str, Any], Path], None] | None,
) -> None:
    """Print what came of it; end with status 1 if something failed.

    Args:
        document: what came of it.
        page: the file for people, in the folder of the bench.
        as_json: whether the document is printed.
        show: prints tables instead; None for nothing.
    """
    if as_json:
        from vlmad.runs.folder import to_json

        sys.stdout.write(to_json(document).decode("utf-8"))
    elif show is not None:
        show(Console(highlight=False), document, page.parent)
    failed = sum(cell["failed"] for cell in document["cells"])
    if failed:
        images = "image" if failed == 1 else "images"
        what = f"{failed} {images} could not be scored, see {page}"
        print(f"vlmad: {what}", file=sys.stderr)
    if failed or any(entry["fault"] for entry in document["skipped"]):
        raise typer.Exit(1)
