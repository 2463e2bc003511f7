"""The table of verdicts on the images of a run: written to be filled in, and read back."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, one_line
from vlmad.files import write_atomically
from vlmad_calibration.labelled_images import LabelledImage
from vlmad_datasets.tabular import read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_run.rows import ScoreRow
    from vlmad_run.stored_run import StoredRun

NAMES = {
    "image": ("image", "file", "filename", "file name", "path", "photo"),
    "verdict": ("verdict", "my verdict", "label", "truth", "judgement", "judgment"),
    "sha256": ("sha256", "sha 256"),
}
"""What the columns may be called."""
NORMAL = "normal, ok, okay, good, pass, passed, fine, no defect, false alarm"
ANOMALOUS = (
    "anomalous, anomaly, abnormal, defect, defective, bad, fail, failed, ng, nok, ko, not ok, "
    "faulty, damaged, reject, rejected, miss, missed"
)
WORDS = dict.fromkeys(NORMAL.split(", "), False) | dict.fromkeys(ANOMALOUS.split(", "), True)
"""Words, and whether they mean a defect; no numbers, nor yes or no: who writes 1 may mean either.
"""
UNDECIDED = frozenset({"", "?", "-", "unsure", "unclear", "unknown", "skip"})
COLUMNS = ("image", "verdict", "score", "verdict of the run", "picture", "sha256")
"""Of the table that is written: only `verdict` is empty."""


def write_blank(run: StoredRun, path: Path) -> int:
    """Write a table of the scored images without verdicts; return how many there are.

    The nearest to the threshold come first: there a verdict decides most about where it should
    be. Without one the highest scores do, which are the false alarms to be.

    Raises:
        InputError: the run has scored no image.
        OutputError: the file cannot be written.
    """
    rows = [(row.score, row) for row in run.rows() if row.score is not None]
    if not rows:
        raise InputError(f"{run.folder} has scored no image: there is nothing to review")
    limit = run.threshold
    rows.sort(key=lambda each: abs(each[0] - limit.value) if limit else -each[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for score, row in rows:
        picture = run.folder / row.overlay
        shown = _no_formula(str(picture)) if row.overlay and picture.is_file() else ""
        writer.writerow([_no_formula(row.image), "", score, row.verdict, shown, row.sha256])
    write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))
    return len(rows)


def _no_formula(path: str) -> str:
    """Return another name of the same file where a spreadsheet would take this for a formula.

    >>> _no_formula("=1+2.png"), _no_formula("line 1/000.png")
    ('./=1+2.png', 'line 1/000.png')
    """
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


def read_verdicts(path: Path, run: StoredRun) -> list[LabelledImage]:
    """Read a table of verdicts on the images of a run.

    Args:
        path: CSV (or JSON lines) with a column for the image and one for the verdict.
        run: the run.

    Raises:
        InputError: the table cannot be read or a row cannot be used: its line and the remedy.
    """
    table, images = read_rows(path), _images_by_name(run)
    columns = _columns(path, table.columns)
    problems = [problem.what for problem in table.problems]
    found: dict[str, tuple[int, LabelledImage]] = {}
    for line in table.rows:
        cells = {name: line.fields[column] if column else "" for name, column in columns.items()}
        try:
            bad = _means_defect(cells["verdict"])
            if bad is None:
                continue
            row = _find(images, cells["image"], cells["sha256"], path.parent)
            new = LabelledImage(run.file_of(row), bad, row.sha256, row.score)
            before, first = found.setdefault(row.image, (line.line, new))
            if first != new:
                raise InputError(f"{row.image} is judged otherwise in line {before}: keep one")
        except InputError as error:
            problems.append(f"line {line.line}: {error}")
    if problems:
        others = [problem.split(":")[0].removeprefix("line ") for problem in problems[1:]]
        more = f" (and lines {', '.join(others)})" if others else ""
        raise InputError(one_line(f"{path} {problems[0]}{more}", 400))
    if not found:
        raise InputError(f"{path} holds no verdict yet: write normal or anomalous beside images")
    return [image for _, image in found.values()]


def _images_by_name(run: StoredRun) -> dict[str, list[ScoreRow]]:
    """Return images by their paths, each end of these, and their content."""
    found = defaultdict(list)
    for row in run.rows():
        parts = Path(row.image).parts
        names = {os.path.join(*parts[start:]) for start in range(len(parts))}
        for name in {row.image, str(run.file_of(row)), row.sha256, *names}:
            found[name or ""].append(row)
    return found


def _find(
    images: Mapping[str, list[ScoreRow]], name: str, sha256: str, beside: Path
) -> ScoreRow:
    """Return the image that a row of a table means; its paths may start from the table's folder."""
    name, sha256 = name.strip('"'), sha256.casefold()  # as Windows copies a path
    if not name and not sha256:
        raise InputError("it names no image: give its path as in scores.csv")
    path = os.path.normpath(name.replace("\\", "/"))
    places = [name, path, os.path.abspath(path), os.path.abspath(beside / path)]
    found = [images[each] for each in (places if name else [sha256]) if each in images]
    if not found:
        shown = one_line(name or sha256, 80)
        raise InputError(f"{shown} is not among the images of the run: see its scores.csv")
    alike = [row for row in found[0] if row.image in (name, path)] or found[0]
    if name and len(alike) > 1:
        either = f"{alike[0].image} or {alike[1].image}"
        raise InputError(f"{name} may be {either}: give its path as in scores.csv")
    row = alike[0]
    if sha256 not in ("", row.sha256):
        raise InputError(f"{row.image} had another SHA-256 when the run scored it")
    if row.status != "done":
        raise InputError(f"{row.image} was not scored by the run: take out the line")
    return row


def _columns(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Find the columns, whatever of their usual names they have; empty for one that is missing."""
    found = {}
    for what, names in NAMES.items():
        fitting = [column for column in columns if _plain(column) in names]
        if len(fitting) > 1:
            either = " or ".join(f"'{column}'" for column in fitting)
            raise InputError(f"{path}: {either} may be the {what}: keep one")
        found[what] = fitting[0] if fitting else ""
    if not found["verdict"]:
        raise InputError(f"{path} has no column 'verdict'; it needs 'image' and 'verdict'")
    if not found["image"] and not found["sha256"]:
        raise InputError(f"{path} has no column 'image' (or 'sha256') for what is judged")
    return found


def _plain(text: str) -> str:
    """Return a word as it is compared: lower case, single spaces.

    >>> _plain(" Not_OK ")
    'not ok'
    """
    return " ".join(re.sub(r"[_-]+", " ", text.casefold()).split()) or text.strip()


def _means_defect(text: str) -> bool | None:
    """Return what a verdict means, or None if it is left open."""
    word = _plain(text)
    if word in UNDECIDED:
        return None
    if word not in WORDS:
        shown = one_line(text, 80)
        raise InputError(f"'{shown}' is no verdict: write normal or anomalous, or leave it empty")
    return WORDS[word]
