"""The curve of every image over shared thresholds, so that images can be weighted.

Counts add up over images. With one cumulative count for each image and threshold, the curve of
any resampled set is a product of the weights (how often each image was drawn) with a matrix, and
a thousand replicates are one product. Pixels have too many thresholds for that, so a few thousand
are chosen; within the bins between them the order is unknown, which `curves` bounds for every
replicate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_evaluation.curves import Curve
from vlmad_evaluation.labelled_maps import region_weights
from vlmad_evaluation.pixel_metrics import SortedPixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int

    from vlmad_evaluation.labelled_maps import LabelledMap


@dataclass(frozen=True, slots=True)
class ImageCurves:
    """Cumulative counts of n images over k shared thresholds."""

    false_positives: Float[np.ndarray, "n k"]
    true_positives: Float[np.ndarray, "n k"]
    thresholds: Float[np.ndarray, " k"]
    tied: Bool[np.ndarray, " k"]
    strata: Int[np.ndarray, " n"]
    """0 for normal images, 1 for anomalous ones (for maps: whose mask is not empty)."""
    overlap: Float[np.ndarray, "n k"] | None = None
    """The sum over an image's regions of the share that scores at least a threshold."""
    regions: Int[np.ndarray, " n"] | None = None

    def curve(self, weights: Float[np.ndarray, "b n"]) -> Curve:
        """Return the curves of b sets in which image i occurs ``weights[:, i]`` times."""
        overlap = None
        if self.overlap is not None and self.regions is not None:
            overlap = weights @ self.overlap / (weights @ self.regions)[:, None]
        false, true = weights @ self.false_positives, weights @ self.true_positives
        return Curve(false, true, self.thresholds, self.tied, overlap)


def curves_of_scores(
    labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], bins: int
) -> ImageCurves:
    """Return the curves of images with one score each: steps from 0 to 1."""
    normal, anomalous = np.sort(scores[~labels]), np.sort(scores[labels])
    thresholds = shared_thresholds(normal, anomalous, bins)
    reached = (scores[:, None] >= thresholds).astype(float)
    tied = _single_valued(normal, anomalous, thresholds)
    true = reached * labels[:, None]
    return ImageCurves(reached - true, true, thresholds, tied, labels.astype(int))


class ImageCurveCollector:
    """Collects the curves of maps one by one; each takes 24 bytes for each threshold.

    Args:
        thresholds: falling; the last is not above any score. `PixelStream.thresholds` gives some
            after a first pass over maps that do not fit into memory.
        tied: whether all scores between two neighbouring thresholds are equal, if that is known.
    """

    def __init__(
        self, thresholds: Float[np.ndarray, " k"], tied: Bool[np.ndarray, " k"] | None = None
    ) -> None:
        self.thresholds = thresholds
        self.tied = np.zeros(len(thresholds), dtype=bool) if tied is None else tied
        self._rows: list[Float[np.ndarray, "3 k"]] = []
        self._regions: list[int] = []

    def add(self, image: LabelledMap) -> None:
        """Count an image's pixels above each threshold.

        Raises:
            InputError: a score lies below the last threshold.
        """
        normal, anomalous = image.normal, image.scores[image.mask]
        if np.concatenate([normal, anomalous]).min(initial=np.inf) < self.thresholds[-1]:
            raise InputError("a map has a lower score than the first pass found; start again")
        weights, regions = region_weights(image.mask)
        false = _at_least(normal, self.thresholds)
        true = _at_least(anomalous, self.thresholds)
        falling = np.append(0, weights[anomalous.argsort()[::-1]].cumsum())
        self._rows.append(np.stack([false, true, falling[true]]))
        self._regions.append(regions)

    def curves(self) -> ImageCurves:
        """Return the curves of all images so far.

        Raises:
            InputError: there are none.
        """
        if not self._rows:
            raise InputError("no images to resample")
        false, true, overlap = np.stack(self._rows, axis=1)
        strata = (true[:, -1] > 0).astype(int)
        regions = np.array(self._regions)
        return ImageCurves(false, true, self.thresholds, self.tied, strata, overlap, regions)


def curves_of_maps(images: Sequence[LabelledMap], bins: int) -> ImageCurves:
    """Return the curves of images with a map each, over at most `bins` thresholds."""
    pixels = SortedPixels.of(images)
    thresholds = shared_thresholds(pixels.normal, pixels.anomalous, bins)
    tied = _single_valued(pixels.normal, pixels.anomalous, thresholds)
    collector = ImageCurveCollector(thresholds, tied)
    for image in images:
        collector.add(image)
    return collector.curves()


def _at_least(
    scores: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " k"]
) -> Int[np.ndarray, " k"]:
    rising = np.sort(scores)
    return len(rising) - np.searchsorted(rising, thresholds[::-1], "left")[::-1]


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


def _single_valued(
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
