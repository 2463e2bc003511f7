"""The table of verdicts on the images of a run: written to be filled in, and read back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.errors import InputError, one_line
from vlmad.files import write_atomically
from vlmad_datasets.sides import side_of
from vlmad_datasets.tabular import read_rows
from vlmad_review._run_images import RunImages
from vlmad_run.csv_cells import csv_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vlmad.datasets import Label
    from vlmad_run.rows import ScoreRow
    from vlmad_run.stored_run import StoredRun

NAMES = {
    "image": ("image", "file", "filename", "file name", "path", "photo"),
    "verdict": ("verdict", "my verdict", "label", "truth", "judgement", "judgment"),
    "sha256": ("sha256", "sha 256"),
}
"""What the columns may be called."""
UNDECIDED = frozenset({"", "?", "-", "unsure", "unclear", "unknown", "skip"})
COLUMNS = ("image", "verdict", "score", "verdict of the run", "picture", "sha256")
"""Of the table that is written: only `verdict` is empty."""


@dataclass(frozen=True, slots=True)
class PersonalVerdict:
    """One image of a run with a person's verdict."""

    row: ScoreRow
    path: Path
    verdict: Label
    line: int
    """Where the table has it."""

    @property
    def anomalous(self) -> bool:
        """Whether it shows a defect."""
        return self.verdict == "anomalous"


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
    parts = {view: part.part for part in run.parts() for view in part.views}
    if parts:  # all views of one together, since each is to have a verdict
        first = {parts.get(row.image): place for place, (_, row) in reversed([*enumerate(rows)])}
        rows.sort(key=lambda each: first[parts.get(each[1].image)])
    lines = [csv_line([*COLUMNS, *(["part"] if parts else [])])]
    for score, row in rows:
        picture = run.folder / row.overlay
        shown = picture if row.overlay and picture.is_file() else ""
        cells = [row.image, "", score, row.verdict, str(shown), row.sha256]
        lines.append(csv_line([*cells, *([parts.get(row.image, "")] if parts else [])]))
    write_atomically(path, b"".join(lines))
    return len(rows)


def read_verdicts(path: Path, run: StoredRun) -> tuple[list[PersonalVerdict], list[str]]:
    """Read a table of verdicts on the images of a run, and name the lines that cannot be used.

    Args:
        path: CSV (or JSON lines) with a column for the image and one for the verdict.
        run: the run.

    Returns:
        The verdicts, and why other lines are left out.

    Raises:
        InputError: the table cannot be read, contradicts itself, or no line can be used.
    """
    table, images = read_rows(path), RunImages(run, path.parent)
    columns = _columns(path, table.columns)
    wrong, contradictions = [problem.what for problem in table.problems], list[str]()
    found: dict[str, PersonalVerdict] = {}
    for row in table.rows:
        cells = {name: row.fields[column] if column else "" for name, column in columns.items()}
        try:
            verdict = _verdict(cells["verdict"])
            if verdict is not None:
                for image in _meant(images, cells, verdict):
                    new = PersonalVerdict(image, run.file_of(image), verdict, row.line)
                    before = found.setdefault(image.image, new)
                    contradictions += _contradiction(before, new)
        except InputError as error:
            wrong.append(f"line {row.line}: {error}")
    _refuse(path, contradictions or ([] if found else wrong))
    if not found:
        raise InputError(f"{path} holds no verdict yet: write normal or anomalous beside images")
    return list(found.values()), [f"{path} {each}" for each in wrong]


def _meant(images: RunImages, cells: Mapping[str, str], verdict: Label) -> Sequence[ScoreRow]:
    """Return the images that a line is about: one, or all views of a part that is good."""
    views = images.views_of(cells["image"])
    if not views:
        return [images.find(cells["image"], cells["sha256"])]
    if verdict == "anomalous":
        raise InputError(f"{cells['image']} is a part: name the views that show a defect")
    return views


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


def _verdict(text: str) -> Label | None:
    if _plain(text) in UNDECIDED:
        return None
    side = side_of(text)  # numbers and yes or no are none: who writes 1 may mean either
    if side is None:
        shown = one_line(text, 80)
        raise InputError(f"'{shown}' is no verdict: write normal or anomalous, or leave it empty")
    return side


def _contradiction(before: PersonalVerdict, new: PersonalVerdict) -> list[str]:
    """Return that a line says something else of an image than one before, if it does."""
    if before.verdict == new.verdict:
        return []
    two = f"{new.verdict} here and {before.verdict} in line {before.line}"
    return [f"line {new.line}: {new.row.image} is {two}: keep one of the two"]


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        others = [problem.split(":")[0].removeprefix("line ") for problem in problems[1:]]
        more = f" (and lines {', '.join(others)})" if others else ""
        raise InputError(one_line(f"{path} {problems[0]}{more}", 400))
