"""A measured value or the reason why there is none, averages over categories, spread over seeds."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = (
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "pixel_aupro_30",
    "pixel_aupro_05",
    "pixel_aupro_200_thresholds",
)
METRICS = (*IMAGE_METRICS, *PIXEL_METRICS)
AUPRO_LIMITS = {"pixel_aupro_30": 0.30, "pixel_aupro_05": 0.05}


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured value, from 0 to 1, or the reason why it is undefined.

    >>> print(Metric(0.9164, low=0.871, high=0.95))
    0.916 [0.871, 0.950]
    >>> print(Metric(None, "no anomalous image"))
    undefined: no anomalous image
    """

    value: float | None
    reason: str = ""
    """Why there is no value; or, beside a value, why there is no interval."""
    low: float | None = None
    high: float | None = None
    """The ends of the confidence interval over images; None if none was computed."""
    error: float = 0.0
    """A proven bound on how far `value` is from the exact one; 0 for exact computations."""
    threshold: float | None = None
    """Where F1 is largest: a score of at least this is called anomalous."""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined: {self.reason}"
        text = f"{self.value:.3f}"
        if self.error:
            text += f" ± {self.error:.1g}"
        if self.low is not None and self.high is not None:
            text += f" [{self.low:.3f}, {self.high:.3f}]"
        return text


def undefined(names: Iterable[str], reason: str) -> dict[str, Metric]:
    """Return metrics without a value, for one reason."""
    return {name: Metric(None, reason) for name in names}


@dataclass(frozen=True, slots=True)
class Average:
    """A macro average, and what it leaves out."""

    metric: Metric
    counted: tuple[str, ...]
    left_out: Mapping[str, str]
    """Categories without a value, each with its reason."""


def macro_average(by_category: Mapping[str, Metric]) -> Average:
    """Average a metric over categories, each counting the same, whatever its number of images.

    Undefined categories are left out and named. The average of values with a bound on their
    error has the mean of the bounds as its own. It has no interval; the intervals of categories
    cannot be averaged (`bootstrap.average_replicates` makes the interval of an average).

    >>> average = macro_average({"tile": Metric(0.5), "wood": Metric(None, "no mask")})
    >>> print(average.metric, average.left_out)
    0.500 {'wood': 'no mask'}
    """
    left_out = {name: m.reason for name, m in by_category.items() if m.value is None}
    values = {name: m.value for name, m in by_category.items() if m.value is not None}
    if not values:
        return Average(Metric(None, "undefined in every category"), (), left_out)
    mean = math.fsum(values.values()) / len(values)
    error = math.fsum(by_category[name].error for name in values) / len(values)
    return Average(Metric(mean, error=error), tuple(values), left_out)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a metric varies over runs that differ in their seed or references alone.

    It says how much hangs on the choice of references, not how well a set of images of this size
    determines the metric: that is the interval of a `Metric`. The two are never merged.
    """

    mean: float | None
    deviation: float | None
    """The sample standard deviation (n - 1); None for fewer than two runs."""
    runs: int
    """In which the metric is defined."""


def spread_over_seeds(runs: Iterable[Metric]) -> Spread:
    """Return mean and standard deviation of a metric over seeds; intervals are not looked at.

    >>> spread_over_seeds([Metric(0.5), Metric(None, "no mask")])
    Spread(mean=0.5, deviation=None, runs=1)
    """
    values = [metric.value for metric in runs if metric.value is not None]
    if not values:
        return Spread(None, None, 0)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))
