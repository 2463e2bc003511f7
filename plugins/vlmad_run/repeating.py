"""Repeating a run from its manifest, and saying whether the scores agree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError
from vlmad.files import digest
from vlmad_run.fitted import load_fitted, rebuild, references_of
from vlmad_run.manifest import differences, identity
from vlmad_run.recorded import recorded_file
from vlmad_run.rows import Row, from_line
from vlmad_run.run_folder import LINES, MANIFEST, read_manifest
from vlmad_run.thresholds import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad.detector import Detector

TOLERANCE = 1e-5
"""How far two scores may be apart and still agree: what batches and processors change."""

DEEPEST = 4
NAMED = 3
"""Runs below a folder that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the scores of two runs of the same images compare."""

    compared: int
    differing: int
    largest: float
    changed: int
    """Images whose files are not the same any more."""
    missing: int
    """Images that only one of the runs scored."""

    @property
    def agree(self) -> bool:
        """Whether all images are the same, are scored in both runs, and agree."""
        return self.compared > 0 and not (self.differing or self.changed or self.missing)

    def __str__(self) -> str:
        if not (self.compared or self.changed):
            return "nothing to compare: the runs scored no image in common"
        word = "agree" if self.agree else "DIFFER"
        text = f"scores {word}: {self.compared} compared, largest difference {self.largest:.2g}"
        for count, what in (
            (self.differing, f"differ by more than {TOLERANCE:g}"),
            (self.changed, "are of files that have changed"),
            (self.missing, "are in one run only"),
        ):
            text += f", {count} {what}" if count else ""
        return text


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that was kept: its manifest, and the lines beside it."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def class_name(self) -> str:
        """What its images show."""
        return str(self.manifest["identity"].get("class_name", "object"))

    @property
    def threshold(self) -> Threshold | None:
        """From which score on its images were anomalous."""
        value = self.manifest["identity"].get("threshold")
        return None if value is None else Threshold(float(value), "of the manifest")

    @property
    def images(self) -> list[Path]:
        """The files it scored, as they were named from the folder of its command.

        Raises:
            InputError: its lines are not beside the manifest.
        """
        images = [self.file_of(row) for row in self.rows()]
        if not images:
            raise InputError(
                f"{self.folder / LINES} names no images; keep it beside the manifest, "
                "or name the images"
            )
        return images

    def detector(
        self, options: Mapping[str, Mapping[str, Any]]
    ) -> tuple[Detector, list[tuple[str, str]]]:
        """Build the detector, fitted on the same references, and return those too.

        Args:
            options: of the backbone, such as where its weights are on this machine.

        Raises:
            InputError: a reference is missing or has changed.
            VlmadError: a part or weights are not to be had here.
        """
        detector, references = self.build(options)
        if references and detector.memory is None:
            detector.fit([path for path, _ in references])
        return detector, references

    def build(
        self, options: Mapping[str, Mapping[str, Any]]
    ) -> tuple[Detector, list[tuple[str, str]]]:
        """Build the detector as `detector` does, fitted only if it was kept in a file."""
        references = references_of(self.manifest)
        if self.manifest.get("fitted"):
            kept = str(self.manifest["fitted"])
            file = recorded_file(kept, self.manifest.get("fitted_sha256"))
            fitted = load_fitted(file, options)
            return fitted.detector, references
        detector = rebuild(self.manifest, options)
        found = [(str(self._path(path)), sha256) for path, sha256 in references]
        for path, sha256 in found:
            if digest(Path(path)) != sha256:
                raise InputError(f"reference {path} is not the file that the manifest names")
        return detector, found

    def differences(self, detector: Detector) -> list[str]:
        """Return in what a detector, built to repeat the run, still differs (loads weights)."""
        was = dict(self.manifest["identity"])
        now = identity(detector, self.class_name, was.get("references_sha256") or ())
        return differences(was, {**now, "threshold": was.get("threshold")})

    def compare(self, folder: Path) -> Comparison:
        """Compare its scores with those in another run folder."""
        other_run = read_earlier(folder)
        others = {other_run.file_of(row): row for row in other_run.rows()}
        compared = differing = changed = missing = 0
        largest = 0.0
        for row in self.rows():
            other = others.pop(self.file_of(row), None)
            if other is None or row.score is None or other.score is None:
                missing += other is None or row.status != other.status
            elif other.sha256 != row.sha256:
                changed += 1
            else:
                compared += 1
                difference = abs(row.score - other.score)
                differing += not difference <= TOLERANCE
                largest = max(largest, difference)
        return Comparison(compared, differing, largest, changed, missing + len(others))

    def rows(self) -> Iterator[Row]:
        """Yield its rows; of several lines of one image, the last.

        Raises:
            InputError: they cannot be read.
        """
        path = self.folder / LINES
        try:
            lines = path.read_bytes().splitlines() if path.exists() else []
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        rows = {row.image: row for row in map(from_line, lines) if row is not None}
        yield from rows.values()

    def file_of(self, row: Row) -> Path:
        """Return where the image of a row is, or was."""
        return self._path(row.image)

    def _path(self, name: str) -> Path:
        return Path(os.path.abspath(Path(str(self.manifest.get("folder", ".")), name)))


def read_earlier(path: Path) -> Earlier:
    """Read the manifest of a run: the file, or the run's folder.

    Raises:
        InputError: it is no manifest of a run.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists() or (path.is_file() and path.name != MANIFEST):
        raise InputError(f"{path}: no {MANIFEST} of a run, nor the folder of one")
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(f"{folder} holds no {MANIFEST}{_runs_below(folder)}")
    if "parts" not in manifest["identity"]:  # such as of a bench
        raise InputError(f"{folder} is not itself the folder of a run{_runs_below(folder)}")
    return Earlier(folder, manifest)


def _runs_below(folder: Path) -> str:
    """Say which runs a folder holds, if any, down to where those of a bench lie."""
    depths = ("*/" * depth for depth in range(1, DEEPEST + 1))
    runs = [line.parent for depth in depths for line in sorted(folder.glob(depth + LINES))]
    if not runs:
        return ""
    more = f", {', '.join(map(str, runs[1:NAMED]))}" if len(runs) > 1 else ""
    more += f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    return f"; name one of those in it: {runs[0]}{more}"
