"""Compare two detectors on the same images: DeLong, paired bootstrap, max-T."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtr, ndtri

from vlmad.errors import InputError
from vlmad_documents.documents import Document, FileName
from vlmad_evaluation.bootstrap import Replicates, interval
from vlmad_evaluation.labelled_maps import labelled_scores
from vlmad_evaluation.metric import Reason, Share

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy.typing import ArrayLike


class Comparison(Document):
    """The difference of a metric between two detectors, first minus second."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: Share | None = None
    """Two-sided, of no difference; before any correction."""
    method: Literal["DeLong", "paired bootstrap"] = "paired bootstrap"
    reason: Reason = ""
    """Why something is missing."""
    categories: list[FileName] = Field(default_factory=list)
    """Those that a difference of averages is over: the ones that both have."""

    def __str__(self) -> str:
        if self.difference is None:
            return f"undefined: {self.reason}"
        text = f"{self.difference:+.3f}"
        if self.low is not None and self.high is not None:
            text += f" [{self.low:+.3f}, {self.high:+.3f}]"
        p = self.reason if self.p_value is None else f"p = {self.p_value:.2g}"
        return f"{text}, {p} ({self.method})"


def compare_auroc(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, confidence: float = 0.95
) -> Comparison:
    """Compare the image AUROC of two detectors on the same images.

    DeLong, DeLong and Clarke-Pearson, Biometrics 1988, section 3, computed from midranks as by
    Sun and Xu, IEEE Signal Processing Letters 2014. The test is asymptotic: with fewer than
    about ten images of a class take the bootstrap.

    Raises:
        InputError: see `image_metrics`; or `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence}; give a number between 0 and 1, as 0.95")
    truth, one = labelled_scores(labels, first)
    _, other = labelled_scores(labels, second)
    fewest = min(np.count_nonzero(truth), np.count_nonzero(~truth))
    if fewest < 2:
        return Comparison(method="DeLong", reason="fewer than two images of a class")
    areas, covariance = delong_covariance(truth, np.stack([one, other]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-15:  # equal rankings, up to rounding; or two that are both perfect
        same = abs(difference) < 1e-12
        reason: Reason = "" if same else "the images of a class all rank alike"
        p_value, reach = (1.0 if same else None), 0.0
    else:
        reason, reach = "", float(ndtri((1 + confidence) / 2)) * variance**0.5
        p_value = float(2 * ndtr(-abs(difference) / variance**0.5))
    return Comparison(
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        p_value=p_value,
        method="DeLong",
        reason=reason,
    )


def delong_covariance(
    labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, "d n"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Return the AUROCs of d detectors on the same images and their covariance.

    Each class needs two images at least.
    """
    from scipy.stats import rankdata  # which takes a second to import

    ranks = rankdata(scores, axis=1)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    # the share of the other class that each image beats (a tie counts 1/2)
    of_positives = (ranks[:, labels] - rankdata(scores[:, labels], axis=1)) / negatives
    of_negatives = 1 - (ranks[:, ~labels] - rankdata(scores[:, ~labels], axis=1)) / positives
    covariance = np.cov(of_positives) / positives + np.cov(of_negatives) / negatives
    return of_positives.mean(1), np.atleast_2d(covariance)


def compare_replicates(
    first: Replicates, second: Replicates, confidence: float = 0.95
) -> Comparison:
    """Compare two detectors by the paired bootstrap, for any metric of images or pixels.

    Both must have been resampled from the same images in the same order with the same seed, so
    that replicate i of both is the same draw. The interval is that of percentiles; the p-value
    is twice the smaller share of differences on one side of 0, each share as (count + 1) /
    (replicates + 1), so that it inverts the same interval and is never 0 (Davison and Hinkley
    1997, section 4.4). The bounds on binning do not enter; `Replicates.error` says how far both
    are from exact.

    Raises:
        InputError: the two are not replicates of the same images.
    """
    alike = len(first.values) == len(second.values)
    if not alike or not np.array_equal(first.strata, second.strata):
        raise InputError("two detectors are compared on the same images, with the same replicates")
    difference = first.estimate - second.estimate
    reason = first.reason or second.reason
    if reason:
        return Comparison(difference=difference, reason=reason)
    joint = Replicates(
        difference,
        first.values - second.values,
        first.without - second.without,
        first.strata,
        first.error + second.error,
    )
    low, high = interval(joint, confidence, "percentile")
    sides = (np.sum(joint.values <= 0), np.sum(joint.values >= 0))
    p_value = min(1.0, 2 * (min(sides) + 1) / (len(joint.values) + 1))
    return Comparison(difference=difference, low=low, high=high, p_value=float(p_value))


def max_t(
    differences: Float[np.ndarray, " m"], draws: Float[np.ndarray, "m b"]
) -> Float[np.ndarray, " m"]:
    """Adjust p-values of m comparisons jointly, by what resampling says of them together.

    Westfall and Young 1993, the step-down max-T method: a difference in standard errors is held
    against the largest that the draws show, around their own centre, among it and all smaller
    ones. What is correlated is corrected less, and the smallest p is 1 / (b + 1) however many
    comparisons there are.

    Args:
        differences: of two detectors each.
        draws: the same on b resampled sets; draw i is of the same images in all comparisons of
            a category.

    Returns:
        For each a p-value; 1 for no difference in any draw, and NaN for one that is the same,
        and not 0, in all draws.

    >>> draws = np.random.default_rng(0).normal(0, 1, (2, 999))
    >>> max_t(np.array([0.0, 9.0]), draws + [[0], [9]]).round(3)
    array([1.   , 0.001])
    """
    errors = draws.std(axis=1)
    varies = errors > 1e-12
    adjusted = np.where(varies | (np.abs(differences) > 1e-12), np.nan, 1.0)
    found = np.abs(differences[varies]) / errors[varies]
    order = np.argsort(-found, kind="stable")
    spread = np.abs(draws - differences[:, None])[varies][order] / errors[varies][order, None]
    largest = np.maximum.accumulate(spread[::-1], axis=0)[::-1]  # among it and all smaller ones
    above = np.sum(largest >= found[order, None], axis=1)
    p_values = np.maximum.accumulate((above + 1) / (draws.shape[1] + 1))
    adjusted[np.flatnonzero(varies)[order]] = p_values
    return adjusted
