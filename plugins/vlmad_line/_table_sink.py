"""``csv:FILE``: a line for each judgement, of an image or a part, and each alarm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vlmad.errors import InputError, OutputError
from vlmad_line.judgements import Alarm, Judgement
from vlmad_run.csv_cells import csv_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_line.judgements import Message

NOT_IN_CSV = ("format", "regions", "file", "sha256")
COLUMNS = [name for name in Judgement.model_fields if name not in NOT_IN_CSV]
HEAD = csv_line(COLUMNS)
LOOKED_AT = 1 << 20
"""Bytes at the end of a file among which the lines of an interrupted delivery are."""


class TableFile:
    """A table that lines are appended to, each once, also where a delivery was interrupted.

    Args:
        path: the file; one that was moved away is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = -1
        """Where the last delivery ended; anywhere else, something came in between."""

    def __call__(self, messages: Sequence[Message]) -> None:
        """Append a line for each message."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                self._append(messages, file)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error

    def check(self) -> None:
        """Refuse a file that is another table.

        Raises:
            InputError: it is.
        """
        if self._path.is_dir():
            raise InputError(f"{self._path} is a folder; choose a file")
        if self._path.exists():
            with self._path.open("rb") as file:
                start = file.read(len(HEAD))
            if start and not HEAD.startswith(start):
                raise InputError(f"{self._path} is another table; choose another file")

    def _append(self, messages: Sequence[Message], file: BinaryIO) -> None:
        there = set() if file.seek(0, os.SEEK_END) == self._end else self._mend(file)
        lines = [_line(each) for each in messages if each.id.encode() not in there]
        if not file.tell():
            lines.insert(0, HEAD)
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())
        self._end = file.tell()

    def _mend(self, file: BinaryIO) -> set[bytes]:
        """Cut off half a line at the end; return the ids in the lines before."""
        self.check()
        file.seek(max(0, file.tell() - LOOKED_AT))
        start, end = file.tell(), file.read()
        whole = end.rpartition(b"\n")[0]
        file.truncate(start + len(whole) + 1 if whole else start)
        file.seek(0, os.SEEK_END)
        return {line.partition(b",")[0] for line in whole.splitlines()}


def to_table(argument: str) -> TableFile:
    """Return what appends to the file that ``csv:FILE`` names."""
    table = TableFile(Path(argument.partition(":")[2]))
    table.check()
    return table


def _line(message: Message) -> bytes:
    """Return a message as one line, whatever its texts hold."""
    known = message.model_dump(exclude=set(NOT_IN_CSV))
    if isinstance(message, Alarm):
        known["answer"] = f"ALARM {message.state}"
    cells = (known.get(column) for column in COLUMNS)
    return csv_line(_in_one_line(cell) if isinstance(cell, str) else cell for cell in cells)


def _in_one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
