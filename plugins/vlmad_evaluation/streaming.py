"""Pixel metrics of sets that do not fit into memory: a histogram that adapts its own range.

Scores are rounded to float32 and read as integers in the same order (the bits of an IEEE number,
with the negative ones reversed). A bin is a run of 2^shift consecutive integers that starts at a
multiple of 2^shift. Whenever a score falls outside of the bins, `shift` grows until all fit and
neighbouring bins are added up; because of the multiples nothing is split. So the final bins
depend on the smallest and the largest score alone, not on the order in which images come, and no
range has to be known.

The error that comes back beside each metric is proved, not estimated: see `curves`. It shrinks
with the number of bins, and with shift 0 it is zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_evaluation.curves import Curve, metrics_of, ranks
from vlmad_evaluation.labelled_maps import at_resolution
from vlmad_evaluation.metric import AUPRO_200, PIXEL_METRICS, Metric, Reason, undefined
from vlmad_evaluation.pixel_metrics import EXACT_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jaxtyping import Bool, Float, Int64, Shaped, UInt32
    from numpy.typing import ArrayLike

    from vlmad_evaluation.labelled_maps import LabelledMap, SaturatedRegion

SIGN = np.uint32(1 << 31)


def ordered_bits(scores: Float[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
    """Return integers that are ordered as the scores are in float32; both zeros are one.

    >>> ordered_bits(np.array([-2.0, -0.0, 0.0, 3.5])).tolist()
    [1073741823, 2147483648, 2147483648, 3227516928]
    """
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def score_of_bits(ordered: UInt32[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the float32 scores of `ordered_bits`."""
    bits = np.where(ordered & SIGN, ordered & ~SIGN, ~ordered)
    return bits.astype(np.uint32).view(np.float32)


