"""The command ``vlmad bench``."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vlmad_evaluation._measuring_options import (
    RUNS,
    Data,
    Measuring,
    open_checked,
    split_settings,
)
from vlmad_run.choosing import Choice, choosing, completing
from vlmad_run.progress import interruptible, progress_bars, speaking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmad_evaluation._bench_document import Bench

NOT_OFFERED = ("detector", "class_name", "references", "shots", "seed", "fitted")


@functools.partial(choosing, without=NOT_OFFERED)
def bench(
    choice: Choice,
    measuring: Measuring,
    data: Data,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="Recipes: A,B or repeated; the others are compared with the first.",
            autocompletion=completing("detector"),
            rich_help_panel="Which detector",
        ),
    ] = None,
) -> None:
    """Measure detectors on a data set: metrics with intervals, per category and on average.

    A bench that was stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 1 some images or detectors failed, 2 nothing could be done.

    Examples:
    vlmad bench mvtec/ --detector winclip,anomalyclip

    vlmad bench mvtec/ --detector winclip --shots 0,1,4 --seeds 5

    vlmad bench parts/ --category valve --prompt learned --extractor window
    """
    settings = measuring.settings(timed=True)
    say = speaking(measuring.quiet or measuring.as_json)
    choice, options = split_settings(choice)
    opened, categories, problems = open_checked(
        data, measuring.dataset, options, measuring.category, say
    )
    # here, because a data set that cannot be used needs no torch to be refused
    from vlmad_evaluation._bench_detectors import load_detectors
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_running import BENCH
    from vlmad_evaluation._bench_terminal import show

    detectors = load_detectors(choice, detector)
    tell_notes(detectors, say)
    ready = Bench(opened, categories, detectors, settings, problems, BENCH)
    document, folder = run_into(ready, measuring.out, say)
    finish(document, folder / "bench.md", measuring, show)


def tell_notes(detectors: Any, say: Console) -> None:
    """Say which parts made way for which."""
    for name, detector in detectors.items():
        for note in detector.assembly.notes:
            say.print(f"note: {name}: {note}", markup=False, soft_wrap=True)


def run_into(ready: Bench, out: Path | None, say: Console) -> tuple[dict[str, Any], Path]:
    """Run a bench into the named folder, the one where it was stopped, or a new one."""
    from vlmad_evaluation._bench_running import describe, run_bench
    from vlmad_run.places import new_folder, remove_if_empty, unfinished

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
    measuring: Measuring,
    show: Callable[[Console, dict[str, Any], Path], None],
) -> None:
    """Print what came of it; end with status 1 if something failed.

    Args:
        document: what came of it.
        page: the file for people, in the folder of the bench.
        measuring: says whether the document is printed, the tables, or nothing.
        show: prints the tables.
    """
    if measuring.as_json:
        from vlmad_run.run_folder import to_json

        sys.stdout.write(to_json(document).decode("utf-8"))
    elif not measuring.quiet:
        show(Console(highlight=False), document, page.parent)
    failed = sum(cell["failed"] for cell in document["cells"])
    if failed:
        images = "image" if failed == 1 else "images"
        what = f"{failed} {images} could not be scored, see {page}"
        print(f"vlmad: {what}", file=sys.stderr)
    if failed or any(entry["fault"] for entry in document["skipped"]):
        raise typer.Exit(1)
