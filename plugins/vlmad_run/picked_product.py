"""What is known of an image's product where a detector has several, for whoever writes it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vlmad.types import Result
from vlmad_run.leaving_out import automatic_threshold

if TYPE_CHECKING:
    from vlmad_run.manifest import GoodScores
    from vlmad_run.rows import Verdict
    from vlmad_run.thresholds import Threshold

UNKNOWN = "unknown"
"""The product of an image that resembles none."""


class Picked(NamedTuple):
    """Which product an image shows."""

    product: str
    margin: float | None
    """By which share it is nearer than the next product; None where there is one product only."""
    known: bool
    good: GoodScores | None
    """What references of that product score, as `Assembled.good`."""

    @property
    def name(self) -> str:
        """The product, as rows have it."""
        return self.product if self.known else UNKNOWN


@dataclass(frozen=True, slots=True)
class ProductResult(Result):
    """What a detector of several products makes of an image."""

    picked: Picked | None = None


def verdict(score: float, given: Threshold | None, picked: Picked | None) -> Verdict:
    """Judge a score by the threshold that is given, or by that of its product's references."""
    if picked is not None and not picked.known:
        return "unknown"
    good = picked.good if picked else None
    threshold = given or (automatic_threshold(good) if good else None)
    return threshold.verdict(score) if threshold else ""
