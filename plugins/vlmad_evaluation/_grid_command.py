"""The command ``vlmad grid``."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vlmad_evaluation._measuring_options import (
    Data,
    Measuring,
    open_checked,
    split_settings,
)
from vlmad_run.choosing import Choice, choosing
from vlmad_run.progress import progress_bars, speaking

if TYPE_CHECKING:
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._grid_combinations import Grid
    from vlmad_evaluation._grid_plan import Planned

NOT_OFFERED = ("class_name", "references", "shots", "seed", "fitted")


@functools.partial(choosing, without=NOT_OFFERED)
def grid(
    choice: Choice,
    measuring: Measuring,
    data: Data,
    baseline: Annotated[
        str | None,
        typer.Option(help="The combination that others are compared with; the first by default."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be done and what it costs; stop there.")
    ] = False,
) -> None:
    """Measure every legal combination of parts; each image is encoded once for all of them.

    Give several parts with commas, `all` for every installed one, and several values of an
    option with bars. Options hold for the parts that have them.

    A grid that was stopped goes on where it was when the same command is given again; into the
    same --out a larger grid takes over what is there.

    Exit status: 0 all done, 1 some images or combinations failed, 2 nothing could be done.

    Examples:
    vlmad grid parts/ --prompt compositional,learned --extractor window,dense --plan

    vlmad grid parts/ --set "extractor.scales=2|3|2,3,5" --shots 0,1

    vlmad grid parts/ --prompt all --scorer harmonic,max-cosine --baseline "plain + harmonic"
    """
    settings = measuring.settings(timed=False)
    say = speaking(measuring.quiet or measuring.as_json)
    choice, options = split_settings(choice)
    opened, categories, problems = open_checked(
        data, measuring.dataset, options, measuring.category, say
    )
    # here, because a data set that cannot be used needs no torch to be refused
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._grid_combinations import with_baseline
    from vlmad_evaluation._grid_terminal import show, show_plan
    from vlmad_evaluation.grid_table import GRID

    found = _combine(choice)
    detectors = with_baseline(found, baseline)
    extra = _describe(found, next(iter(detectors)))
    ready = Bench(opened, categories, detectors, settings, problems, GRID, extra)
    planned = _plan(ready, say)
    if plan and measuring.as_json:
        _print_plan(ready, planned)
        return
    show_plan(Console(highlight=False) if plan else say, found, ready, planned)
    if plan:
        return
    from vlmad_evaluation.cli import finish, run_into

    document, folder = run_into(ready, measuring.out, say)
    finish(document, folder / "grid.md", measuring, show)


def _combine(choice: Choice) -> Grid:
    from vlmad.registry import Registry
    from vlmad_evaluation._grid_axes import parse_axes
    from vlmad_evaluation._grid_combinations import combine

    registry = Registry.discover()
    axes = parse_axes(choice, registry)
    return combine(axes, registry, choice.resize or "squash", choice.recipe)


def _plan(ready: Bench, say: Console) -> Planned:
    from vlmad_evaluation._bench_plan import make_plan
    from vlmad_evaluation._cell_scoring import side_by_side
    from vlmad_evaluation._grid_plan import Planned, estimate

    cells = make_plan(ready.dataset, ready.categories, ready.detectors, ready.settings)
    with progress_bars(say) as progress:
        cost = estimate(cells, side_by_side(ready.detectors), ready.settings, progress)
    return Planned(cells.skipped, cost)


def _print_plan(ready: Bench, planned: Planned) -> None:
    from vlmad_evaluation._bench_document import describe_dataset, describe_settings
    from vlmad_run.run_folder import to_json

    cost = planned.cost
    grid = ready.extra["grid"]
    document = {
        "baseline": ready.extra["baseline"],
        **grid,
        "notes": {name: list(d.assembly.notes) for name, d in ready.detectors.items()},
        "skipped": [asdict(skipped) for skipped in planned.skipped],
        "dataset": describe_dataset(ready.dataset, ready.categories, ready.problems),
        "settings": describe_settings(ready.settings),
        **asdict(cost),
        "seconds_of_encoding": cost.seconds_of_encoding,
        "seconds": cost.seconds,
        "bytes_of_features": cost.bytes_of_features,
    }
    sys.stdout.write(to_json(document).decode("utf-8"))


def _describe(found: Grid, baseline: str) -> dict[str, Any]:
    combinations = {name: dict(values) for name, values in found.values.items()}
    return {
        "baseline": baseline,
        "grid": {
            "combinations": combinations,
            "illegal": {name: str(misfit) for name, misfit in found.illegal.items()},
            "same": dict(found.same),
        },
    }
