"""AUROC, average precision, F1-max and AUPRO of cumulative counts, with bounds.

A curve is a list of groups of scores, from the highest to the lowest, and says how many normal
and anomalous items lie in all groups down to each one. A group of one score is a tie: its items
are called anomalous together, and the metrics are exact. A group may also be a range of scores
(a bin). The order inside it is then unknown, and each metric comes with the least and the
largest value that any order could give:

- AUROC: a pair of a normal and an anomalous item in one group counts 1/2 instead of 0 or 1.
- Average precision: of the j-th best anomalous item in group k, the number of normal items above
  it lies between those of the groups k - 1 and k, and that of anomalous ones between
  T[k-1] + j and T[k]. The sum of (T[k-1] + j) / (T[k-1] + j + F[k]) over j is bounded by an
  integral.
- F1-max: at the end of a group F1 is exact, so the largest of these is reached; inside the group
  it is at most what all its anomalous and none of its normal items would give.
- AUPRO: the overlap never falls with the false positive rate, so that within a group the curve
  stays in the rectangle between its ends.

All leading axes are batches: replicates of a bootstrap are one array. Positives and negatives
may be weighted counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlmad_evaluation.metric import AU_SPRO_LIMITS, AUPRO_LIMITS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Int


class Bounded(NamedTuple):
    """A metric with the least and the largest value that the counts allow."""

    value: Float[np.ndarray, " *b"]
    low: Float[np.ndarray, " *b"]
    high: Float[np.ndarray, " *b"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Cumulative counts over groups of falling scores; the last group completes the totals."""

    false_positives: Float[np.ndarray, "*b k"]
    """Normal items that score at least `thresholds[k]`."""
    true_positives: Float[np.ndarray, "*b k"]
    """Anomalous items that score at least `thresholds[k]`."""
    thresholds: Float[np.ndarray, " k"]
    """The lowest score of each group, falling."""
    tied: Bool[np.ndarray, " k"]
    """Whether all items of a group have one score."""
    overlap: Float[np.ndarray, "*b k"] | None = None
    """The mean over defective regions of the share that scores at least `thresholds[k]`."""

    def rows(self, chosen: slice | int) -> Curve:
        """Return a part of a batch."""
        false, true = self.false_positives[chosen], self.true_positives[chosen]
        overlap = None if self.overlap is None else self.overlap[chosen]
        return Curve(false, true, self.thresholds, self.tied, overlap)


