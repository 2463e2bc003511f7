"""Which image of a run a row of a table means."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, one_line
from vlmad_run.texts import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad_run.rows import ScoreRow
    from vlmad_run.stored_run import StoredRun

WHOLE = re.compile(r"/|[A-Za-z]:/")
"""How a path begins that does not start from a folder."""


class RunImages:
    """Finds images of a run by their paths, file names or content.

    Args:
        run: the run.
        beside: the folder of the table, from which its paths may start.
    """

    def __init__(self, run: StoredRun, beside: Path) -> None:
        self._beside = beside
        self._by_path: dict[str, ScoreRow] = {}
        self._by_ending: dict[str, list[ScoreRow]] = defaultdict(list)
        self._by_digest: dict[str, ScoreRow] = {}
        self._views = {part.part: part.views for part in run.parts()}
        for row in run.rows():
            self._by_path |= {row.image: row, str(run.file_of(row)): row}
            self._by_digest.setdefault(row.sha256 or "", row)
            for ending in _endings(row.image):
                self._by_ending[ending].append(row)

    def views_of(self, name: str) -> list[ScoreRow]:
        """Return the images of a part of the run; none if the name is no part's, but an image's."""
        views = self._views.get(name, []) if name not in self._by_path else []
        return [self.find(view, "") for view in views]

    def find(self, name: str, sha256: str) -> ScoreRow:
        """Return the row of the run.

        Args:
            name: a path or file name; empty if the table has none.
            sha256: of the content; likewise.

        Raises:
            InputError: there is no such image, or more than one.
        """
        sha256 = sha256.casefold()
        if not name and not sha256:
            raise InputError("it names no image: give its path as in scores.csv")
        row = self._named(name) if name else None
        if row is None and sha256:  # a table keeps no spaces around a name
            row = self._by_digest.get(sha256)
        if row is None:
            shown = one_line(name or sha256, 80)
            raise InputError(f"{shown} is not among the images of the run: see its scores.csv")
        if sha256 not in ("", row.sha256):
            raise InputError(f"{row.image} had another SHA-256 when the run scored it")
        if row.status != "done":
            raise InputError(f"{row.image} was not scored by the run: take out the line")
        return row

    def _named(self, name: str) -> ScoreRow | None:
        """Return the row of a path, or of the end of one that only one image has."""
        for path in spellings(name):
            for whole in (path, os.path.abspath(path), os.path.abspath(self._beside / path)):
                if whole in self._by_path:
                    return self._by_path[whole]
        endings = (self._by_ending.get(os.path.normpath(path), []) for path in spellings(name))
        alike = next(filter(None, endings), [])
        if len(alike) > 1:
            either = f"{alike[0].image} or {alike[1].image}"
            raise InputError(f"{name} may be {either}: give its path as in scores.csv")
        slashed = name.strip('"').replace("\\", "/")
        if not alike and WHOLE.match(slashed) and not os.path.lexists(slashed):
            # as another machine names it: what the run names must be the end of it
            alike = [self._by_path[e] for e in _endings(slashed) if e in self._by_path]
        return alike[0] if alike else None


def _endings(path: str) -> Iterator[str]:
    """Yield a path without its first folders, from the longest to the file's name."""
    parts = Path(os.path.normpath(path)).parts
    return (os.path.join(*parts[start:]) for start in range(len(parts)))
