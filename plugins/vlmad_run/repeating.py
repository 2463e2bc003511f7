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


def compare(run: StoredRun, other: StoredRun) -> RunComparison:
    """Compare the scores of two runs."""
    ours, theirs = ({run.file_of(row): row for row in run.rows()} for run in (run, other))
    changed, distances = 0, []
    missing = len(ours.keys() ^ theirs.keys())
    for image in ours.keys() & theirs.keys():
        one, another = ours[image], theirs[image]
        if one.score is None or another.score is None:
            missing += one.status != another.status
        elif one.sha256 != another.sha256:
            changed += 1
        else:
            distances.append(abs(one.score - another.score))
    differing = sum(distance > TOLERANCE for distance in distances)
    return RunComparison(len(distances), differing, max(distances, default=0.0), changed, missing)
