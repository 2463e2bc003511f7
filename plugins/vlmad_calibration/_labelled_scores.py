"""Which images a threshold is chosen on, and their scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.images import Source, has_vanished

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmad.detector import Detector
    from vlmad_run.execute import Progress


@dataclass(slots=True)
class Selection:
    """Images to be scored, and those that are not, with the reasons."""

    good: list[Path] = field(default_factory=list)
    bad: list[Path] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    """Images that the detector was fitted on: their scores would be too low."""
    repeated: list[str] = field(default_factory=list)
    """Images that are there twice: each tells of the scores to come once."""
    others: list[str] = field(default_factory=list)
    """Images that the data set they lie in calls otherwise."""


@dataclass(slots=True)
class Scores:
    """The scores of labelled images, and why there are none of some."""

    good: list[float] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, image: str, score: float | None, reason: str, is_bad: bool) -> None:
        """Take an image into account."""
        if not isinstance(score, int | float) or not math.isfinite(score):
            self.failures.append(reason or f"{image}: it has no score")
        else:
            (self.bad if is_bad else self.good).append(score)


def select(
    good: Iterable[tuple[Path, str | None]],
    bad: Iterable[tuple[Path, str | None]],
    references: Sequence[tuple[str, str]],
) -> Selection:
    """Leave out references and repeated images, which are known by their content.

    Args:
        good: paths and the SHA-256 of each, None where it cannot be read.
        bad: likewise.
        references: path and SHA-256 of what the detector was fitted on.

    Raises:
        InputError: an image is called both good and bad.
    """
    selection = Selection()
    fitted_on = {sha256 for _, sha256 in references}
    seen: dict[str, tuple[Path, bool]] = {}
    for images, is_bad in ((good, False), (bad, True)):
        for path, sha256 in images:
            first, called_bad = seen.setdefault(sha256 or str(path), (path, is_bad))
            if called_bad != is_bad:
                raise InputError(f"{first} is among the good images, and as {path} among the bad")
            if sha256 in fitted_on:
                selection.references.append(str(path))
            elif first != path:
                selection.repeated.append(str(path))
            else:
                (selection.bad if is_bad else selection.good).append(path)
    return selection


def with_digests(paths: Iterable[Path]) -> list[tuple[Path, str | None]]:
    """Return paths with the SHA-256 of each file, None where it cannot be read."""
    return [(path, _digest(path)) for path in paths]


def _digest(path: Path) -> str | None:
    try:
        return digest(path)
    except InputError:
        return None  # scoring it will say why


def score_images(
    detector: Detector,
    class_name: str,
    selection: Selection,
    batch_size: int,
    progress: Progress,
) -> Scores:
    """Score the images of a selection, all in one stream.

    Raises:
        InputError: the place where the images are has gone away.
    """
    scores = Scores()
    images = [*selection.good, *selection.bad]
    sources = (Source(str(path), path) for path in images)
    for index, result in enumerate(detector.stream(sources, class_name, batch_size)):
        if result.error is not None and has_vanished(Path(result.name)):
            gone = Path(result.name).parent
            raise InputError(f"{gone} is no longer there; start again when it is")
        scores.add(result.name, result.score, result.error or "", index >= len(selection.good))
        progress("scoring", index + 1, len(images))
    return scores


def score_references(
    detector: Detector,
    class_name: str,
    references: Sequence[tuple[str, str]],
    batch_size: int,
    progress: Progress,
) -> list[float]:
    """Score each reference by a memory of the others.

    Raises:
        InputError: there are fewer than two, or one is not the file any more that the detector
            was fitted on.
    """
    for path, sha256 in references:
        if _digest(Path(path)) != sha256:
            raise InputError(
                f"reference {path} is not there as it was fitted on; name good images with --good"
            )
    return detector.leave_one_out(
        [Path(path) for path, _ in references],
        class_name,
        batch_size,
        lambda done, total: progress("leaving one out", done, total),
    )
