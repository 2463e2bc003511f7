"""All pixel metrics of a category, exact, from one sort of its scores.

Only the scores of anomalous pixels matter as thresholds. Between two of them no anomalous pixel
passes: AUROC and average precision gain nothing there, F1 falls, and the mean overlap is
constant. So the normal scores are sorted without carrying anything along, the anomalous ones
(few) with the weights of their regions, and the counts at each distinct anomalous score are
looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmad_evaluation.curves import Curve, metrics_of, shared_thresholds, single_valued
from vlmad_evaluation.labelled_maps import (
    LabelledMap,
    Maps,
    Masks,
    Resolution,
    describe_resolution,
    labelled_maps,
)
from vlmad_evaluation.metric import AUPRO_200, PIXEL_METRICS, Metric, Reason, undefined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jaxtyping import Bool, Float, Int

EXACT_METRICS = tuple(name for name in PIXEL_METRICS if name != AUPRO_200)


@dataclass(frozen=True, slots=True)
class PixelEvaluation:
    """The pixel metrics of one category, and what they were computed from."""

    metrics: Mapping[str, Metric]
    resolution: str
    images: int
    """Images with a mask, or known to be normal."""
    regions: int
    left_out: int
    """Images without a mask that are not known to be normal."""
    vanished: int = 0
    """Masks whose defects fell between the pixels of the resolution; they count as normal."""


@dataclass(frozen=True, slots=True)
class SortedPixels:
    """The scores of all pixels of a category in rising order, in one precision."""

    normal: Float[np.ndarray, " n"]
    anomalous: Float[np.ndarray, " p"]
    weights: Float[np.ndarray, " p"]
    """Of each anomalous pixel, 1 / (area of its region)."""
    regions: int

    @classmethod
    def of(cls, images: Iterable[LabelledMap]) -> SortedPixels:
        """Sort the pixels of some images; region weights follow their pixels."""
        normal, anomalous, weights = [], [], [np.empty(0)]
        regions = 0
        for image in images:
            normal.append(image.normal)
            anomalous.append(image.scores[image.mask])
            weight, count = image.weights()
            weights.append(weight)
            regions += count
        nothing = np.empty(0, dtype=np.float32)
        ranked = np.concatenate([nothing, *normal])  # float64 if any part is
        scores = np.concatenate([nothing, *anomalous])
        ranked.sort()
        order = scores.argsort()
        return cls(ranked, scores[order], np.concatenate(weights)[order], regions)

    @property
    def missing(self) -> Reason:
        """The class that no pixel belongs to, as a reason for undefined metrics; or nothing."""
        if not len(self.anomalous):
            return "no anomalous pixel"
        return "" if len(self.normal) else "no normal pixel"

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        ends = [each[[0, -1]] for each in (self.normal, self.anomalous) if len(each)]
        lowest = min((low for low, _ in ends), default=np.inf)
        return lowest, max((high for _, high in ends), default=-np.inf)

    def thresholds(self, bins: int) -> tuple[Float[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
        """Choose thresholds for an `ImageCurveCollector`, and tell which bins hold one score."""
        chosen = shared_thresholds(self.normal, self.anomalous, bins)
        return chosen, single_valued(self.normal, self.anomalous, chosen)

    def curve(self) -> Curve:
        """Return counts and overlap at all thresholds that matter.

        Each distinct anomalous score makes two groups: the normal scores above it and below the
        previous one, and those equal to it.
        """
        scores = self.anomalous[::-1]
        last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
        distinct, total = scores[last], len(self.normal)
        # looked up in rising order, in which neighbouring searches share their path
        below = np.searchsorted(self.normal, distinct[::-1], "left")[::-1]
        up_to = np.searchsorted(self.normal, distinct[::-1], "right")[::-1]
        found, overlap = last + 1, self.weights[::-1].cumsum()[last] / self.regions
        # the last group holds the normal scores below all anomalous ones
        false = np.append(_interleave(total - up_to, total - below), total)
        true = np.append(_interleave(_previous(found), found), len(scores))
        reached = np.append(_interleave(_previous(overlap), overlap), overlap[-1])
        # F1 is never largest in a group of normal scores alone: its threshold is a placeholder
        thresholds = np.append(np.repeat(distinct, 2), distinct[-1])
        return Curve(false, true, thresholds, np.ones(len(false), dtype=bool), reached)


def _previous(cumulative: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    return np.append(0, cumulative[:-1])


def _interleave(
    first: Float[np.ndarray, " k"], second: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " 2k"]:
    return np.stack([first, second], axis=1).ravel().astype(np.float64)


def pixel_metrics(
    maps: Maps,
    masks: Masks,
    *,
    labels: Sequence[bool] | None = None,
    resolution: Resolution = None,
) -> PixelEvaluation:
    """Return all pixel metrics of one category, exact: AUROC, AP, F1-max, AUPRO.

    `pixel_aupro_30` and `pixel_aupro_05` are MVTec's definition with limits 0.30 and 0.05, equal
    scores taken together; `pixel_aupro_200_thresholds` is what many papers call AUPRO instead
    (see `EqualSteps`). Metrics are undefined where there is no mask, no anomalous or no
    normal pixel.

    Args:
        maps: one for each image, higher is more anomalous; float32 is not widened.
        masks: booleans, True where anomalous; None where nothing is known.
        labels: True for anomalous images; a normal image needs no mask then.
        resolution: height and width to resize maps and masks to; None compares them as they are.

    Raises:
        InputError: nothing to evaluate, lengths or shapes that differ, masks that are not
            booleans, scores that are not finite.
    """
    images, vanished = labelled_maps(maps, masks, labels, resolution)
    pixels = SortedPixels.of(images)
    return PixelEvaluation(
        metrics_of_pixels(pixels) if images else undefined(PIXEL_METRICS, "no mask"),
        describe_resolution(resolution),
        images=len(images),
        regions=pixels.regions,
        left_out=len(maps) - len(images),
        vanished=vanished,
    )


def metrics_of_pixels(pixels: SortedPixels) -> dict[str, Metric]:
    """Return all pixel metrics, undefined if a class has no pixel."""
    if pixels.missing:
        return undefined(PIXEL_METRICS, pixels.missing)
    steps = EqualSteps(*pixels.range)
    steps.add(pixels)
    return metrics_of(pixels.curve(), EXACT_METRICS) | {AUPRO_200: steps.metric()}


class EqualSteps:
    """The AUPRO that AnomalyCLIP and many papers report; it is not MVTec's.

    200 thresholds in equal steps from the smallest to the largest score; a pixel is found where
    it scores more than the threshold. Of the points with a false positive rate below `limit`, the
    rates are stretched to span 0 to 1, from the smallest to the largest that occur, and the mean
    overlap is integrated over them by trapezoids. Therefore it depends on single extreme pixels,
    a monotone change of the scores changes it, and the curve left of the first and right of the
    last point is lost (Zhou et al., ICLR 2024; the evaluation code goes back to CFLOW-AD,
    Gudovskiy et al., WACV 2022).

    With the range of all scores the thresholds are known, and images can be added one by one.

    Args:
        lowest: score of all images.
        highest: score of all images.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        with np.errstate(over="ignore"):
            step = (highest - lowest) / 200
        possible, equal = 0 < step < np.inf, lowest == highest
        self._thresholds = np.arange(lowest, highest, step) if possible else np.empty(0)
        self._reason: Reason = "no 200 steps fit into the range"
        self._reason = "" if possible else "all scores are equal" if equal else self._reason
        self._passed = np.zeros(len(self._thresholds))
        self._overlap = np.zeros(len(self._thresholds))
        self._normal = self._regions = 0

    def add(self, pixels: SortedPixels) -> None:
        """Count the pixels above each threshold."""
        found = np.append(0, pixels.weights[::-1].cumsum())
        self._passed += _more_than(pixels.normal, self._thresholds)
        self._overlap += found[_more_than(pixels.anomalous, self._thresholds)]
        self._normal += len(pixels.normal)
        self._regions += pixels.regions

    def metric(self, limit: float = 0.3) -> Metric:
        """Return the metric of the pixels that were added, which must have both classes."""
        if self._reason:
            return Metric(value=None, reason=self._reason)
        rates, overlap = self._passed / self._normal, self._overlap / self._regions
        kept = rates < limit
        if not kept.any() or np.ptp(rates[kept]) == 0:
            return Metric(value=None, reason="fewer than two of 200 thresholds below the limit")
        falling = (rates[kept].max() - rates[kept]) / np.ptp(rates[kept])
        return Metric(value=float(np.trapezoid(overlap[kept], falling)), error=0.0)


def _more_than(
    rising: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " t"]
) -> Int[np.ndarray, " t"]:
    """Count the scores above float64 thresholds without widening them."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(rising.dtype)
        before = np.nextafter(near, -np.inf, dtype=near.dtype)
    # the largest number of the scores' own precision that is not above the threshold
    floor = np.where(near > thresholds, before, near)
    found: np.ndarray = len(rising) - np.searchsorted(rising, floor, "right")
    return found
