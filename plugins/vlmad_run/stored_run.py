"""A run that was kept, read: for whoever goes on from what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlmad.errors import InputError
from vlmad_groups.part_rows import PartRow
from vlmad_run.manifest import MANIFEST, Manifest, read_manifest
from vlmad_run.remote_images import image_at
from vlmad_run.rows import LINES, ScoreRow, read_rows
from vlmad_run.thresholds import Threshold
from vlmad_run.walking import whole_name

PARTS = "parts.jsonl"


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

    def parts(self) -> list[PartRow]:
        """Return what it said of parts; nothing if it judged none.

        Raises:
            InputError: that cannot be read.
        """
        path = self.folder / PARTS
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        return [PartRow.parse(line, f"{path}") for line in lines]

    def file_of(self, row: ScoreRow) -> Path:
        """Return where the image of a row is, or was."""
        return self.place_of(row.image)

    def place_of(self, name: str) -> Path:
        """Return where a file is that is named from the folder of the run's command."""
        return image_at(whole_name(name, self.manifest.folder))


def read_run(path: Path) -> StoredRun:
    """Read a run: its folder, or the manifest in it.

    Raises:
        InputError: it is no run.
    """
    folder = path if path.is_dir() else path.parent
    manifest = read_manifest(folder) if path in (folder, folder / MANIFEST) else None
    if manifest is None:
        raise InputError(f"{path}: no {MANIFEST} of a run, nor the folder of one")
    return StoredRun(folder, manifest)
