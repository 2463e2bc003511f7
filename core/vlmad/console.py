"""Where a command prints: results on standard output, everything else on standard error.

The command line keeps standard output for itself when it starts (`keep_output`) and leaves
standard error to everything else when it runs a command of its own (`leave_output`), so that
whatever a part or a library prints never lands among the results.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_kept: TextIO | None = None


@contextmanager
def keep_output() -> Iterator[None]:
    """Keep standard output for results.

    Descriptor 1 leads to standard error meanwhile, for libraries that write to it themselves.
    """
    global _kept
    usual, duplicate = sys.stdout, _free_descriptor(sys.stdout)
    kept = usual if duplicate is None else os.fdopen(duplicate, "w", encoding=usual.encoding)
    _kept = sys.stdout = kept
    try:
        yield
    finally:
        sys.stdout, _kept = usual, None
        with suppress(OSError, ValueError):  # what could not be written was an error before
            if duplicate is None:
                kept.flush()
            else:
                os.dup2(duplicate, 1)
                kept.close()


def _free_descriptor(stream: TextIO) -> int | None:
    """Point descriptor 1 at standard error and return a duplicate, if a stream writes to it."""
    try:
        if stream.fileno() != 1:
            return None
        stream.flush()
        duplicate = os.dup(1)
        os.dup2(2, 1)
    except (AttributeError, OSError, ValueError):  # it is no file, as in a notebook
        return None
    return duplicate


def leave_output() -> None:
    """Let all that is printed go to standard error, but for what `output` and `console` write."""
    if _kept is not None:
        sys.stdout = sys.stderr


def output() -> TextIO:
    """Return standard output, for results."""
    return _kept or sys.stdout


def console() -> Console:
    """Return a console on standard output, for results that people read."""
    from rich.console import Console

    return Console(file=output(), highlight=False)


def messages(quiet: bool = False) -> Console:
    """Return a console on standard error, for all that is not the result."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)
