"""Labelled images as parts of several views: one label and one score for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_calibration._labelled_images import LabelledImage
from vlmad_run.part_grouping import find_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_calibration._labelled_images import ScoredImages
    from vlmad_run.part_grouping import FoundPart, Grouping


def as_parts(scored: ScoredImages, grouping: Grouping, views: int | None = None) -> ScoredImages:
    """Return parts in place of their images.

    A part is anomalous if any of its views is said to be, and scores as its worst view does. One
    does not count if a view of it does not; one that is not whole is a failure.

    Args:
        scored: images with their scores; those of references that were judged by each other are
            no views of parts.
        grouping: which images are views of one part.
        views: how many a part has; None for as many as there are.

    Raises:
        InputError: none of the images belongs to a part, or they are references.
    """
    if scored.how is not None:
        raise InputError("--group takes good parts that are no references: name them with --good")
    # a data set that is named as good and as bad has each image twice, once left out
    ordered = sorted(scored.images, key=lambda image: image.left_out is None)
    by_path = {image.path: image for image in ordered}
    found = find_parts(dict.fromkeys(image.path for image in scored.images), grouping)
    parts = [_joined(part, [by_path[path] for path in part.images], views) for part in found]
    return replace(scored, images=parts)


def _joined(part: FoundPart, images: Sequence[LabelledImage], views: int | None) -> LabelledImage:
    left_out = next((each.left_out for each in images if each.left_out), None)
    faults = [*part.faults, *(each.failure for each in images if each.failure)]
    if views is not None and len(images) != views:
        faults.append(f"{len(images)} of {views} views")
    scores = [each.score for each in images if each.score is not None]
    whole = len(scores) == len(images) and not faults
    return LabelledImage(
        Path(part.name),
        bad=any(each.bad for each in images),
        left_out=left_out,
        score=max(scores) if whole else None,
        failure=None if whole else f"part {part.name}: {'; '.join(faults) or 'not scored'}",
    )
