"""Confidence intervals by resampling images, for image and for pixel metrics.

Images are drawn with replacement, the normal and the anomalous ones separately, as many of each
as there are (a stratified bootstrap: test sets fix these numbers). Pixels are never drawn by
themselves: those of one image depend on each other, and intervals that ignore this are far too
narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.special import ndtr, ndtri

from vlmad.errors import InputError
from vlmad_evaluation.curves import CURVE_METRICS, Bounded
from vlmad_evaluation.image_curves import ImageCurveCollector, ImageCurves, curves_of_scores
from vlmad_evaluation.labelled_maps import (
    Maps,
    Masks,
    Resolution,
    labelled_maps,
    labelled_scores,
)
from vlmad_evaluation.metric import IMAGE_METRICS, Metric, Reason
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, SortedPixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float, Int
    from numpy.typing import ArrayLike

Method: TypeAlias = Literal["bca", "percentile"]
BINS = 4096
PRODUCT, CACHED = 1 << 21, 1 << 16
"""Numbers in a block of replicates: for products, where threads pay off, and for what follows."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """A metric of the images as they are, of resampled ones, and with each image left out."""

    estimate: float
    values: Float[np.ndarray, " b"]
    without: Float[np.ndarray, " n"]
    strata: Int[np.ndarray, " n"]
    error: float
    """A proven bound on how far any of these values is from the exact one (from binning)."""
    reason: Reason = ""
    """Why there is no interval."""


def stratified_weights(
    strata: Int[np.ndarray, " n"], replicates: int, seed: int
) -> Float[np.ndarray, "b n"]:
    """Return how often each image is drawn in each replicate; strata keep their sizes."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((replicates, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        share = np.full(len(members), 1 / len(members))
        weights[:, members] = rng.multinomial(len(members), share, size=replicates)
    return weights


def image_weights(
    strata: Int[np.ndarray, " n"], replicates: int, seed: int = 0
) -> Float[np.ndarray, "k n"]:
    """Return how often each image counts: as it is, in each replicate, and with each left out."""
    drawn, count = stratified_weights(strata, replicates, seed), len(strata)
    return np.concatenate([np.ones((1, count)), drawn, 1 - np.eye(count)])


def resample(
    curves: ImageCurves, names: Sequence[str], replicates: int = 1000, seed: int = 0
) -> dict[str, Replicates]:
    """Compute metrics of resampled images; the same seed draws the same images again.

    Args:
        curves: the images.
        names: such as `pixel_auroc`.
        replicates: how many sets to draw.
        seed: of the draws.

    Raises:
        InputError: fewer than two replicates.
    """
    if replicates < 2:
        raise InputError(f"{replicates} replicates make no interval; ask for some hundreds")
    strata = curves.strata
    weights = image_weights(strata, replicates, seed)
    resampled = {}
    for name, found in _in_blocks(curves, names, weights).items():
        error = float(np.nanmax(np.maximum(found.high - found.value, found.value - found.low)))
        reason = too_few(strata)
        if not reason and not np.isfinite(found.value).all():
            reason = "no interval: some resampled sets lack normal pixels"
        estimate, values, without = np.split(found.value, [1, replicates + 1])
        resampled[name] = Replicates(float(estimate[0]), values, without, strata, error, reason)
    return resampled


