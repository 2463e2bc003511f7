"""The rows of a run, and the file ``scores.jsonl`` in which they grow line by line."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from vlmad.errors import OutputError
from vlmad.files import replace_atomically
from vlmad_run.rows import ScoreRow, read_row, to_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


class ScoreLines:
    """Rows by image; of several lines of one image the last counts.

    Args:
        path: the file.
        base: what relative names of images start from.
    """

    def __init__(self, path: Path, base: Path) -> None:
        self.path, self.base = path, base
        self._rows: dict[str, ScoreRow] = {}

    def read(self) -> None:
        """Read the rows; cut off what was not written to its end.

        Raises:
            OutputError: the file cannot be read or cut.
        """
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                os.truncate(self.path, len(whole))
        except OSError as error:
            raise self._cannot_write(error) from error
        self._keep(filter(None, map(read_row, whole.splitlines())))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ScoreRow]:
        return iter(self._rows.values())

    def __contains__(self, image: Path) -> bool:
        return self._key(str(image)) in self._rows

    def get(self, image: Path) -> ScoreRow | None:
        """Return the row of an image, or None if there is none."""
        return self._rows.get(self._key(str(image)))

    def append(self, rows: Sequence[ScoreRow]) -> None:
        """Write the lines of images; if they cannot be written whole, all are taken back.

        Raises:
            OutputError: so it is.
        """
        try:
            with self.path.open("ab") as file:
                end = file.tell()
                try:
                    file.write(b"".join(map(to_line, rows)))
                    file.flush()
                except OSError:
                    with suppress(OSError):
                        os.truncate(self.path, end)
                    raise
        except OSError as error:
            raise self._cannot_write(error) from error
        self._keep(rows)

    def sort(self, images: Iterable[Path]) -> None:
        """Bring the lines into the order of images; those of others follow.

        Raises:
            OutputError: the file cannot be written.
        """
        order = dict.fromkeys([*(self._key(str(image)) for image in images), *self._rows])
        self._rows = {key: self._rows[key] for key in order if key in self._rows}
        replace_atomically(self.path, map(to_line, self))

    def _keep(self, rows: Iterable[ScoreRow]) -> None:
        self._rows |= {self._key(row.image): row for row in rows}

    def _key(self, image: str) -> str:
        return os.path.normpath(self.base / image)

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}")
