"""What becomes of the streams of a process that is vlmad's own.

Standard output is kept for results when the command line starts (`keep_output`) and left alone by
everything else when a command of vlmad's own runs (`leave_output`), so that whatever a part or a
library prints never lands among the results. What the encoding of a stream lacks is written in
ASCII.
"""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from vlmad.console import keep, output
from vlmad.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_kept: TextIO | None = None
DEGRADED = "vlmad.degraded"
"""The error handler of streams; like ``backslashreplace``, but dashes remain dashes."""
PLAIN = {"\u2013": "-", "\u2014": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
PLAIN |= {"\u2026": "...", "\u2192": "->", "\u00b7": ",", "\u00d7": "x", "\u00b1": "+-"}
PLAIN |= {"\u2264": "<=", "\u2265": ">=", "\u2022": "*", "\u25b2": "^", "\u25bc": "v"}


def _degrade(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    said = (PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(said), error.end


codecs.register_error(DEGRADED, _degrade)


@contextmanager
def keep_output() -> Iterator[None]:
    """Keep standard output for results.

    Descriptor 1 leads to standard error meanwhile, for libraries that write to it themselves.
    """
    global _kept
    sys.stdout, sys.stderr = _never_failing(sys.stdout), _never_failing(sys.stderr)
    usual, duplicate = sys.stdout, _free_descriptor(sys.stdout)
    kept = usual
    if duplicate is not None:
        kept = os.fdopen(duplicate, "w", encoding=usual.encoding, errors=DEGRADED)
    _kept = sys.stdout = kept
    keep(kept)
    try:
        yield
    finally:
        sys.stdout, _kept = usual, None
        keep(None)
        with suppress(OSError, ValueError):
            usual.flush()  # what a plugin wrote to it, while it still leads to standard error
        with suppress(OSError, ValueError):  # what could not be written was an error before
            if duplicate is None:
                kept.flush()
            else:
                os.dup2(duplicate, 1)
                kept.close()


def _never_failing(stream: TextIO | None) -> TextIO:
    """Return a stream that says in ASCII what its encoding lacks; one that was closed takes all."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    with suppress(AttributeError, OSError, ValueError):  # it is no file, as in a notebook
        stream.reconfigure(errors=DEGRADED)  # type: ignore[attr-defined]
    return stream


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


def page(text: str) -> str:
    """Return a text of several lines as standard output can say it."""
    encoding = output().encoding or "utf-8"
    safe = "\n".join(map(printable, text.split("\n")))
    return safe.encode(encoding, DEGRADED).decode(encoding)
