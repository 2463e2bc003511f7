"""What a person sees while a command works: notes, and how far it is."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmad_run.choosing import Assembled
    from vlmad_run.execute import Progress


def speaking(quiet: bool = False) -> Console:
    """Return a console on standard error, for all that is not the result."""
    return Console(stderr=True, quiet=quiet, highlight=False)


def tell_choice(say: Console, assembled: Assembled) -> None:
    """Say which parts made way for which."""
    for note in assembled.detector.assembly.notes:
        say.print(f"note: {note}", markup=False, soft_wrap=True)


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Tell who interrupts a command that its work is not lost.

    Args:
        folder: where what is done lies.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"vlmad: interrupted; what is done is in {folder}, "
            "the same command goes on from there",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None


@contextmanager
def progress_bars(say: Console) -> Iterator[Progress]:
    """Show what is being done, how far it is, and the time that remains."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    # where nobody looks, an unfinished bar would only leave an empty line
    hidden = say.quiet or not say.is_terminal
    bars = Progress(
        *columns, TimeRemainingColumn(), console=say, transient=True, disable=hidden
    )
    tasks: dict[str, Any] = {}
    with bars:
        tasks["loading"] = bars.add_task("loading", total=None)

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                bars.update(tasks["loading"], visible=False)
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield told