def _in_blocks(
    curves: ImageCurves, names: Sequence[str], weights: Float[np.ndarray, "b n"]
) -> dict[str, Bounded]:
    found: dict[str, list[Bounded]] = {name: [] for name in names}
    with np.errstate(invalid="ignore", divide="ignore"):  # the last of a class is left out: NaN
        for block in _blocks(len(weights), PRODUCT // len(curves.thresholds)):
            curve = curves.curve(weights[block])
            for rows in _blocks(len(curve.true_positives), CACHED // len(curves.thresholds)):
                part = curve.rows(rows)
                for name in names:
                    found[name].append(CURVE_METRICS[name.split("_", 1)[1]](part))
    return {
        name: Bounded(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        for name, parts in found.items()
    }


def _blocks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, max(1, size)):
        yield slice(start, start + max(1, size))


def too_few(strata: Int[np.ndarray, " n"]) -> Reason:
    """Return why strata are too small for an interval, or nothing."""
    if np.count_nonzero(strata == 0) == 1:
        return "no interval from a single normal image"
    single = np.count_nonzero(strata == 1) == 1
    return "no interval from a single anomalous image" if single else ""


def interval(
    found: Replicates, confidence: float = 0.95, method: Method = "bca"
) -> tuple[float, float]:
    """Return the ends of a confidence interval.

    `percentile` takes the quantiles of the replicates. `bca` corrects them for bias and for a
    spread that changes with the value (Efron 1987, section 4, with the acceleration for several
    strata of Davison and Hinkley 1997, equation 5.26). Near 0 and 1, where good detectors are,
    replicates are skewed, which only the latter takes into account.

    Raises:
        InputError: `confidence` is not between 0 and 1, or the replicates allow no interval.
    """
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence}; give a number between 0 and 1, as 0.95")
    if found.reason:
        raise InputError(found.reason)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":  # moved by the bias of the median and the acceleration
        count, values = len(found.values), found.values
        below = np.mean(values < found.estimate) + np.mean(values == found.estimate) / 2
        bias = ndtri(np.clip(below, 0.5 / count, 1 - 0.5 / count))
        moved = bias + ndtri(tails)
        tails = ndtr(bias + moved / (1 - _acceleration(found) * moved))
    low, high = np.quantile(found.values, tails)
    return float(low), float(high)


def _acceleration(found: Replicates) -> float:
    """Return a sixth of the skewness of the images' influences, by leaving each one out."""
    second = third = 0.0
    for stratum in np.unique(found.strata):
        without = found.without[found.strata == stratum]
        influence = (len(without) - 1) * (without.mean() - without) / len(without)
        second += float((influence**2).sum())
        third += float((influence**3).sum())
    return third / (6 * second**1.5) if second > 0 else 0.0


def with_interval(
    metric: Metric, found: Replicates, confidence: float = 0.95, method: Method = "bca"
) -> Metric:
    """Return a metric with its interval, or with the reason why it has none."""
    if metric.value is None:
        return metric
    if found.reason:
        return metric.model_copy(update={"reason": found.reason})
    low, high = interval(found, confidence, method)
    reason = "" if low < high else "every resampled set gives the same value"
    return metric.model_copy(update={"low": low, "high": high, "reason": reason})


def bootstrap_images(
    labels: ArrayLike, scores: ArrayLike, *, replicates: int = 1000, seed: int = 0
) -> dict[str, Replicates]:
    """Resample images with one score each; empty if a class is missing.

    Exact up to 4,096 distinct scores; beyond, see `Replicates.error`.

    Raises:
        InputError: see `image_metrics`.
    """
    truth, values = labelled_scores(labels, scores)
    if truth.all() or not truth.any():
        return {}
    return resample(curves_of_scores(truth, values, BINS), IMAGE_METRICS, replicates, seed)


def bootstrap_pixels(
    maps: Maps,
    masks: Masks,
    *,
    labels: Sequence[bool] | None = None,
    resolution: Resolution = None,
    replicates: int = 1000,
    seed: int = 0,
    bins: int = BINS,
) -> dict[str, Replicates]:
    """Resample images with their maps; empty if no pixel, or every pixel, is anomalous.

    All exact metrics of `pixel_metrics` but the 200-threshold AUPRO, which the extreme pixels of
    whichever images were drawn would shift. The strata are the images with an empty mask and
    those with a defect.

    Raises:
        InputError: see `pixel_metrics`; fewer than 16 bins.
    """
    if bins < 16:
        raise InputError(f"{bins} bins are too coarse for intervals; give at least 16")
    images = labelled_maps(maps, masks, labels, resolution)[0]
    if not any(i.mask.any() for i in images) or all(i.mask.all() for i in images):
        return {}
    collector = ImageCurveCollector(*SortedPixels.of(images).thresholds(bins))
    for image in images:
        collector.add(SortedPixels.of([image]))
    return resample(collector.curves(), EXACT_METRICS, replicates, seed)


def average_replicates(by_category: Mapping[str, Replicates], seed: int = 0) -> Replicates:
    """Return the replicates of a macro average over categories that are resampled independently.

    Categories may have been resampled with one seed: their replicates are shuffled before they
    are averaged. Leave out undefined categories, as `macro_average` does.

    Raises:
        InputError: there are no categories, or their replicates differ in number.
    """
    parts = list(by_category.values())
    if len({len(part.values) for part in parts}) != 1:
        raise InputError("an average needs categories with as many replicates each")
    rng = np.random.default_rng(seed)
    estimate = float(np.mean([part.estimate for part in parts]))
    values = np.mean([rng.permutation(part.values) for part in parts], axis=0)
    moved = [estimate + (part.without - part.estimate) / len(parts) for part in parts]
    strata = [part.strata + 2 * number for number, part in enumerate(parts)]
    joined = np.concatenate(moved), np.concatenate(strata)
    error = float(np.mean([part.error for part in parts]))
    lacking = any(part.reason for part in parts)
    reason: Reason = "no interval: a category has none" if lacking else ""
    return Replicates(estimate, values, *joined, error, reason)


def mean_replicates(parts: Sequence[Replicates]) -> Replicates:
    """Return the replicates of a mean over runs: draw i is of the same images in all of them."""
    return Replicates(
        float(np.mean([part.estimate for part in parts])),
        np.mean([part.values for part in parts], axis=0),
        np.mean([part.without for part in parts], axis=0),
        parts[0].strata,
        float(np.mean([part.error for part in parts])),
        next((part.reason for part in parts if part.reason), ""),
    )
