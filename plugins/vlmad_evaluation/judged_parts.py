"""What image metrics are of: images, or parts that are seen in several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_evaluation.result_documents import PartFacts
from vlmad_run.part_grouping import find_parts, parse_grouping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float

    from vlmad import Sample
    from vlmad_evaluation.result_documents import BenchSettings
    from vlmad_evaluation.result_folders import Scored
    from vlmad_run.part_grouping import FoundPart


class NoWholePart(InputError):
    """None of the parts of a cell is whole."""


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """Labels and scores of what is judged as one."""

    labels: Bool[np.ndarray, " n"]
    """True for anomalous."""
    scores: Float[np.ndarray, " n"]
    parts: PartFacts | None = None
    """How many there are, if they are parts."""
    names: tuple[str, ...] = ()
    """Of images or parts."""


def judged_images(scored: Sequence[Scored]) -> LabelledScores:
    """Return images as they are."""
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    scores = np.array([each.row.score for each in scored], dtype=np.float64)
    return LabelledScores(labels, scores, names=tuple(str(each.sample.image) for each in scored))


def judged_parts(
    scored: Sequence[Scored],
    samples: Sequence[Sample],
    settings: BenchSettings,
    references: Collection[Path] = (),
) -> LabelledScores:
    """Return parts: each scores as its worst view, and is anomalous if any of its views is.

    Parts that are not whole are left out and named: those with views that could not be scored, that
    are references, or that are not as many as the settings say.

    Args:
        scored: the images that could be scored.
        samples: all of the cell.
        settings: how images become parts.
        references: of the cell.

    Raises:
        NoWholePart: there is nothing to judge.
        InputError: none of the images belongs to a part.
    """
    score_of = {each.sample.image: float(each.row.score or 0.0) for each in scored}
    anomalous = {sample.image for sample in samples if sample.anomalous}
    whole, left_out = [], []
    for part in find_parts(
        [*(s.image for s in samples), *references], parse_grouping(settings.group)
    ):
        if {*part.images} <= score_of.keys() and not _lacks(part, settings.views):
            whole.append(part)
        elif not {*part.images} <= {*references}:
            left_out.append(part.name)
    if not whole:
        raise NoWholePart(f"none of {len(left_out)} parts is whole, such as {left_out[0]}")
    labels = np.array([not anomalous.isdisjoint(part.images) for part in whole], dtype=bool)
    scores = np.array([max(score_of[i] for i in part.images) for part in whole], dtype=np.float64)
    bad = int(labels.sum())
    facts = PartFacts(normal=len(whole) - bad, anomalous=bad, left_out=left_out)
    return LabelledScores(labels, scores, facts, tuple(part.name for part in whole))


def names_of(images: Sequence[Path], group: str) -> dict[Path, str]:
    """Return for each image what it is judged as: itself, or the part that it is a view of."""
    if not group:
        return {image: str(image) for image in images}
    parts = find_parts(images, parse_grouping(group))
    return {image: part.name for part in parts for image in part.images}


def check_parts(samples: Sequence[Sample], settings: BenchSettings) -> None:
    """Refuse images none of which belongs to a part, before any is scored.

    Raises:
        InputError: there is no part.
    """
    if settings.group and samples:
        find_parts([sample.image for sample in samples], parse_grouping(settings.group))


def _lacks(part: FoundPart, views: int | None) -> bool:
    return bool(part.faults) or views not in (None, len(part.images))


def part_words(settings: BenchSettings) -> Iterator[str]:
    """Say what image metrics are of, if that is parts."""
    if settings.group:
        views = f" of {settings.views} views" if settings.views else ""
        yield (
            f"Image metrics are of parts{views} (--group {settings.group}): a part scores as its "
            "worst view, is anomalous if any view is, and is left out if it is not whole"
        )
