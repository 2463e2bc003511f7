"""Good and bad images with their scores: by a detector, or of a finished run."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlmad.console import messages
from vlmad.errors import InputError, printable
from vlmad.files import digest
from vlmad_run.manifest import identity
from vlmad_run.progress import bars
from vlmad_run.stored_run import read_run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from vlmad.detector import Detector
    from vlmad_run.manifest import Identity
    from vlmad_run.references import Assembled

SMALLER_MEMORY = (
    "each reference was judged by a memory of the others, which is one smaller: its score tends to "
    "be higher than that of a new good image, and scores of one memory depend on each other"
)
SET_SCORES = (
    "scores of this scorer depend on all images that are judged together: the threshold holds for "
    "sets like this one only"
)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image that is called good or bad, and its score."""

    path: Path
    bad: bool
    sha256: str | None = None
    """None where it is not known, as of a file that cannot be read."""
    score: float | None = None
    failure: str | None = None
    """Why it could not be scored, with its name."""
    left_out: Literal["references", "repeated"] | None = None
    """Why it does not count: it is a reference, or there twice."""


def leave_out(
    images: Iterable[LabelledImage], references: Collection[str]
) -> list[LabelledImage]:
    """Leave out references, whose scores would be too low, and images that are there twice.

    Args:
        images: with their hashes: they are known by their content.
        references: the SHA-256 of what the detector was fitted on.

    Raises:
        InputError: an image is called both good and bad.
    """
    first_of: dict[str, LabelledImage] = {}
    marked = []
    for image in images:
        first = first_of.setdefault(image.sha256 or str(image.path), image)
        if first.bad != image.bad:
            good, bad = (first, image) if image.bad else (image, first)
            raise InputError(
                f"{good.path} is among the good images, and as {bad.path} among the bad"
            )
        if image.sha256 in references:
            image = replace(image, left_out="references")
        elif first is not image:
            image = replace(image, left_out="repeated")
        marked.append(image)
    return marked


@dataclass(frozen=True, slots=True)
class ScoredImages:
    """Labelled images with their scores, and what they are scores of."""

    images: Sequence[LabelledImage]
    identity: Identity
    """Of the detector."""
    remarks: tuple[str, ...] = ()
    """What limits what can be learned of them."""

    @property
    def failures(self) -> list[str]:
        """Why images could not be scored."""
        counting = (image for image in self.images if not image.left_out)
        return [printable(image.failure) for image in counting if image.failure]

    @property
    def left_out(self) -> dict[str, int]:
        """How many images are left out, by reason."""
        return dict(Counter(image.left_out for image in self.images if image.left_out))

    def scores(self, bad: bool) -> list[float]:
        """Return the scores of the good or the bad images that count."""
        images = (each for each in self.images if each.bad is bad and not each.left_out)
        return [each.score for each in images if each.score is not None]


def score_images(assembled: Assembled, images: Sequence[LabelledImage]) -> ScoredImages:
    """Score images; where no good one counts, each reference by a memory of the others.

    Raises:
        InputError: an image is called both good and bad, or references cannot be judged.
    """
    hashed = (replace(image, sha256=_digest(image.path)) for image in images)
    labelled = leave_out(hashed, {each.sha256 for each in assembled.references})
    counting = [image for image in labelled if not image.left_out]
    results = assembled.detector.stream([i.path for i in counting], assembled.class_name)
    scored = [image for image in labelled if image.left_out]
    with bars(messages()) as progress:
        shown = progress.track(results, len(counting), description="scoring")
        for image, result in zip(counting, shown, strict=True):
            score = None if result.error else result.score
            scored.append(replace(image, score=score, failure=result.error))
    remarks = (SET_SCORES,) if assembled.together else ()
    if assembled.references and all(image.bad for image in counting):
        scored += _score_references(assembled)
        remarks = (SMALLER_MEMORY, *remarks)
    whose = identity(assembled.detector, assembled.class_name, assembled.references)
    return ScoredImages(scored, whose, remarks)


def _score_references(assembled: Assembled) -> list[LabelledImage]:
    known = assembled.detector.references
    if not known:
        raise InputError("the references are not as they were fitted on; name images with --good")
    scores = leave_one_out(assembled.detector, known, assembled.class_name)
    pairs = zip(known, scores, strict=True)
    return [LabelledImage(Path(each.name), False, score=score) for each, score in pairs]


def leave_one_out(
    detector: Detector, references: Sequence[Any], class_name: str = "object"
) -> list[float]:
    """Return the score of each reference by a memory of the others; fits nothing.

    Args:
        detector: fitted or not.
        references: normal images, as `Detector.fit` takes them.
        class_name: what they show.

    Raises:
        IncompatiblePartsError: the scorer makes no use of references.
        InputError: there are fewer than two, or one cannot be read.
    """
    encoded = detector.encode_references(references)
    if len(encoded) < 2:
        raise InputError("leaving one reference out takes at least two")
    scores = []
    for index, own in enumerate(encoded):
        memory = detector.memory_of(encoded[:index] + encoded[index + 1 :])
        scores.append(float(detector.score(own, class_name, memory).score.max()))
    return scores


def _digest(path: Path) -> str | None:
    try:
        return digest(path)
    except InputError:
        return None  # scoring it will tell why


def look_up_scores(folder: Path, images: Sequence[LabelledImage]) -> ScoredImages:
    """Take the scores of a run, of images as they were when it read them.

    Args:
        folder: of the run; images that it does not have are failures.
        images: good and bad ones.

    Raises:
        InputError: it is no run, or an image is called both good and bad.
    """
    run = read_run(folder)
    rows = {run.file_of(row): row for row in run.rows()}
    found = []
    for image in images:
        row = rows.get(Path(os.path.abspath(image.path)))
        if row:
            found.append(replace(image, sha256=row.sha256, score=row.score, failure=row.reason))
        else:
            found.append(replace(image, failure=f"{image.path}: {folder} has no score of it"))
    labelled = leave_out(found, {each.sha256 for each in run.manifest.references})
    whose = run.manifest.identity.model_copy(update={"threshold": None})
    return ScoredImages(labelled, whose)
