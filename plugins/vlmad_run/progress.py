"""What a person sees while a command works: notes, and how far it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from vlmad.console import messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress


def print_notes(notes: Iterable[str], console: Console) -> None:
    """Print what was chosen for the user."""
    for note in notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def bars(console: Console) -> Progress:
    """Return bars with the time that remains; use it in a ``with`` statement."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # where nobody looks, an unfinished bar would only leave an empty line
    hidden = console.quiet or not console.is_terminal
    return Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden
    )


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Print to whoever interrupts a command that what is done is not lost.

    Args:
        folder: where it lies.
    """
    try:
        yield
    except KeyboardInterrupt:
        messages().print(
            f"vlmad: interrupted; what is done is in {folder}, "
            "the same command goes on from there",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
