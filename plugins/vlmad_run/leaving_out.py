"""What good images score that a memory does not hold: each reference judged by the others.

Thresholds of fitted detectors and p-values are made of these scores. They tend to be higher than
those of new good images, since each is judged by a memory that is one smaller.
"""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

from PIL import ImageEnhance

from vlmad.errors import InputError
from vlmad.images import Source
from vlmad.loading import chunks
from vlmad_run.learning_in_fit import LearnsInFit
from vlmad_run.manifest import GoodScores
from vlmad_run.thresholds import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vlmad.detector import Detector
    from vlmad.types import Features
    from vlmad_run.kinds import Runnable

MOST_SINGLY, GROUPS = 40, 5
"""Of more references so many groups are left out in turn instead of each."""
LEARNED_GROUPS = 3
"""Likewise of any number, where a scorer learns anew from those that are left."""
RATE = 0.05
"""The share of false alarms that an automatic threshold is to allow."""
MARGIN, CHANGED_MARGIN = 1.075, 1.53
"""Of a threshold above the largest of few good scores, or of those of a single changed reference:
5 % false alarms on average; examples/few_references.py measures them."""
LEAST = 4
"""Of so many references one may show a defect."""
CROP, LIGHT = 0.9, (0.9, 1.1)
"""What becomes of a single reference: the side of its crops, the factors of its brightness."""

How: TypeAlias = Literal["left out", "changed"]
"""As in `GoodScores`."""


def judge_references(
    detector: Detector, references: Sequence[Path], class_name: str = "object"
) -> GoodScores:
    """Return what the references score as good images; fits nothing.

    Raises:
        IncompatiblePartsError: the scorer makes no use of references.
        InputError: one cannot be read.
    """
    if len(references) == 1:
        return GoodScores(scores=list(_changed(detector, references[0], class_name)), how="changed")
    return GoodScores(scores=_left_out(detector, references, class_name), how="left out")


def _left_out(detector: Detector, references: Sequence[Path], class_name: str) -> list[float]:
    count = len(references)
    sources = [*detector.sources(references)]
    seen = detector.views_of(sources, count - _group_size(detector, count))
    encoded = detector.encode_references(seen)
    return judge_encoded(detector, list(chunks(encoded, len(seen) // count)), class_name)


def judge_encoded(
    detector: Detector, references: Sequence[Sequence[Features]], class_name: str = "object"
) -> list[float]:
    """Return what each reference scores by a memory of the others.

    Args:
        detector: its own memory is not used.
        references: the features of each, first as it is, then in all views that a memory of the
            others holds.
        class_name: what they show.
    """
    scores, size = [0.0] * len(references), _group_size(detector, len(references))
    groups = list(chunks(range(len(references)), size))
    for group in groups:
        others = [view for i, own in enumerate(references) if i not in group for view in own]
        memory = detector.memory_of(others)
        for index in group:
            score = detector.score(references[index][0], class_name, memory).score
            scores[index] = float(score.max())
    return scores


def _group_size(detector: Detector, count: int) -> int:
    """Return how many references are left out together."""
    if isinstance(detector.scorer, LearnsInFit):
        return math.ceil(count / LEARNED_GROUPS)
    return 1 if count <= MOST_SINGLY else math.ceil(count / GROUPS)


def _changed(detector: Detector, reference: Path, class_name: str) -> Iterator[float]:
    [source] = detector.sources([reference])
    memory = detector.memory_of(detector.encode_references(detector.views_of([source])))
    for features in detector.encode(list(changes_of(source))):
        yield float(detector.score(features, class_name, memory).score.max())


def changes_of(source: Source) -> Iterator[Source]:
    """Yield crops of an image, and the image in other light."""
    image = source.open()
    width, height = (round(CROP * side) for side in image.size)
    for left in (0, image.width - width):
        for top in (0, image.height - height):
            crop = image.crop((left, top, left + width, top + height))
            yield Source(f"{source.name} (crop)", crop)
    for factor in LIGHT:
        yield Source(f"{source.name} (light)", ImageEnhance.Brightness(image).enhance(factor))


def p_value(score: float, good: Sequence[float]) -> float:
    """Return the share of good images at least as high, this one counted among them.

    If it is good and like the others, the value is at most p with probability p; no value is below
    1 / (n + 1) (Vovk et al., Algorithmic Learning in a Random World, 2005).

    >>> p_value(0.9, [0.1, 0.2, 0.3])
    0.25
    """
    return (1 + sum(other >= score for other in good)) / (len(good) + 1)


def conformal_rank(images: int, rate: float) -> int:
    """Return k = ceil((n + 1)(1 - rate)): above the k-th smallest of n scores lies `rate` at most.

    It may be n + 1, which says that n images are too few to promise that rate. The rate counts
    as the decimal number that it is written as, so that 0.05 is exactly one in twenty.

    >>> conformal_rank(19, 0.05), conformal_rank(18, 0.05)
    (19, 19)
    """
    return math.ceil((images + 1) * (1 - Fraction(str(rate))))


def automatic_threshold(good: GoodScores, rate: float = RATE) -> Threshold:
    """Return from which score on an image is anomalous, by good images alone.

    Enough of them promise the rate: then it is their quantile. Fewer cannot; see `above_few`.

    Raises:
        InputError: no score is above 0, so that no share of it is a margin.
    """
    count = len(good.scores)
    rank = conformal_rank(count, rate)
    if good.how == "left out" and rank <= count:
        value = math.nextafter(sorted(good.scores)[rank - 1], math.inf)
        return Threshold(value=value, rule=f"for {rate:.0%} false alarms, by {count} references")
    return Threshold(value=above_few(good), rule=f"from {promise_of(good)}")


def threshold_of(detector: Runnable) -> Threshold | None:
    """Return the threshold that a detector brings: one that it was given, or its references'.

    Raises:
        InputError: no score of its references is above 0.
    """
    stored: Threshold | None = getattr(detector, "threshold", None)
    good: GoodScores | None = getattr(detector, "good", None)  # of one product, where it is known
    return stored or (automatic_threshold(good) if good else None)


def above_few(good: GoodScores) -> float:
    """Return the threshold that lies above few good scores by a margin that was measured.

    Raises:
        InputError: no score is above 0, so that no share of it is a margin.
    """
    highest = max(good.scores)
    if highest <= 0:
        raise InputError("scores that are not above 0 allow no margin: calibrate with --good PATH")
    return float(f"{highest * (CHANGED_MARGIN if good.how == 'changed' else MARGIN):.9g}")


def standing_out(scores: Sequence[float], odd: float) -> list[int]:
    """Return which references may show a defect, by what each scores by a memory of the others.

    That takes four of them at least: among fewer nothing tells which one is the odd one. One that
    scores more than `odd` times the median of the others is (`vlmad_run.kinds.TellsOddReferences`).

    >>> standing_out([0.20, 0.21, 0.19, 0.33], odd=1.35)
    [3]
    """
    if len(scores) < LEAST:
        return []
    others = [[*scores[:index], *scores[index + 1 :]] for index in range(len(scores))]
    return [i for i, own in enumerate(scores) if own > odd * statistics.median(others[i])]


def promise_of(good: GoodScores) -> str:
    """Say what thresholds and p-values of these good images promise."""
    if good.how == "changed":
        return "crops and light of a single reference, which promises no false-alarm rate"
    count = len(good.scores)
    floor = f"{100 / (count + 1):.1f} %"
    return f"{count} references, which promise no false-alarm rate below {floor}"
