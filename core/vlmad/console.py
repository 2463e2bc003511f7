"""Where a command prints: results on standard output, everything else on standard error.

All that people read goes through `console`, `messages` or `say`, which show what would deceive
or obey (see `vlmad.errors.shown`).
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from vlmad.errors import shown

if TYPE_CHECKING:
    from rich.console import Console

_results: TextIO | None = None


def keep(stream: TextIO | None) -> None:
    """Let `output` be a stream beside standard output, or with None standard output again."""
    global _results
    _results = stream


def output() -> TextIO:
    """Return standard output, for results."""
    return _results or sys.stdout


def _encoding(stream: TextIO) -> str:
    return stream.encoding or "utf-8"


def write_json(document: bytes) -> None:
    """Write JSON to standard output: exactly, what cannot be said or seen by JSON's own escapes."""
    stream = output()

    def escaped(found: re.Match[str]) -> str:
        said = found[0].encode(_encoding(stream), "ignore")
        return found[0] if said and found[0].isprintable() else json.dumps(found[0])[1:-1]

    stream.write(re.sub(r"[^\x00-\x7e]", escaped, document.decode("utf-8")))
    stream.flush()


def say(text: object) -> None:
    """Print a line in the program's name on standard error."""
    with suppress(OSError):  # nobody reads it any more
        print(f"vlmad: {shown(text)}", file=sys.stderr)


def say_traceback(error: BaseException) -> None:
    """Print where an error came from."""
    with suppress(OSError):
        lines = "".join(traceback.format_exception(error)).splitlines()
        print("\n".join(map(shown, lines)), file=sys.stderr)


def console() -> Console:
    """Return a console on standard output, for results that people read."""
    from vlmad._screen import Screen

    return Screen(output())


def messages(quiet: bool = False) -> Console:
    """Return a console on standard error, for all that is not the result."""
    from vlmad._screen import Screen

    return Screen(sys.stderr, quiet)
