"""The options of commands that measure, and the data set that they name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmad.console import messages, say
from vlmad.errors import InputError
from vlmad_run.part_grouping import HOW, Grouped, table_digest
from vlmad_run.progress import bars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from vlmad.datasets import Problem
    from vlmad_evaluation.result_documents import BenchSettings
    from vlmad_run.choosing import Choice
    from vlmad_run.opening import OpenDataset

Data = Annotated[Path, typer.Argument(help="The folder of a data set, or a table.")]


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="What is measured", **settings)


@dataclass(frozen=True, slots=True)
class Measuring:
    """Options: what is measured how, and what is printed."""

    dataset: Annotated[
        str | None, _option(help="The reader; by default the one that recognises the data.")
    ] = None
    category: Annotated[list[str] | None, typer.Option(help="Only this category; repeatable.")] = (
        None
    )
    shots: Annotated[
        str, typer.Option(metavar="N,…", help="Numbers of references, such as 0,1,4.")
    ] = "0"
    seeds: Annotated[int, _option(min=1, help="Draws of references for each number.")] = 5
    resolution: Annotated[
        str, _option(help="Of pixel metrics: N for N x N, or mask for each mask's own.")
    ] = "mask"
    spare_good: Annotated[
        bool, _option("--spare-good", help="Test on good train images too that are no reference.")
    ] = False
    group: Annotated[
        str | None,
        _option(metavar="HOW", help=f"Image metrics of parts that are seen in several: {HOW}."),
    ] = None
    views: Annotated[
        int | None,
        _option(metavar="N", min=1, help="Parts with another number of views are left out."),
    ] = None
    replicates: Annotated[int, _option(min=2, help="Resampled sets for intervals.")] = 1000
    batch_size: Annotated[
        int, _option(min=1, help="Images encoded together; more helps on a GPU.")
    ] = 1
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Score categories on a cluster, such as ray:workers=4."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder to write; by default a new one in vlmad-runs/."
        ),
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False

    def messages(self) -> Console:
        """Return where notes and progress are printed."""
        return messages(self.quiet or self.as_json)

    def settings(self, conditions: str | None = None, align: bool = False) -> BenchSettings:
        """Return what is measured how, under which conditions, aligned or not.

        Raises:
            InputError: images are to be aligned to references, and there are none.
        """
        from vlmad_evaluation.conditions import parse_conditions
        from vlmad_evaluation.result_documents import BenchSettings

        shots, grouping = parse_shots(self.shots), Grouped(self.group, self.views).grouping()
        if align and not any(shots):
            raise InputError("--align brings images to the first reference: add --shots 1 or more")
        return BenchSettings(
            shots=shots,
            align=align,
            seeds=self.seeds,
            resolution=parse_resolution(self.resolution),
            replicates=self.replicates,
            batch_size=self.batch_size,
            spare_good=self.spare_good,
            group=self.group or "",
            group_sha256=table_digest(grouping),
            views=self.views,
            conditions=parse_conditions(conditions or ""),
        )


def parse_shots(text: str) -> list[int]:
    """Return numbers of references, in order."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise InputError(f"--shots takes whole numbers from 0, such as 0,1,4; not {text}")
    return sorted({int(word) for word in words})


def parse_resolution(text: str) -> str:
    """Return the size of evaluation in words."""
    if text == "mask":
        return "each mask's own"
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1 << 14):
        raise InputError(f"--resolution takes mask or a number of pixels, not {text}")
    return f"{int(text)} x {int(text)}"


def split_settings(choice: Choice) -> tuple[Choice, dict[str, str]]:
    """Return the choice with the settings of parts, and those of the data set's reader."""
    from vlmad_run.choosing import parse_settings

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
    """
    from vlmad_datasets.survey import survey
    from vlmad_evaluation._saturated_overlap import saturation_problems
    from vlmad_evaluation.notation import problem_lines
    from vlmad_run.opening import open_dataset

    opened = open_dataset(path, measuring.dataset, options)
    wanted = opened.select(measuring.category)
    categories = tuple(dict.fromkeys(sample.category for sample in wanted))
    with bars(console) as progress:
        task = progress.add_task("checking", total=None)
        found = survey(
            opened,
            categories,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    misfits = saturation_problems(each for each in wanted if each.split == "test")
    warnings = () if console.quiet else (*found.of("warning"), *misfits)
    for problems in (found.of("fatal"), warnings):
        for line in problem_lines(problems):
            say(line)
    found.refuse()
    return opened, categories, (*found.problems, *misfits)