class PixelStream:
    """Collects maps and masks one by one, in memory that does not grow.

    Three numbers of eight bytes for each bin: 24 MB for 2^20 bins.

    Args:
        bins: how many bins at most.

    >>> pixels = PixelStream()
    >>> pixels.add([[0.1, 0.2], [0.3, 0.9]], [[False, False], [False, True]])
    >>> print(pixels.metrics()["pixel_auroc"])
    1.000
    """

    def __init__(self, bins: int = 1 << 20) -> None:
        if bins < 2:
            raise InputError(f"{bins} bins cannot tell scores apart; give at least 2")
        self.regions = self.images = 0
        self.range = np.inf, -np.inf
        """The lowest and the highest score so far."""
        self._rounded = False
        self._normal, self._anomalous = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
        self._overlap = np.zeros(bins)
        self._range: tuple[int, int] | None = None
        self._shift = 0

    @classmethod
    def of(cls, images: Iterable[LabelledMap]) -> PixelStream:
        """Count the pixels of some images."""
        pixels = cls()
        for image in images:
            pixels.add(image.scores, image.mask, image.outside, image.regions)
        return pixels

    def add(
        self,
        scores: ArrayLike,
        mask: ArrayLike,
        outside: Bool[np.ndarray, "h w"] | None = None,
        regions: Sequence[SaturatedRegion] = (),
    ) -> None:
        """Count the pixels of one image; those that are `outside` are left out.

        Raises:
            InputError: shapes differ, the mask is not of booleans, scores are not finite or too
                large for float32.
        """
        where = f"image {self.images}"
        image = at_resolution(scores, mask, None, where, regions)
        if outside is not None:  # what is not counted must not widen the range either
            inside = image.scores[~outside].min()
            image = replace(image, scores=np.where(outside, inside, image.scores))
        if np.abs(image.scores).max() > np.finfo(np.float32).max:
            raise InputError(f"map of {where} goes beyond float32; divide all scores by a constant")
        if image.scores.dtype != np.float32:
            self._rounded |= bool((image.scores.astype(np.float32) != image.scores).any())
        self.range = min(self.range[0], image.scores.min()), max(self.range[1], image.scores.max())
        ordered = ordered_bits(image.scores)
        self._make_room(int(ordered.min()), int(ordered.max()))
        bins = (ordered >> np.uint32(self._shift)).astype(np.int64) - self._first
        weights, count = image.weights()
        left_out = image.mask if outside is None else image.mask | outside
        _count(self._normal, bins[~left_out])
        _count(self._anomalous, bins[image.mask])
        _count(self._overlap, bins[image.mask], weights)
        self.regions += count
        self.images += 1

    @property
    def _first(self) -> int:
        """The number of the first bin, counted from the smallest float32."""
        return 0 if self._range is None else self._range[0] >> self._shift

    def _make_room(self, low: int, high: int) -> None:
        """Widen the bins, to the next power of two that is enough, until a range fits."""
        first, shift = self._first, self._shift
        if self._range is not None:
            low, high = min(low, self._range[0]), max(high, self._range[1])
        if (low, high) == self._range:
            return
        self._range = low, high
        while (high >> self._shift) - (low >> self._shift) >= len(self._normal):
            self._shift += 1
        for counts in (self._normal, self._anomalous, self._overlap):
            used = np.flatnonzero(counts)
            moved = ((used + first) >> (self._shift - shift)) - self._first
            kept = counts[used]
            counts[:] = 0
            np.add.at(counts, moved, kept)

    def curve(self) -> Curve:
        """Return the counts over the bins that hold any score; the overlap is a mean."""
        used = np.flatnonzero(self._normal + self._anomalous)[::-1]
        false, true = (a[used].cumsum().astype(float) for a in (self._normal, self._anomalous))
        overlap = self._overlap[used].cumsum() / max(self.regions, 1)
        lowest = 0 if self._range is None else self._range[0]
        edges = np.maximum((used + self._first) << self._shift, lowest).astype(np.uint32)
        exact = np.full(len(used), self._shift == 0 and not self._rounded)
        return Curve(false, true, score_of_bits(edges), exact, overlap)

    def metrics(self) -> dict[str, Metric]:
        """Return the pixel metrics of what was added so far, each with a bound on its error.

        The 200-threshold variant of AUPRO is undefined here: its thresholds are known only when
        the last image has been seen. `EqualSteps(*stream.range)` computes it in a second pass.
        """
        if self.missing:
            return undefined(PIXEL_METRICS, self.missing)
        last = undefined([AUPRO_200], "its thresholds need a second pass")
        return metrics_of(self.curve(), EXACT_METRICS) | last

    def thresholds(
        self, bins: int = 4096
    ) -> tuple[Float[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
        """Choose thresholds for an `ImageCurveCollector` and a second pass over the same maps.

        Which bins hold a single score is not known of any.

        Raises:
            InputError: a class has no pixels yet.
        """
        if self.missing:
            raise InputError(f"{self.missing}: intervals need both classes")
        curve = self.curve()
        false, true = curve.false_positives, curve.true_positives
        of_normal, of_anomalous = ranks(int(false[-1]), int(true[-1]), bins)
        reached = false.searchsorted(of_normal), true.searchsorted(of_anomalous)
        last = np.array([len(true) - 1])
        chosen: np.ndarray = curve.thresholds[np.unique(np.concatenate([*reached, last]))]
        if self._rounded:  # the lowest score may have been rounded up
            with np.errstate(over="ignore"):
                chosen[-1] = np.nextafter(chosen[-1], -np.inf, dtype=np.float32)
        return chosen, np.zeros(len(chosen), dtype=bool)

    @property
    def missing(self) -> Reason:
        """The class that no pixel belongs to, as a reason for undefined metrics; or nothing."""
        if not self._anomalous.any():
            return "no anomalous pixel"
        return "" if self._normal.any() else "no normal pixel"


def _count(
    counts: Shaped[np.ndarray, " k"],
    bins: Int64[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"] | None = None,
) -> None:
    """Add each item, or its weight, to its bin."""
    if not len(bins):
        return
    first = bins.min()
    added = np.bincount(bins - first, weights)
    counts[first : first + len(added)] += added.astype(counts.dtype)
