"""What verdicts on images held out are worth, and the gain of one detector over another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

from vlmad_evaluation.bootstrap import Replicates, bootstrap_images, interval, stratified_weights
from vlmad_review.review_document import GainInterval, HeldOutFigures

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

FOLDS = 5
LEAST = 3
"""Images of each class without which nothing is measured: a threshold for one fold is chosen on
a second, judged by a memory of a third."""
REPLICATES = 2000
CONFIDENCE = 0.95


def make_folds(anomalous: Bool[np.ndarray, " n"], seed: int = 0) -> Int[np.ndarray, " n"] | None:
    """Return a fold for each image, each with as even a share of both classes as can be.

    There are five, or fewer where a class has fewer images; None for one image of a class alone.
    """
    count = min([FOLDS, *np.unique(anomalous, return_counts=True)[1].tolist()])
    if count < 2:
        return None
    folds = np.empty(len(anomalous), dtype=int)
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    for fold, (_, inside) in enumerate(splitter.split(anomalous, anomalous)):
        folds[inside] = fold
    return folds


def confidence_of_each(detectors: int) -> float:
    """Return the confidence of one interval of several that hold together with 95 %.

    What is adopted was picked as it looked better, so that an interval of 95 % would lie above
    its true gain too often. Those of all that might have been picked hold together (Bonferroni).

    Args:
        detectors: how many there are to pick from.

    >>> confidence_of_each(2)
    0.975
    """
    return 1 - (1 - CONFIDENCE) / detectors


class HeldOut:
    """Figures of images held out, with the replicates that they are compared by.

    Args:
        anomalous: the person's verdict on each image; at least two of each class.
        scores: the detector's.
        called: whether its threshold calls them anomalous.
        seed: of the draws; what is compared must share it.
    """

    def __init__(
        self,
        anomalous: Bool[np.ndarray, " n"],
        scores: Float[np.ndarray, " n"],
        called: Bool[np.ndarray, " n"],
        seed: int = 0,
    ) -> None:
        drawn = bootstrap_images(anomalous, scores, replicates=REPLICATES, seed=seed)
        self.auroc, self.f1 = drawn["image_auroc"], f1_replicates(anomalous, called, seed)
        self.figures = HeldOutFigures(
            auroc=interval_of(self.auroc),
            f1=interval_of(self.f1),
            false_alarms=int((called & ~anomalous).sum()),
            misses=int((~called & anomalous).sum()),
        )


def gain(first: Replicates, second: Replicates, confidence: float = CONFIDENCE) -> GainInterval:
    """Return first minus second with its BCa interval, over the same draws of the same images."""
    difference = Replicates(
        first.estimate - second.estimate,
        first.values - second.values,
        first.without - second.without,
        first.strata,
        first.error + second.error,
        first.reason or second.reason,
    )
    return interval_of(difference, confidence)


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


def interval_of(found: Replicates, confidence: float = CONFIDENCE) -> GainInterval:
    """Return an estimate with its BCa interval."""
    low, high = interval(found, confidence, method="bca")
    return GainInterval(value=found.estimate, low=low, high=high)
