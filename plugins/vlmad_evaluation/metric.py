"""A measured value or the reason why there is none; its mean over seeds and over categories."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from vlmad_documents.documents import Document, FileName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
AUPRO_200 = "pixel_aupro_200_thresholds"
PIXEL_METRICS = (
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "pixel_aupro_30",
    "pixel_aupro_05",
    AUPRO_200,
)
METRICS = (*IMAGE_METRICS, *PIXEL_METRICS)
AUPRO_LIMITS = {"pixel_aupro_30": 0.30, "pixel_aupro_05": 0.05}
AU_SPRO_LIMITS = {
    "pixel_au_spro_05": 0.05,
    "pixel_au_spro_01": 0.01,
    "pixel_au_spro_10": 0.1,
    "pixel_au_spro_30": 0.3,
    "pixel_au_spro_100": 1.0,
}
"""MVTec LOCO's measure: the mean over both kinds of its anomalies."""
ANOMALIES = ("logical", "structural")
SATURATED_METRICS = tuple(
    name for own in AU_SPRO_LIMITS for name in (own, *(f"{own}_{kind}" for kind in ANOMALIES))
)
"""Measured only where a data set brings `defects_config.json`."""

Share = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
"""From 0 to 1, up to rounding."""
Count = Annotated[int, Field(ge=0, lt=10**9)]
Reason: TypeAlias = Literal[
    "",
    "no mask",
    "no anomalous image",
    "no normal image",
    "no anomalous pixel",
    "no normal pixel",
    "no logical anomaly",
    "no structural anomaly",
    "a mask does not fit defects_config.json",
    "all scores are equal",
    "no 200 steps fit into the range",
    "fewer than two of 200 thresholds below the limit",
    "its thresholds need a second pass",
    "not measured",
    "undefined in every category",
    "undefined everywhere",
    "no interval from a single normal image",
    "no interval from a single anomalous image",
    "no interval: some resampled sets lack normal pixels",
    "no interval: a category has none",
    "every resampled set gives the same value",
    "the metric is undefined",
    "no category that both have",
    "not the same images could be scored",
    "fewer than two images of a class",
    "the images of a class all rank alike",
]
"""Why a value, an interval or a comparison is missing."""


class Metric(Document):
    """One measured value, from 0 to 1, or the reason why it is undefined.

    >>> print(Metric(value=0.9164, low=0.871, high=0.95))
    0.916 [0.871, 0.950]
    >>> print(Metric(value=None, reason="no anomalous image"))
    undefined: no anomalous image
    """

    value: Share | None
    reason: Reason = ""
    """Why there is no value; or, beside a value, why there is no interval."""
    low: Share | None = None
    high: Share | None = None
    """The ends of the confidence interval over images; None if none was computed."""
    error: float | None = None
    """A proven bound on how far `value` is from the exact one; None where nothing is proven."""
    threshold: float | None = None
    """Where F1 is largest: a score of at least this is called anomalous."""
    deviation_over_seeds: float | None = None
    """The sample standard deviation (n - 1) over draws of references.

    It says how much hangs on their choice, not how well images of this number determine the
    metric: that is the interval. The two are never merged.
    """
    seeds: Count = 1
    """The draws that it is a mean over."""
    categories: list[FileName] = Field(default_factory=list)
    """Those that it is an average over; none for the metric of one category."""
    left_out: dict[FileName, Reason] = Field(default_factory=dict)
    """Categories without a value, each with its reason."""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined: {self.reason}"
        text = f"{self.value:.3f}"
        if self.error:
            text += f" ± {self.error:.1g}"
        if self.low is not None and self.high is not None:
            text += f" [{self.low:.3f}, {self.high:.3f}]"
        return text


def undefined(names: Iterable[str], reason: Reason) -> dict[str, Metric]:
    """Return metrics without a value, for one reason."""
    return {name: Metric(value=None, reason=reason) for name in names}


def macro_average(by_category: Mapping[str, Metric]) -> Metric:
    """Average a metric over categories, each counting the same, whatever its number of images.

    Undefined categories are left out and named. The average of values with a bound on their
    error has the mean of the bounds as its own. It has no interval; the intervals of categories
    cannot be averaged (`bootstrap.average_replicates` makes the interval of an average).

    >>> average = macro_average({"tile": Metric(value=0.5), "wood": Metric(value=None)})
    >>> print(average, average.categories, list(average.left_out))
    0.500 ['tile'] ['wood']
    """
    defined = {name: each for name, each in by_category.items() if each.value is not None}
    left_out = {name: each.reason for name, each in by_category.items() if name not in defined}
    if not defined:
        reason: Reason = "undefined in every category"
        return Metric(value=None, reason=reason, left_out=left_out)
    value, error = _means(defined.values())
    return Metric(value=value, error=error, categories=list(defined), left_out=left_out)


def mean_over_seeds(runs: Iterable[Metric]) -> Metric:
    """Average a metric over draws of references, with the spread; intervals are not looked at.

    >>> mean = mean_over_seeds([Metric(value=0.5), Metric(value=0.7), Metric(value=None)])
    >>> print(mean.value, round(mean.deviation_over_seeds, 3), mean.seeds)
    0.6 0.141 2
    """
    runs = list(runs)
    defined = [metric for metric in runs if metric.value is not None]
    if not defined:
        reason: Reason = runs[0].reason if runs else "not measured"
        return Metric(value=None, reason=reason, seeds=0)
    value, error = _means(defined)
    values = [metric.value for metric in defined if metric.value is not None]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Metric(value=value, error=error, deviation_over_seeds=deviation, seeds=len(values))


def are_comparable(metrics: Iterable[Metric]) -> bool:
    """Return whether all that are defined are averages over the same categories, or of one."""
    defined = [metric.categories for metric in metrics if metric.value is not None]
    return all(categories == defined[0] for categories in defined)


def best_value(metrics: Iterable[Metric]) -> float | None:
    """Return the largest value, or None if there is none or they are not comparable."""
    metrics = list(metrics)
    values = [metric.value for metric in metrics if metric.value is not None]
    return max(values) if values and are_comparable(metrics) else None


def _means(defined: Iterable[Metric]) -> tuple[float, float | None]:
    """Return the mean value and the mean bound, if all have one."""
    defined = list(defined)
    errors = [metric.error for metric in defined if metric.error is not None]
    values = [metric.value for metric in defined if metric.value is not None]
    error = math.fsum(errors) / len(errors) if len(errors) == len(defined) else None
    return math.fsum(values) / len(values), error
