"""A run that was kept, read: for whoever goes on from what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vlmad.errors import InputError
from vlmad_run.manifest import MANIFEST, Manifest, read_manifest
from vlmad_run.rows import LINES, ScoreRow, read_rows
from vlmad_run.thresholds import Threshold

DEEPEST = 4
"""As far down are runs below a folder looked for: where those of a bench lie."""
NAMED = 3
"""Runs below a folder that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run folder: its manifest, and the rows beside it."""

    folder: Path
    manifest: Manifest

    @property
    def class_name(self) -> str:
        """What its images show."""
        return self.manifest.identity.class_name

    @property
    def threshold(self) -> Threshold | None:
        """From which score on its images were anomalous."""
        value = self.manifest.identity.threshold
        return None if value is None else Threshold(value=value, rule="of the manifest")

    @property
    def images(self) -> list[Path]:
        """The files that it scored.

        Raises:
            InputError: its rows are not beside the manifest.
        """
        images = [self.file_of(row) for row in self.rows()]
        if not images:
            raise InputError(
                f"{self.folder / LINES} names no images; keep it beside the manifest, "
                "or name the images"
            )
        return images

    def rows(self) -> list[ScoreRow]:
        """Return its rows, one for each image.

        Raises:
            InputError: they cannot be read.
        """
        return read_rows(self.folder)

    def file_of(self, row: ScoreRow) -> Path:
        """Return where the image of a row is, or was."""
        return self.place_of(row.image)

    def place_of(self, name: str) -> Path:
        """Return where a file is that is named from the folder of the run's command."""
        return Path(os.path.abspath(Path(self.manifest.folder, name)))


def read_run(path: Path) -> StoredRun:
    """Read a run: its folder, or the manifest in it.

    Raises:
        InputError: it is no run; those below it are named.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists() or (path.is_file() and path.name != MANIFEST):
        raise InputError(f"{path}: no {MANIFEST} of a run, nor the folder of one")
    below = _runs_below(folder)
    if not (folder / LINES).exists() and below:  # such as a bench, whose manifest is another
        raise InputError(f"{folder} is not itself the folder of a run{below}")
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(f"{folder} holds no {MANIFEST}")
    return StoredRun(folder, manifest)


def _runs_below(folder: Path) -> str:
    """Return a clause that names which runs a folder holds, if any."""
    depths = ("*/" * depth for depth in range(1, DEEPEST + 1))
    runs = [line.parent for depth in depths for line in sorted(folder.glob(depth + LINES))]
    if not runs:
        return ""
    more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    return f"; name one of those in it: {', '.join(map(str, runs[:NAMED]))}{more}"
