"""The command ``vlmad grid``."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vlmad.cli.parts import Choice, choosing
from vlmad.cli.progress import progress_bars, speaking
from vlmad_evaluation.bench.asking import (
    Data,
    Measuring,
    open_checked,
    split_settings,
)

if TYPE_CHECKING:
    from vlmad_evaluation.bench.document import Bench
    from vlmad_evaluation.grid.combinations import Grid
    from vlmad_evaluation.grid.estimate import Estimate

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
    from vlmad_evaluation.bench.document import Bench
    from vlmad_evaluation.grid.combinations import with_baseline
    from vlmad_evaluation.grid.table import GRID
    from vlmad_evaluation.grid.terminal import show, show_plan

    found = _combine(choice)
    detectors = with_baseline(found, baseline)
    extra = _describe(found, next(iter(detectors)))
    ready = Bench(opened, categories, detectors, settings, problems, GRID, extra)
    estimated = _estimate(ready, say)
    if plan:
        _print_plan(found, estimated, measuring.as_json)
        return
    show_plan(say, found, estimated)
    from vlmad_evaluation.bench.command import finish, run_into, tell_notes

    tell_notes(detectors, say)
    document, folder = run_into(ready, measuring.out, say)
    finish(document, folder / "grid.md", measuring, show)


def _combine(choice: Choice) -> Grid:
    from vlmad.registry import Registry
    from vlmad_evaluation.grid.axes import parse_axes
    from vlmad_evaluation.grid.combinations import combine

    registry = Registry.discover()
    axes = parse_axes(choice, registry)
    return combine(axes, registry, choice.resize or "squash", choice.recipe)


def _estimate(ready: Bench, say: Console) -> Estimate:
    from vlmad_evaluation.bench.plan import make_plan
    from vlmad_evaluation.bench.scoring import side_by_side
    from vlmad_evaluation.grid.estimate import estimate

    cells = make_plan(ready.dataset, ready.categories, ready.detectors, ready.settings)
    with progress_bars(say) as progress:
        return estimate(cells, side_by_side(ready.detectors), ready.settings, progress)


def _print_plan(found: Grid, estimated: Estimate, as_json: bool) -> None:
    from vlmad_evaluation.grid.terminal import show_plan

    if not as_json:
        show_plan(Console(highlight=False), found, estimated)
        return
    from vlmad.runs.folder import to_json

    document = {
        "combinations": dict(found.values),
        "illegal": dict(found.illegal),
        "same": dict(found.same),
        **asdict(estimated),
        "seconds_of_encoding": estimated.seconds_of_encoding,
        "seconds": estimated.seconds,
        "bytes_of_features": estimated.bytes_of_features,
    }
    sys.stdout.write(to_json(document).decode("utf-8"))


def _describe(found: Grid, baseline: str) -> dict[str, Any]:
    combinations = {name: dict(values) for name, values in found.values.items()}
    return {
        "baseline": baseline,
        "grid": {
            "combinations": combinations,
            "illegal": dict(found.illegal),
            "same": dict(found.same),
        },
    }
