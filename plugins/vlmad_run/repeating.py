"""Repeating a run from its manifest, and whether the scores agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError
from vlmad.files import digest
from vlmad_run._rebuilding import rebuild, recorded_file
from vlmad_run.kinds import engine_for
from vlmad_run.manifest import Reference
from vlmad_run.references import Assembled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad_run.kinds import Runnable
    from vlmad_run.stored_run import StoredRun

TOLERANCE = 1e-5
"""How far two scores may be apart and still agree: what batches and processors change."""


def repeat(
    run: StoredRun, options: Mapping[str, Mapping[str, Any]], fit: bool = True
) -> Runnable:
    """Build the detector of a run, fitted on the same references.

    Args:
        run: what is repeated.
        options: what is to differ, such as where the backbone's weights are on this machine.
        fit: whether to fit it; a detector that was kept in a file is fitted in any case.

    Raises:
        InputError: a reference or a file is missing or has changed.
        VlmadError: a part or weights are not to be had here.
    """
    manifest = run.manifest
    if manifest.model is not None:
        file = recorded_file(manifest.model, manifest.model_sha256)
        return engine_for(file)(file, options)
    detector = rebuild(manifest, options)
    references = [
        Reference(path=str(run.place_of(each.path)), sha256=each.sha256)
        for each in manifest.references
    ]
    for each in references:
        if digest(run.place_of(each.path)) != each.sha256:
            raise InputError(f"reference {each.path} is not the file that the manifest names")
    if references and fit:
        detector.fit([each.path for each in references])
    return Assembled(detector, run.class_name, references, seed=manifest.seed)


@dataclass(frozen=True, slots=True)
class RunComparison:
    """How the scores of two runs compare."""

    distances: list[float]
    """Of the scores of each image that both have scored."""
    changed: int
    """Images whose files are not the same any more."""
    missing: int
    """Images that only one of the runs scored."""

    @property
    def agree(self) -> bool:
        """Whether all images are the same, are scored in both runs, and agree."""
        apart = self.changed or self.missing or max(self.distances, default=1.0) > TOLERANCE
        return not apart

    def __str__(self) -> str:
        if not (self.distances or self.changed):
            return "nothing to compare: the runs scored no image in common"
        word = "agree" if self.agree else "DIFFER"
        largest = max(self.distances, default=0.0)
        return (
            f"scores {word}: {len(self.distances)} compared, largest difference {largest:.2g}"
            + (f", {self.changed} are of files that have changed" if self.changed else "")
            + (f", {self.missing} are in one run only" if self.missing else "")
        )


def compare(run: StoredRun, other: StoredRun) -> RunComparison:
    """Compare the scores of two runs of the same images."""
    ours, theirs = ({each.file_of(row): row for row in each.rows()} for each in (run, other))
    pairs = [(ours[image], theirs[image]) for image in ours.keys() & theirs.keys()]
    missing = len(ours.keys() ^ theirs.keys()) + sum(a.status != b.status for a, b in pairs)
    scored = [(a, b) for a, b in pairs if a.score is not None and b.score is not None]
    same = [(a, b) for a, b in scored if a.sha256 == b.sha256]
    distances = [abs((a.score or 0) - (b.score or 0)) for a, b in same]
    return RunComparison(distances, len(scored) - len(same), missing)
