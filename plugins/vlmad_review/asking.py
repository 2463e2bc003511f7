"""The table that is to be filled in: first what is most worth a look."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_run.repeating import Earlier
    from vlmad_run.rows import Row

COLUMNS = ("image", "verdict", "score", "run says", "picture", "sha256")
"""Only `verdict` is empty, and only it is read back beside what names the image."""


def most_worth_a_look(earlier: Earlier) -> list[Row]:
    """Return the scored images, the nearest to the threshold first.

    There a verdict tells most of where the threshold should be. Without one the highest scores
    come first, which are the false alarms to be.

    Raises:
        InputError: the run has scored no image.
    """
    rows = [row for row in earlier.rows() if row.status == "done" and row.score is not None]
    if not rows:
        raise InputError(f"{earlier.folder} has scored no image: there is nothing to review")
    threshold = earlier.threshold

    def place(row: Row) -> float:
        score = row.score or 0.0
        return -score if threshold is None else abs(score - threshold.value)

    return sorted(rows, key=place)


def write_blank(earlier: Earlier, path: Path) -> int:
    """Write the table, and return how many images it lists.

    Raises:
        InputError: the run has scored no image.
        OutputError: the file cannot be written.
    """
    rows = most_worth_a_look(earlier)
    write_atomically(path, _table(rows, earlier.folder).encode("utf-8", "backslashreplace"))
    return len(rows)


def _table(rows: Sequence[Row], folder: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        picture = folder / row.overlay
        shown = str(picture) if row.overlay and picture.is_file() else ""
        image, shown = _no_formula(row.image), _no_formula(shown)
        writer.writerow([image, "", row.score, row.verdict, shown, row.sha256])
    return text.getvalue()


def _no_formula(path: str) -> str:
    """Return another name of the same file where a spreadsheet would take this for a formula.

    >>> _no_formula("=1+2.png"), _no_formula("line 1/000.png"), _no_formula("")
    ('./=1+2.png', 'line 1/000.png', '')
    """
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path
