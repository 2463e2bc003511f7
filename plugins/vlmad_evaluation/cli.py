"""The commands ``vlmad bench`` and ``vlmad grid``."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from vlmad_evaluation._measuring_options import Data, Measuring
from vlmad_run.choosing import LearningChoice, choosing, completing


@functools.partial(
    choosing, without=("detector", "prompt", "extractor", "attention", "scorer", "class_name")
)
def bench(
    choice: LearningChoice,
    measuring: Measuring,
    data: Data,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RECIPE",
            help="Recipes or a recipe's FILE.toml: A,B or repeated; the first is the one that "
            "the others are compared with.",
            autocompletion=completing("detector"),
        ),
    ] = None,
    conditions: Annotated[
        str | None,
        typer.Option(
            help="Score changed test images too: of light, blur, noise, jpeg, turn, shift, scale "
            "those named, or all.",
            rich_help_panel="What is measured",
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

    vlmad bench parts/ --detector winclip,clip --conditions light,blur,turn
    """
    from vlmad_evaluation._asked_bench import AskedBench

    asked = AskedBench(choice, measuring, data, tuple(detector or ()), conditions or "")
    console = measuring.messages()
    ready = asked.ready(console)
    from vlmad_evaluation._bench_command import run_and_print
    from vlmad_run.progress import print_notes

    for name, each in ready.detectors.items():
        print_notes([f"{name}: {note}" for note in each.assembly.notes], console)
    run_and_print(ready, asked)


@functools.partial(choosing, without=("class_name",))
def grid(
    choice: LearningChoice,
    measuring: Measuring,
    data: Data,
    baseline: Annotated[
        str | None,
        typer.Option(help="The combination that others are compared with; the first by default."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be done and the time; stop there.")
    ] = False,
    choose: Annotated[
        bool,
        typer.Option("--choose", help="Choose the best by nested folds, and say how good it is."),
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="What --choose chooses by: image_auroc (default), pixel_auroc, pixel_aupro_30.",
        ),
    ] = None,
) -> None:
    """Measure every legal combination of parts; an image is encoded once for all.

    Give several parts with commas, `all` for every installed one, and several values of an
    option with bars. Options hold for the parts that have them.

    A grid that was stopped goes on where it was when the same command is given again; into the
    same --out a larger grid takes over what is there.

    Exit status: 0 all done, 1 some images or combinations failed, 2 nothing could be done.

    Examples:
    vlmad grid parts/ --prompt compositional,learned --extractor window,dense --plan

    vlmad grid parts/ --set "extractor.scales=2|3|2,3,5" --shots 0,1

    vlmad grid parts/ --prompt all --scorer harmonic,max-cosine --baseline "plain + harmonic"

    vlmad grid parts/ --detector gaussian,patchcore --shots 4 --choose
    """
    from vlmad_evaluation._asked_bench import AskedBench
    from vlmad_evaluation.choice_document import check_metric

    metric = check_metric(choose, by)
    asked = AskedBench(choice, measuring, data, (), "", True, baseline or "", metric)
    messages = measuring.messages()
    ready = asked.ready(messages)
    from vlmad.console import console, write_json
    from vlmad_evaluation._bench_command import run_and_print
    from vlmad_evaluation._bench_plan import make_plan
    from vlmad_evaluation._grid_plan import plan_grid
    from vlmad_evaluation._result_terminal import print_plan

    cells = make_plan(ready.dataset, ready.categories, ready.detectors, ready.settings)
    assert ready.axes is not None
    planned = plan_grid(cells, ready.detectors, ready.axes, timed=plan)
    if plan and measuring.as_json:
        write_json(planned.to_json())
        return
    print_plan(console() if plan else messages, planned)
    if not plan:
        run_and_print(ready, asked)
