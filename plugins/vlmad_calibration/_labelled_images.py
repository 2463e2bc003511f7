"""Which images a threshold is chosen on, and their scores: by a detector, or of a finished run."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vlmad.console import messages
from vlmad.datasets import LABELS
from vlmad.errors import InputError, printable
from vlmad.files import digest
from vlmad_run.finding import find
from vlmad_run.identity import identity
from vlmad_run.leaving_out import judge_references
from vlmad_run.progress import bars
from vlmad_run.stored_run import read_run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from vlmad.datasets import Label
    from vlmad_run.identity import Identity
    from vlmad_run.leaving_out import How
    from vlmad_run.passed_over import PassedOver
    from vlmad_run.references import Assembled

    Reason = Literal["references", "repeated", "others"]

SMALLER_MEMORY = (
    "each reference was judged by a memory of the others, which is one smaller: its score tends to "
    "be higher than that of a new good image, and scores of one memory depend on each other"
)
CHANGED = (
    "the good scores are of crops and other light of a single reference, which promise no rate of "
    "false alarms"
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
    left_out: Reason | None = None
    """Why it does not count: it is a reference, is there twice, or its data set labels it else."""
    score: float | None = None
    failure: str | None = None
    """Why it could not be scored, with its name."""


def find_labelled(
    named: Sequence[str], label: Label
) -> tuple[list[LabelledImage], list[PassedOver]]:
    """Find images of a label; those that a data set calls otherwise are left out.

    Args:
        named: folders, files and patterns. Of folders that are a data set, or lie in one, its
            labels count.
        label: what the images are said to be.

    Returns:
        The images, and what was passed over that is no image of a label.

    Raises:
        InputError: there are none, or a data set cannot be read.
    """
    if not named:
        return [], []
    found, bad = find(named, label), label == "anomalous"
    images = [LabelledImage(path, bad) for path in found.images]
    images += [
        LabelledImage(path, bad, None, "others") for path, why in found.left if why in LABELS
    ]
    return images, [each for each in found.passed_over if each.reason not in LABELS]


def leave_out(
    images: Iterable[LabelledImage], references: Collection[str]
) -> Iterator[LabelledImage]:
    """Leave out references, whose scores would be too low, and images that are there twice.

    Args:
        images: with their hashes: they are known by their content.
        references: the SHA-256 of what the detector was fitted on.

    Raises:
        InputError: an image is called both good and bad.
    """
    first_of: dict[str, LabelledImage] = {}
    for image in images:
        if image.left_out:
            yield image
            continue
        first = first_of.setdefault(image.sha256 or str(image.path), image)
        if first.bad != image.bad:
            raise InputError(
                f"{first.path} is among the good images, and as {image.path} among the bad"
            )
        why: Reason | None = "repeated" if first is not image else None
        yield replace(image, left_out="references" if image.sha256 in references else why)


@dataclass(frozen=True, slots=True)
class ScoredImages:
    """Labelled images with their scores, and what they are scores of."""

    images: Sequence[LabelledImage]
    identity: Identity
    """Of the detector."""
    remarks: tuple[str, ...] = ()
    """What limits what can be learned of them."""
    how: How | None = None
    """By which the good ones are references, if they are."""
    passed_over: tuple[PassedOver, ...] = ()
    """What else was found where they were looked for."""

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
    labelled = list(leave_out(hashed, {each.sha256 for each in assembled.references}))
    counting = [image for image in labelled if not image.left_out]
    results = assembled.detector.stream([i.path for i in counting], assembled.class_name)
    scored = [image for image in labelled if image.left_out]
    with bars(messages()) as progress:
        shown = progress.track(results, len(counting), description="scoring")
        for image, result in zip(counting, shown, strict=True):
            score = None if result.error else result.score
            scored.append(replace(image, score=score, failure=result.error))
    remarks = (SET_SCORES,) if assembled.together else ()
    how: How | None = None
    if assembled.references and all(image.bad for image in counting):
        good, how = leave_one_out(assembled)
        remark = SMALLER_MEMORY if how == "left out" else CHANGED
        scored, remarks = [*scored, *good], (remark, *remarks)
    known = assembled.references, None, assembled.misses
    whose = identity(assembled.detector, assembled.class_name, *known)
    return ScoredImages(scored, whose, remarks, how)


def leave_one_out(assembled: Assembled) -> tuple[list[LabelledImage], How]:
    """Return the references as good images, each with its score by a memory of the others.

    Of a single reference there are its crops and the image in other light instead.

    Returns:
        The images, and how they were judged.

    Raises:
        IncompatiblePartsError: the scorer makes no use of references.
        InputError: one is not the file any more that the detector was fitted on.
    """
    paths = [Path(each.path) for each in assembled.references]
    for path, each in zip(paths, assembled.references, strict=True):
        if _digest(path) != each.sha256:
            raise InputError(
                f"reference {path} is not there as it was fitted on; name good images with --good"
            )
    good = judge_references(assembled.detector, paths, assembled.class_name)
    if good.how == "changed":
        paths = paths * len(good.scores)
    scored = zip(paths, good.scores, strict=True)
    return [LabelledImage(path, bad=False, score=score) for path, score in scored], good.how


def _digest(path: Path) -> str | None:
    try:
        return digest(path)
    except (InputError, OSError):
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
    return ScoredImages(list(labelled), whose)