def _before(cumulative: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b k"]:
    """Return the totals of the groups before each one."""
    shifted = np.empty_like(cumulative)
    shifted[..., 0] = 0
    shifted[..., 1:] = cumulative[..., :-1]
    return shifted


def auroc(curve: Curve) -> Bounded:
    """Return the probability that an anomalous item scores above a normal one (ties count 1/2).

    The area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil 1982).
    """
    false, true = curve.false_positives, curve.true_positives
    found, passed = np.diff(true, prepend=0), np.diff(false, prepend=0)
    pairs = true[..., -1] * false[..., -1]
    won = (found * (false[..., -1:] - false + passed / 2)).sum(-1)
    unknown = (found * passed / 2)[..., ~curve.tied].sum(-1)
    return Bounded(won / pairs, (won - unknown) / pairs, (won + unknown) / pairs)


def average_precision(curve: Curve) -> Bounded:
    """Return the sum over thresholds of precision times the recall gained there.

    The definition of scikit-learn (`average_precision_score`), without interpolation.
    """
    false, true = curve.false_positives, curve.true_positives
    total, untied = true[..., -1], ~curve.tied
    found = np.diff(true, prepend=0)
    value = found * _ratio(true, true + false)
    if not untied.any():
        exact = value.sum(-1) / total
        return Bounded(exact, exact, exact)
    low, high = value.copy(), value.copy()
    before, fewest, found, most = (
        a[..., untied] for a in (_before(true), _before(false), found, false)
    )
    # where the classes are mixed evenly, the middle one of the anomalous items
    rank, above = before + (found + 1) / 2, (fewest + most) / 2
    value[..., untied] = found * _ratio(rank, rank + above)
    low[..., untied] = found - most * np.log1p(_ratio(found, before + most))
    high[..., untied] = found * _ratio(before + found, before + found + fewest)
    return Bounded(value.sum(-1) / total, low.sum(-1) / total, high.sum(-1) / total)


def _ratio(
    part: Float[np.ndarray, "*b k"], whole: Float[np.ndarray, "*b k"]
) -> Float[np.ndarray, "*b k"]:
    """Divide; 0 / 0 is 0."""
    ratio: np.ndarray = part / np.maximum(whole, 1e-300)
    return ratio


def f1_max(curve: Curve) -> Bounded:
    """Return the largest F1 over all thresholds, 2 TP / (2 TP + FP + FN)."""
    false, true = curve.false_positives, curve.true_positives
    total = true[..., -1:]
    value = (2 * true / (total + true + false)).max(-1)
    if curve.tied.all():
        return Bounded(value, value, value)
    fewest = np.where(curve.tied, false, _before(false))
    return Bounded(value, value, (2 * true / (total + true + fewest)).max(-1))


def f1_threshold(curve: Curve) -> Float[np.ndarray, " *b"]:
    """Return the threshold of the largest F1, the highest one if several reach it."""
    false, true = curve.false_positives, curve.true_positives
    best = (2 * true / (true[..., -1:] + true + false)).argmax(-1)
    thresholds: np.ndarray = curve.thresholds[best]
    return thresholds


def aupro(curve: Curve, limit: float) -> Bounded:
    """Return the normalised area under the mean region overlap up to a false positive rate.

    MVTec's definition (Bergmann et al., IJCV 2021): over the false positive rate of all normal
    pixels, from 0 to `limit`, divided by `limit`; linear between neighbouring thresholds, and
    pixels of one score pass a threshold together.
    """
    assert curve.overlap is not None
    rate = curve.false_positives / curve.false_positives[..., -1:]
    start, reached = _before(rate), _before(curve.overlap)
    width = np.minimum(rate, limit) - np.minimum(start, limit)
    rise = curve.overlap - reached
    share = np.divide(width, rate - start, out=np.zeros_like(width), where=rate > start)
    area = (width * (reached + share * rise / 2)).sum(-1)
    above = (width * (1 - share / 2) * rise)[..., ~curve.tied].sum(-1)
    below = (width * share / 2 * rise)[..., ~curve.tied].sum(-1)
    return Bounded(area / limit, (area - below) / limit, (area + above) / limit)


CURVE_METRICS: dict[str, Callable[[Curve], Bounded]] = {
    "auroc": auroc,
    "ap": average_precision,
    "f1_max": f1_max,
    **{
        name.removeprefix("pixel_"): partial(aupro, limit=limit)
        for name, limit in (AUPRO_LIMITS | AU_SPRO_LIMITS).items()
    },
}
"""Every metric that a curve determines, by its name without `image_` or `pixel_`."""


def metrics_of(curve: Curve, names: Sequence[str]) -> dict[str, Metric]:
    """Return the named metrics of a single curve, such as `pixel_auroc`, with their bounds."""
    return {name: _metric(curve, name.split("_", 1)[1]) for name in names}


def _metric(curve: Curve, name: str) -> Metric:
    value, low, high = CURVE_METRICS[name](curve)
    error = float(max(high - value, value - low))
    threshold = float(f1_threshold(curve)) if name == "f1_max" else None
    return Metric(value=float(value), error=error, threshold=threshold)


def shared_thresholds(
    normal: Float[np.ndarray, " n"], anomalous: Float[np.ndarray, " p"], bins: int
) -> Float[np.ndarray, " k"]:
    """Choose at most `bins` scores, falling, that split both classes finely; the lowest is one.

    All distinct scores, if they are few enough. Otherwise half of the thresholds have equal
    numbers of anomalous scores between them, which alone keeps the error of AUROC below about
    1 / bins. The others are ranks of normal scores: half of them in equal steps, half in equal
    ratios, for the small false positive rates that AUPRO and average precision hang on. Neither
    class may be empty.
    """
    few = _distinct(normal, anomalous, bins)
    if few is not None:
        return few
    normal_ranks, anomalous_ranks = ranks(len(normal), len(anomalous), bins)
    chosen = [normal[len(normal) - normal_ranks], anomalous[len(anomalous) - anomalous_ranks]]
    return np.unique(np.concatenate(chosen))[::-1]


def ranks(
    normal: int, anomalous: int, bins: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " m"]]:
    """Choose from 1, the highest score, to the lowest of both classes; see `shared_thresholds`."""
    equal = np.linspace(1, normal, bins // 4).astype(int)
    ratios = np.geomspace(1, normal, bins // 4).astype(int)
    return np.concatenate([equal, ratios]), np.linspace(1, anomalous, bins // 2).astype(int)


def _distinct(
    normal: Float[np.ndarray, " n"], anomalous: Float[np.ndarray, " p"], most: int
) -> Float[np.ndarray, " k"] | None:
    """Return all distinct values of two rising arrays, falling; None if there are too many."""
    found = []
    for rising in (normal, anomalous):
        steps = np.flatnonzero(rising[1:] != rising[:-1])
        if len(steps) >= most:
            return None
        found.append(rising[np.append(steps, len(rising) - 1)] if len(rising) else rising)
    values = np.unique(np.concatenate(found))[::-1]
    return values if len(values) <= most else None


def single_valued(
    normal: Float[np.ndarray, " n"],
    anomalous: Float[np.ndarray, " p"],
    thresholds: Float[np.ndarray, " k"],
) -> Bool[np.ndarray, " k"]:
    """Return for each bin whether its only score is its threshold."""
    single = np.ones(len(thresholds), dtype=bool)
    for rising in (normal, anomalous):
        if len(rising):
            next_above = np.searchsorted(rising, thresholds[::-1], "right")[::-1]
            bin_end = np.searchsorted(rising, thresholds[:-1][::-1], "left")[::-1]
            single &= next_above == np.append(len(rising), bin_end)
    return single
