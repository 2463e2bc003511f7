"""What a person gets to see while a command works: notes, and how far it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from vlmad.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress, TaskID


def print_notes(notes: Iterable[str], console: Console) -> None:
    """Print what was chosen for the user."""
    for note in notes:
        console.print(f"note: {note}")


def bars(console: Console) -> Progress:
    """Return bars with the time that remains; nothing where nobody looks."""
    from rich import progress as rich

    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not console.is_terminal,
    )


class ShownProgress:
    """Shows notes and bars of what parts do; see `vlmad.watching.Watcher`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Print a note."""
        print_notes([text], self._progress.console)

    def advance(self, doing: str, done: int, of: int) -> None:
        """Show a bar of this work."""
        if doing not in self._tasks:
            self._tasks[doing] = self._progress.add_task(doing, total=of)
        self._progress.update(self._tasks[doing], completed=done, total=of)


@contextmanager
def interruptible(folder: Path, together: bool = False) -> Iterator[None]:
    """Print to whoever interrupts a command that what is done, in `folder`, is not lost.

    Images that are scored `together` depend on each other: all are scored anew.
    """
    try:
        yield
    except KeyboardInterrupt:
        done = f"what is done is in {folder}, the same command goes on from there"
        say(f"interrupted; {'the same command compares all anew' if together else done}")
        raise typer.Exit(130) from None
