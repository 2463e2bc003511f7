"""The run's detector and the reviewed images, each encoded once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from vlmad.streaming import encode_together

from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.images import Source, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jaxtyping import Bool
    from torch import Tensor
    from vlmad_run.execute import Progress

    from vlmad.detector import Detector
    from vlmad.types import Features
    from vlmad_review.verdicts import Judged, Verdicts
    from vlmad_run.repeating import Earlier
    from vlmad_run.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A reviewed image whose file is still the one that the run scored."""

    path: Path
    sha256: str
    anomalous: bool
    score: float
    """What the run said."""


@dataclass(slots=True)
class Selection:
    """Reviewed images that are of use, and why others are not."""

    images: list[Reviewed] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Missing or changed since the run."""
    of_no_use: list[str] = field(default_factory=list)
    """References already, or there twice."""


@dataclass(frozen=True, slots=True)
class Material:
    """All that a review reads, and no more is encoded."""

    detector: Detector
    class_name: str
    threshold: Threshold | None
    images: tuple[Reviewed, ...]
    features: tuple[Features, ...]
    """One for each image."""
    memory: Mapping[str, Tensor] | None
    """Of the detector as it is."""
    references: tuple[tuple[str, str], ...]
    """Path and SHA-256 of what it was fitted on."""
    reference_features: tuple[Features, ...]
    no_references: str = ""
    """Why its memory cannot be made anew with further images, if so."""
    notes: tuple[str, ...] = ()
    scored: int = 0
    """How many different images the run scored that might have been reviewed."""

    @property
    def called(self) -> Bool[np.ndarray, " n"]:
        """Which images the run called anomalous; none without a threshold."""
        limit = float("inf") if self.threshold is None else self.threshold.value
        return np.array([image.score >= limit for image in self.images])

    @property
    def mistakes(self) -> Bool[np.ndarray, " n"]:
        """Which images the run judged wrongly; none without a threshold."""
        wrong: Bool[np.ndarray, " n"] = self.called != self.anomalous
        return wrong if self.threshold is not None else np.zeros_like(wrong)

    @property
    def anomalous(self) -> Bool[np.ndarray, " n"]:
        """Which images show a defect."""
        return np.array([image.anomalous for image in self.images])


def select(
    verdicts: Verdicts, earlier: Earlier, references: Iterable[tuple[str, str]]
) -> Selection:
    """Leave out images that are gone, changed, references or there twice.

    A picture that was saved again is the same one: in a memory it would judge itself.

    Raises:
        InputError: one content is called both normal and anomalous.
    """
    fitted_on = _pictures(references)
    selection = Selection()
    seen: dict[str, Judged] = {}
    for judged in verdicts.judged:
        path = earlier.file_of(judged.row)
        gone = _gone(path, judged.row.sha256)
        if gone:
            selection.gone.append(gone)
            continue
        sha256, picture = str(judged.row.sha256), _picture(path)
        first = seen.setdefault(picture, judged)
        if first.verdict != judged.verdict:
            raise InputError(
                f"{first.row.image} is {first.verdict} by line {first.line}, and the same image "
                f"as {judged.row.image} is {judged.verdict} by line {judged.line}: keep one"
            )
        if fitted_on & {sha256, picture}:
            selection.of_no_use.append(f"{path} is a reference of the run already")
        elif first is not judged:
            selection.of_no_use.append(f"{path} is the same image as {first.row.image}")
        else:
            score = float(judged.row.score or 0.0)
            selection.images.append(Reviewed(path, sha256, judged.anomalous, score))
    return selection


def _pictures(references: Iterable[tuple[str, str]]) -> set[str]:
    """Return what references are known by: their files, and their pixels where they are there."""
    known = list(references)
    there = [Path(path) for path, sha256 in known if not _gone(Path(path), sha256)]
    return {sha256 for _, sha256 in known} | set(map(_picture, there))


def _picture(path: Path) -> str:
    """Return what the pixels of an image are known by, in whatever file they are."""
    image = decode(path)
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def _gone(path: Path, sha256: str | None) -> str:
    """Say what has become of a file, or nothing if it is the same."""
    try:
        return "" if digest(path) == sha256 else f"{path} has changed since the run scored it"
    except InputError as error:
        return str(error)


def prepare(
    earlier: Earlier,
    verdicts: Verdicts,
    options: Mapping[str, Mapping[str, Any]],
    batch_size: int,
    progress: Progress,
) -> tuple[Material, Selection]:
    """Build the run's detector and encode the reviewed images and its references.

    Raises:
        InputError: the detector is not that of the run any more, no image is left, or the
            scorer judges sets of images.
        VlmadError: see `Earlier.detector`.
    """
    detector, references = earlier.build(options)
    notes = _check(earlier, detector)
    selection = select(verdicts, earlier, references)
    if not selection.images:
        raise InputError(f"none of the reviewed images is of use: {_first(selection)}")
    images, (known, why) = tuple(selection.images), _at_hand(detector, references)
    paths = [*(image.path for image in images), *known]
    features = tuple(_encode(detector, paths, batch_size, progress))
    reviewed, remembered = features[: len(images)], features[len(images) :]
    if detector.memory is None and references:
        detector.memory = detector.memory_of(remembered)
    whose = (detector, earlier.class_name, earlier.threshold)
    memory, whole = detector.memory, tuple(references)
    scored = _scored(earlier, references)
    return Material(
        *whose, images, reviewed, memory, whole, remembered, why, notes, scored
    ), selection


def _scored(earlier: Earlier, references: Iterable[tuple[str, str]]) -> int:
    scored = {row.sha256 for row in earlier.rows() if row.status == "done"}
    return len(scored - {sha256 for _, sha256 in references})


def _check(earlier: Earlier, detector: Detector) -> tuple[str, ...]:
    """Refuse a detector whose scores mean something else than those of the run.

    A part of another version is only told: the scores are computed anew and compared.
    """
    if detector.scorer.scope == "set":
        raise InputError(
            f"{detector.assembly.parts['scorer']} judges all images of a run together, so that no "
            "image can be left out: review a run of another scorer"
        )
    found = earlier.differences(detector)
    grave = [each for each in found if ".version (" not in each]
    if grave:
        raise InputError(
            f"the detector is not that of {earlier.folder} any more: {'; '.join(grave[:3])}; "
            "run the images again and review that run"
        )
    return tuple(f"differs from the run: {each}" for each in found)


def _at_hand(
    detector: Detector, references: Sequence[tuple[str, str]]
) -> tuple[list[Path], str]:
    """Return the references that a new memory begins with, or why there can be none."""
    if detector.scorer.references == "none":
        return [], f"{detector.assembly.parts['scorer']} makes no use of references"
    gone = [found for path, sha256 in references if (found := _gone(Path(path), sha256))]
    if gone:
        return [], (
            f"{len(gone)} of the {len(references)} references that it was fitted on are not there "
            f"as they were, and a memory is made of all: {gone[0]}"
        )
    return [Path(path) for path, _ in references], ""


def _encode(
    detector: Detector, paths: Sequence[Path], batch_size: int, progress: Progress
) -> Iterator[Features]:
    sources = (Source(str(path), path) for path in paths)
    for index, encoded in enumerate(encode_together([detector], sources, batch_size)):
        yield encoded[detector]
        progress("encoding", index + 1, len(paths))


def _first(selection: Selection) -> str:
    return next(iter([*selection.gone, *selection.of_no_use]), "there is none")


def check_scores(material: Material, scores: Sequence[float], tolerance: float) -> str:
    """Return a note where the scores of now are not those that the run has written."""
    pairs = zip(scores, material.images, strict=True)
    largest = max(abs(score - image.score) for score, image in pairs)
    if largest <= tolerance:
        return ""
    return f"scores differ from those of the run by up to {largest:.2g}; those of now are used"


