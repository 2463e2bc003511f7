"""Where a command prints: results on standard output, everything else on standard error.

The command line keeps standard output for itself when it starts (`keep_output`), so that whatever
a part or a library prints lands on standard error and never among the results.
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
def keep_output() -> Iterator[TextIO]:
    """Keep standard output for results; what is printed otherwise goes to standard error.

    Descriptor 1 leads to standard error too, for libraries that write to it themselves.
    """
    global _kept
    usual = sys.stdout
    _kept = _own_descriptor(usual)
    sys.stdout = sys.stderr
    try:
        yield _kept
    finally:
        with suppress(OSError, ValueError):
            _kept.flush()
        sys.stdout, _kept = usual, None


def _own_descriptor(stream: TextIO) -> TextIO:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):  # it is no file, as in a notebook
        return stream
    if descriptor != 1:
        return stream
    stream.flush()
    kept = os.fdopen(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors)
    with suppress(OSError):
        os.dup2(2, 1)
    return kept


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
