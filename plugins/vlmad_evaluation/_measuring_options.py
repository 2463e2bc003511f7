"""The options of commands that measure, and the data set that they name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmad.console import messages
from vlmad.errors import InputError, printable
from vlmad_run.progress import bars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from vlmad.choosing import Choice
    from vlmad.datasets import Problem
    from vlmad_datasets.opening import OpenDataset
    from vlmad_datasets.survey import Survey
    from vlmad_evaluation._bench_plan import Settings

Data = Annotated[Path, typer.Argument(help="The folder of a data set, or a table.")]


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="What is measured", **settings)


@dataclass(frozen=True, slots=True)
class Measuring:
    """Options: what is measured how, and what is printed."""

    dataset: Annotated[
        str | None, _option(help="The reader; by default the one that recognises DATA.")
    ] = None
    category: Annotated[
        list[str] | None, _option(help="Only this category; repeatable.")
    ] = None
    shots: Annotated[str, _option(help="Numbers of references, such as 0,1,4.")] = "0"
    seeds: Annotated[int, _option(min=1, help="Draws of references for each number.")] = 5
    resolution: Annotated[
        str, _option(help="Of pixel metrics: N for N x N, or mask for each mask's own.")
    ] = "mask"
    replicates: Annotated[int, _option(min=2, help="Resampled sets for intervals.")] = 1000
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images encoded together; more helps on a GPU.")
    ] = 1
    maps: Annotated[
        bool, typer.Option("--maps/--no-maps", help="Whether the stored heat maps stay on disk.")
    ] = True
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; a new one in vlmad-runs/ by default.")
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, and no table.")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False

    def messages(self) -> Console:
        """Return where notes and progress are printed."""
        return messages(self.quiet or self.as_json)

    def settings(self, timed: bool) -> Settings:
        """Return the settings of the cells.

        Args:
            timed: whether the time per image is measured as well.

        Raises:
            InputError: shots or resolution cannot be read.
        """
        from vlmad_evaluation._bench_plan import Settings

        return Settings(
            parse_shots(self.shots),
            self.seeds,
            parse_resolution(self.resolution),
            self.replicates,
            batch_size=self.batch_size,
            keep_maps=self.maps,
            timed=timed,
        )


def parse_shots(text: str) -> tuple[int, ...]:
    """Return numbers of references, in order.

    Raises:
        InputError: one is no whole number from 0.
    """
    try:
        shots = sorted({int(word) for word in text.split(",")})
    except ValueError:
        shots = [-1]
    if shots[0] < 0:
        raise InputError(f"--shots takes whole numbers from 0, such as 0,1,4; not {text}")
    return tuple(shots)


def parse_resolution(text: str) -> tuple[int, int] | None:
    """Return the size of evaluation, or None for that of each mask.

    Raises:
        InputError: it is neither `mask` nor a number of pixels.
    """
    if text == "mask":
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1 << 14):
        raise InputError(f"--resolution takes mask or a number of pixels, not {text}")
    return int(text), int(text)


def split_settings(choice: Choice) -> tuple[Choice, dict[str, str]]:
    """Return the choice with the settings of parts, and those of the data set's reader."""
    from vlmad.assembly import parse_settings

    words = choice.settings or []
    of_reader = [word for word in words if word.startswith("dataset.")]
    of_parts = [word for word in words if word not in of_reader]
    options = parse_settings(of_reader, kinds=("dataset",)).get("dataset", {})
    return replace(choice, settings=of_parts), options


def open_checked(
    path: Path, measuring: Measuring, options: Mapping[str, str], console: Console
) -> tuple[OpenDataset, tuple[str, ...], tuple[Problem, ...]]:
    """Open a data set, look at every file of the wanted categories and list what is wrong.

    Returns:
        The data set, the categories, and the problems that do not keep it from being measured.

    Raises:
        InputError: it cannot be read, or a problem is fatal.
    """
    from vlmad_datasets.opening import open_dataset

    opened = open_dataset(path, measuring.dataset, options)
    wanted = opened.select(measuring.category)
    categories = tuple(dict.fromkeys(sample.category for sample in wanted))
    return opened, categories, _check(opened, categories, console).problems


def _check(opened: OpenDataset, categories: tuple[str, ...], console: Console) -> Survey:
    from vlmad_datasets.survey import survey

    with bars(console) as progress:
        task = progress.add_task("checking", total=None)
        found = survey(
            opened,
            categories,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    fatal = found.of("fatal")
    if fatal:
        _print_problems(fatal, messages())
    _print_problems(found.of("warning"), console)
    found.refuse()
    return found


def _print_problems(problems: Sequence[Problem], console: Console, most: int = 40) -> None:
    lines = [f"{problem.severity}: {printable(problem)}" for problem in problems[:most]]
    if len(problems) > most:
        lines.append(f"and {len(problems) - most} more, see vlmad data")
    for line in lines:
        console.print(f"vlmad: {line}", markup=False, soft_wrap=True)
