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
from vlmad_evaluation.curves import Curve, shared_thresholds, single_valued

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from vlmad_evaluation.pixel_metrics import SortedPixels


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
    tied = single_valued(normal, anomalous, thresholds)
    true = reached * labels[:, None]
    return ImageCurves(reached - true, true, thresholds, tied, labels.astype(int))


class ImageCurveCollector:
    """Collects the curves of maps one by one; each takes 24 bytes for each threshold.

    Args:
        thresholds: falling; the last is not above any score. `SortedPixels.thresholds` gives some,
            and `PixelStream.thresholds` after a first pass over maps that do not fit into memory.
        tied: whether all scores between two neighbouring thresholds are known to be equal.
    """

    def __init__(self, thresholds: Float[np.ndarray, " k"], tied: Bool[np.ndarray, " k"]) -> None:
        self.thresholds, self.tied = thresholds, tied
        self._rows: list[Float[np.ndarray, "3 k"]] = []
        self._regions: list[int] = []

    def add(self, pixels: SortedPixels) -> None:
        """Count the pixels of an image above each threshold.

        Raises:
            InputError: a score lies below the last threshold.
        """
        if pixels.range[0] < self.thresholds[-1]:
            raise InputError("a map has a lower score than the first pass found; start again")
        false, true = (_at_least(s, self.thresholds) for s in (pixels.normal, pixels.anomalous))
        falling = np.append(0, pixels.weights[::-1].cumsum())
        self._rows.append(np.stack([false, true, falling[true]]))
        self._regions.append(pixels.regions)

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


def _at_least(
    rising: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " k"]
) -> Int[np.ndarray, " k"]:
    found: np.ndarray = len(rising) - np.searchsorted(rising, thresholds[::-1], "left")[::-1]
    return found
