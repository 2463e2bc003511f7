"""The command ``vlmad bench``."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from vlmad.choosing import Choice, choosing, completing
from vlmad_evaluation._measuring_options import Data, Measuring, open_checked, split_settings


@functools.partial(
    choosing, without=("detector", "prompt", "extractor", "attention", "scorer", "class_name")
)
def bench(
    choice: Choice,
    measuring: Measuring,
    data: Data,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="Recipes or a recipe's FILE.toml: A,B or repeated; the first is the one that "
            "the others are compared with.",
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

    vlmad bench parts/ --category valve --detector my-recipe.toml
    """
    settings, console = measuring.settings(timed=True), measuring.messages()
    choice, options = split_settings(choice)
    opened, categories, problems = open_checked(data, measuring, options, console)
    # here, because a data set that cannot be used needs no torch to be refused
    from vlmad_evaluation._bench_command import print_outcome, run_into
    from vlmad_evaluation._bench_detectors import load_detectors
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_terminal import print_bench
    from vlmad_run.progress import print_notes

    detectors = load_detectors(choice, detector)
    for name, each in detectors.items():
        print_notes([f"{name}: {note}" for note in each.assembly.notes], console)
    ready = Bench(opened, categories, detectors, settings, problems)
    document, folder = run_into(ready, measuring.out, console)
    print_outcome(document, folder / "bench.md", measuring, print_bench)
