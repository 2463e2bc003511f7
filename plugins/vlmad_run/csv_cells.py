"""CSV as spreadsheets take it: no text is a formula there, and reading gives back what it was."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMULA = re.compile(r"['\s]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet computes, or takes for its own apostrophe."""


def csv_table(rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as CSV."""
    return b"".join(map(csv_line, rows))


def csv_line(values: Iterable[object]) -> bytes:
    r"""Return a line of CSV; it ends in \r\n at first, else csv would leave \r unquoted."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(disarmed(v) if isinstance(v, str) else v for v in values)
    text = buffer.getvalue().removesuffix("\r\n") + "\n"
    return text.encode("utf-8", "backslashreplace")


def disarmed(text: str) -> str:
    """Return a text as a cell that a spreadsheet shows and does not compute.

    >>> disarmed("=1+2.png"), disarmed("-0.5"), disarmed("line 1/000.png")
    ("'=1+2.png", '-0.5', 'line 1/000.png')
    """
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def as_meant(cell: str) -> str:
    """Return the text that `disarmed` made a cell of.

    >>> as_meant("'=1+2.png"), as_meant("'tis.png")
    ('=1+2.png', "'tis.png")
    """
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", text, re.ASCII | re.I) is not None
