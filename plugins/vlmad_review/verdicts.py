"""What a person says of the images of a run, and which image each row means."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from vlmad.errors import InputError, printable
from vlmad_datasets.tabular import TableRow as Line
from vlmad_datasets.tabular import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmad_run.repeating import Earlier
    from vlmad_run.rows import Row

Verdict: TypeAlias = Literal["normal", "anomalous"]

IMAGE_COLUMNS = ("image", "file", "filename", "file name", "path", "photo")
VERDICT_COLUMNS = ("verdict", "my verdict", "label", "truth", "judgement", "judgment")
DIGEST_COLUMNS = ("sha256", "sha 256")
WORDS: dict[str, Verdict] = {
    **dict.fromkeys(
        ("normal", "ok", "okay", "good", "pass", "passed", "fine", "no defect", "false alarm"),
        "normal",
    ),
    **dict.fromkeys(
        ("anomalous", "anomaly", "abnormal", "defect", "defective", "bad", "fail", "failed"),
        "anomalous",
    ),
    **dict.fromkeys(
        ("ng", "nok", "ko", "not ok", "faulty", "damaged", "reject", "rejected", "miss", "missed"),
        "anomalous",
    ),
}
"""Words for the two sides; numbers and yes or no are none: who says 1 may mean either."""
UNDECIDED = frozenset({"", "?", "-", "unsure", "unclear", "unknown", "skip"})
LINES_NAMED = 8
MOST_SHOWN = 80
DIGEST = re.compile(r"[0-9a-f]{64}")
WHOLE = re.compile(r"/|[A-Za-z]:/")
"""How a path begins that does not start from a folder."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One image of a run with a person's verdict."""

    row: Row
    verdict: Verdict
    line: int
    """Where the table says so."""

    @property
    def anomalous(self) -> bool:
        """Whether the image shows a defect."""
        return self.verdict == "anomalous"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All that a table says."""

    judged: tuple[Judged, ...]
    undecided: int
    """Rows without a verdict."""


def read_verdicts(path: Path, earlier: Earlier) -> Verdicts:
    """Read a table of verdicts on the images of a run.

    Args:
        path: CSV (or JSON lines) with a column for the image and one for the verdict.
        earlier: the run.

    Raises:
        InputError: the table cannot be read or a row cannot be used: its line and the remedy.
    """
    table = read_rows(path)
    columns = _columns(path, table.columns)
    images = _Images(earlier, path.parent)
    problems = [problem.what for problem in table.problems]
    judged: dict[str, Judged] = {}
    undecided = 0
    for line in table.rows:
        try:
            verdict = _verdict(line, columns["verdict"])
            if verdict is None:
                undecided += 1
                continue
            row = images.find(line, columns["image"], columns["sha256"])
            _add(judged, Judged(row, verdict, line.line))
        except InputError as error:
            problems.append(f"line {line.line}: {error}")
    _refuse(path, problems)
    if not judged:
        raise InputError(f"{path} holds no verdict yet: write normal or anomalous beside images")
    return Verdicts(tuple(judged.values()), undecided)


def _columns(path: Path, columns: Sequence[str]) -> dict[str, str | None]:
    """Find the columns, whatever of their usual names they have.

    Raises:
        InputError: one is missing, or several might be meant.
    """
    found: dict[str, str | None] = {}
    for what, names in (
        ("image", IMAGE_COLUMNS),
        ("verdict", VERDICT_COLUMNS),
        ("sha256", DIGEST_COLUMNS),
    ):
        fitting = [column for column in columns if _plain(column) in names]
        if len(fitting) > 1:
            either = " or ".join(f"'{column}'" for column in fitting)
            raise InputError(f"{path}: {either} may be the {what}: keep one")
        found[what] = fitting[0] if fitting else None
    if found["verdict"] is None:
        raise InputError(f"{path} has no column 'verdict'; it needs 'image' and 'verdict'")
    if found["image"] is None and found["sha256"] is None:
        raise InputError(f"{path} has no column 'image' (or 'sha256') that says what is judged")
    return found


def _plain(text: str) -> str:
    """Return a word as it is compared: lower case, single spaces.

    >>> _plain(" Not_OK ")
    'not ok'
    """
    return " ".join(re.sub(r"[_-]+", " ", text.casefold()).split()) or text.strip()


def _shown(text: str) -> str:
    r"""Return a field as a message takes it: short, and doing nothing to a terminal.

    >>> _shown("=cmd|' /C calc'!A0\x1b[2J")
    "=cmd|' /C calc'!A0\\x1b[2J"
    """
    short = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    return printable(short)


def _verdict(line: Line, column: str | None) -> Verdict | None:
    text = line.fields[str(column)]
    word = _plain(text)
    if word in UNDECIDED:
        return None
    if word not in WORDS:
        raise InputError(
            f"'{_shown(text)}' is no verdict: write normal or anomalous, or leave it empty"
        )
    return WORDS[word]


def _add(judged: dict[str, Judged], new: Judged) -> None:
    before = judged.setdefault(new.row.image, new)
    if before.verdict != new.verdict:
        raise InputError(
            f"{new.row.image} is {new.verdict} here and {before.verdict} in line {before.line}: "
            "keep one of the two"
        )


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if not problems:
        return
    others = [problem.split(":")[0].removeprefix("line ") for problem in problems[1:]]
    more = f" (and lines {', '.join(others[:LINES_NAMED])}" if others else ""
    more += f" and {len(others) - LINES_NAMED} more" if len(others) > LINES_NAMED else ""
    raise InputError(f"{path} {problems[0]}{more}{')' if more else ''}")


class _Images:
    """Finds the image of a run that a row of a table means."""

    def __init__(self, earlier: Earlier, beside: Path) -> None:
        self._beside = beside
        self._by_path: dict[str, Row] = {}
        self._by_name: dict[str, list[Row]] = {}
        self._by_digest: dict[str, list[Row]] = {}
        for row in earlier.rows():
            for path in (row.image, str(earlier.file_of(row))):
                self._by_path[path] = row
            self._by_name.setdefault(os.path.basename(row.image), []).append(row)
            self._by_digest.setdefault(row.sha256 or "", []).append(row)

    def find(self, line: Line, image: str | None, sha256: str | None) -> Row:
        """Return the row of the run.

        Raises:
            InputError: there is none, or more than one.
        """
        name = line.fields.get(image or "", "").strip('"')  # as Windows copies a path
        digest = line.fields.get(sha256 or "", "").casefold()
        if digest and not DIGEST.fullmatch(digest):
            raise InputError(
                f"'{_shown(digest)}' is no SHA-256: leave it empty or copy it from scores.csv"
            )
        if not name and not digest:
            raise InputError("it names no image: give its path as in scores.csv")
        row = self._named(name) if name else None
        if digest:
            row = self._of_digest(row, digest)
        if row is None:
            raise InputError(self._unknown(name))
        if row.status != "done":
            raise InputError(f"{row.image} was not scored by the run: take out the line")
        return row

    def _named(self, name: str) -> Row | None:
        """Return the row of a path, or of a file name that only one image has."""
        slashed = name.replace("\\", "/")
        for path in (name, slashed):
            for start in ("", os.curdir, self._beside):
                row = self._by_path.get(os.path.abspath(Path(start, path)) if start else path)
                if row is not None:
                    return row
        ending = os.path.normpath(slashed)
        same = self._by_name.get(os.path.basename(ending), [])
        alike = [row for row in same if f"/{row.image}".endswith(f"/{ending}")]
        if not alike and WHOLE.match(slashed) and not os.path.lexists(slashed):
            # as another machine names it: what the run names must be the end of it
            alike = [row for row in same if ending.endswith(f"/{os.path.normpath(row.image)}")]
        if len(alike) > 1:
            raise InputError(f"{name} may be {_any_of(alike)}: give its path as in scores.csv")
        return alike[0] if alike else None

    def _unknown(self, name: str) -> str:
        """Say that there is no such image, and which has a like file name."""
        own = os.path.basename(os.path.normpath(name.replace("\\", "/"))).casefold()
        alike = [row for n, rows in self._by_name.items() if n.casefold() == own for row in rows]
        text = f"{_shown(name)} is not among the images of the run: "
        if not alike:
            return text + "see its scores.csv"
        return text + f"if {_any_of(alike)} is meant, give that path"

    def _of_digest(self, named: Row | None, digest: str) -> Row | None:
        """Return the row of a content; a name beside it must be of the same content."""
        if named is not None and named.sha256 != digest:
            raise InputError(f"{named.image} had another SHA-256 when the run scored it")
        alike = self._by_digest.get(digest, [])
        return named or (alike[0] if alike else None)


def _any_of(rows: Iterable[Row]) -> str:
    names = [row.image for row in rows]
    return " or ".join(names[:2]) + (f" or {len(names) - 2} more" if len(names) > 2 else "")
