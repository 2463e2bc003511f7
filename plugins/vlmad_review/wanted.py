"""What the command line of `vlmad review` asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vlmad_calibration.rules import Rule  # noqa: TC001 (typer reads the signature)

KEPT = "review"
"""The folder in that of the run that --keep writes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is tried, and what of it is adopted."""

    rule: Annotated[
        Rule | None, typer.Option(help="How the threshold is chosen, as by vlmad calibrate.")
    ] = None
    rate: Annotated[
        float | None, typer.Option(help="The rate that the rule takes; 0.05 by default.")
    ] = None
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="'scratched {}'", help="An anomalous state to try; repeatable."),
    ] = None
    normal_state: Annotated[
        list[str] | None,
        typer.Option(metavar="'polished {}'", help="A normal state to try; repeatable."),
    ] = None
    most: Annotated[
        int, typer.Option(min=1, help="New references at most, the highest scores first.")
    ] = 50
    adopt: Annotated[
        str | None,
        typer.Option(help="references, threshold, states or all, whatever the intervals say."),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and the intervals.")] = 0
    batch_size: Annotated[int, typer.Option(min=1, help="Tiles encoded together.")] = 8


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where what is adopted is written, and what is said of it."""

    keep: Annotated[bool, typer.Option("--keep", help=f"Write RUN/{KEPT}.")] = False
    out: Annotated[Path | None, typer.Option(help="Write this folder.")] = None
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False

    def folder(self, run: Path) -> Path | None:
        """Return the folder to write, if any.

        Raises:
            OutputError: it cannot be, or holds a review already.
        """
        from vlmad_review.keeping import check_folder

        folder = self.out or (run / KEPT if self.keep else None)
        if folder is not None:
            check_folder(folder, self.force)
        return folder
