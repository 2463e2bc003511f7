"""The lines of a run's ``scores.jsonl``: known by where they are, the rows stay on the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import OutputError
from vlmad.files import replace_atomically
from vlmad_run.rows import ScoreRow, read_row, to_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence



class ScoreLines:
    """Lines that grow at the end; of several of one image the last counts.

    Args:
        path: the file.
        base: what relative names of images start from.
    """

    def __init__(self, path: Path, base: Path) -> None:
        self.path, self.base = path, base
        self._places: dict[str, int] = {}
        """From an image's whole name to where its line begins."""

    def find(self) -> None:
        """Note where the lines are; cut off what was not written to its end.

        Raises:
            OutputError: the file cannot be read or cut.
        """
        self._places.clear()
        try:
            place = 0
            with self.path.open("ab+") as file:
                file.seek(0)
                for line in file:
                    if not line.endswith(b"\n"):
                        file.truncate(place)
                        break
                    row = read_row(line)
                    if row is not None:
                        self._places[self._key(row.image)] = place
                    place += len(line)
        except OSError as error:
            raise self._cannot_write(error) from error

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image: Path) -> bool:
        return self._key(str(image)) in self._places

    def get(self, image: str | Path) -> ScoreRow | None:
        """Return the row of an image, or None if there is none."""
        place = self._places.get(self._key(str(image)))
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            return read_row(file.readline())

    def append(self, rows: Sequence[ScoreRow]) -> None:
        """Write the lines of images; if they cannot be written whole, all are taken back.

        Raises:
            OutputError: so it is.
        """
        lines = [to_line(row) for row in rows]
        try:
            with self.path.open("ab") as file:
                place = file.tell()
                try:
                    file.write(b"".join(lines))
                    file.flush()
                except OSError:
                    with suppress(OSError):
                        os.truncate(self.path, place)
                    raise
        except OSError as error:
            raise self._cannot_write(error) from error
        for row, line in zip(rows, lines, strict=True):
            self._places[self._key(row.image)] = place
            place += len(line)

    def sort(self, images: Iterable[Path]) -> None:
        """Bring the lines into the order of images; those of others follow.

        Raises:
            OutputError: the file cannot be written.
        """
        keys = dict.fromkeys([*(self._key(str(image)) for image in images), *self._places])
        replace_atomically(self.path, map(to_line, self._rows(keys)))
        self.find()

    def __iter__(self) -> Iterator[ScoreRow]:
        return self._rows(list(self._places))

    def _rows(self, keys: Iterable[str]) -> Iterator[ScoreRow]:
        return (row for row in map(self.get, keys) if row is not None)

    def _key(self, image: str) -> str:
        return os.path.normpath(self.base / image)

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}")
