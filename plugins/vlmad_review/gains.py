"""What verdicts out of fold are worth, and the gain of one detector over another."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad.errors import InputError
from vlmad_evaluation.bootstrap import (
    Replicates,
    bootstrap_images,
    interval,
    stratified_weights,
    with_interval,
)
from vlmad_evaluation.image_metrics import image_metrics

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from vlmad_review.trials import Outcome

REPLICATES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, or a gain with the one of `confidence_of_each`."""

    value: float
    low: float
    high: float

    @property
    def is_gain(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a detector is worth on the reviewed images."""

    auroc: Estimate
    f1: Estimate
    false_alarms: int
    misses: int
    normal: int
    anomalous: int

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gains:
    """By how much a detector is better than another, in paired draws of the same images."""

    auroc: Estimate
    f1: Estimate


class Measured:
    """An outcome's figures, with the replicates that they are compared by.

    Args:
        anomalous: what a person says of each image; at least two of each class.
        outcome: what the detector says.
        seed: of the draws; what is compared must share it.
    """

    def __init__(self, anomalous: Bool[np.ndarray, " n"], outcome: Outcome, seed: int) -> None:
        self.outcome = outcome
        area = image_metrics(anomalous, outcome.scores)["image_auroc"]
        drawn = bootstrap_images(anomalous, outcome.scores, replicates=REPLICATES, seed=seed)
        self.auroc, self.f1 = drawn["image_auroc"], f1_replicates(anomalous, outcome.called, seed)
        found = with_interval(area, self.auroc)
        assert found.value is not None
        self.figures = Figures(
            Estimate(found.value, float(found.low or 0.0), float(found.high or 0.0)),
            _estimate(self.f1),
            int((outcome.called & ~anomalous).sum()),
            int((~outcome.called & anomalous).sum()),
            int((~anomalous).sum()),
            int(anomalous.sum()),
        )

    def over(self, other: Measured, confidence: float = CONFIDENCE) -> Gains:
        """Return the gains over another outcome on the same images."""
        pairs = (self.auroc, other.auroc), (self.f1, other.f1)
        return Gains(*(difference(own, before, confidence) for own, before in pairs))


def confidence_of_each(outcomes: int) -> float:
    """Return the confidence of one interval of several that hold together with 95 %.

    What is adopted was picked as it looked better, so that an interval of 95 % would lie above
    its true gain too often. Those of all that might have been picked hold together (Bonferroni).

    Args:
        outcomes: how many there are to pick from.

    >>> round(confidence_of_each(4), 4)
    0.9875
    """
    return 1 - (1 - CONFIDENCE) / outcomes


def f1_replicates(
    anomalous: Bool[np.ndarray, " n"], called: Bool[np.ndarray, " n"], seed: int
) -> Replicates:
    """Return F1, 2 TP / (2 TP + FP + FN), of verdicts, of drawn ones, and with each left out.

    The verdicts stay as they are; thresholds are not chosen anew in each draw.
    """
    strata, count = anomalous.astype(int), len(anomalous)
    drawn = stratified_weights(strata, REPLICATES, seed)
    weights = np.concatenate([np.ones((1, count)), drawn, 1 - np.eye(count)])
    found = 2 * (weights @ (called & anomalous))
    values: Float[np.ndarray, " b"] = found / (found + weights @ (called != anomalous))
    estimate, draws, without = np.split(values, [1, REPLICATES + 1])
    return Replicates(float(estimate[0]), draws, without, strata, 0.0)


def difference(
    first: Replicates, second: Replicates, confidence: float = CONFIDENCE
) -> Estimate:
    """Return first minus second with its BCa interval over paired draws.

    Raises:
        InputError: the two are not replicates of the same images.
    """
    if not np.array_equal(first.strata, second.strata) or len(first.values) != len(second.values):
        raise InputError("a gain is measured on the same images, in the same draws")
    return _estimate(
        Replicates(
            first.estimate - second.estimate,
            first.values - second.values,
            first.without - second.without,
            first.strata,
            first.error + second.error,
            first.reason or second.reason,
        ),
        confidence,
    )


def _estimate(found: Replicates, confidence: float = CONFIDENCE) -> Estimate:
    return Estimate(found.estimate, *interval(found, confidence, method="bca"))
