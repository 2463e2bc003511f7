"""Averages of a class over the categories of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vlmad_report.looking.looks import Class, Look


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a metric over categories, weighted by anomalous images of the class."""

    value: float
    images: int
    categories: int


def mean_of(looks: Iterable[Look], chosen: Class, metric: str) -> Mean | None:
    """Return the mean of a class over categories, or None if it is undefined in all.

    Scores of different categories need not be on one scale, so images are compared with the
    normal ones of their own category alone. The weights make each anomalous image count the same:
    for the image AUROC it is the mean over them of the share of those normal images that score
    lower.
    """
    values, weights = [], []
    for look in looks:
        accuracy = look.by_class.get(chosen)
        value = None if accuracy is None else accuracy.value(metric)
        if accuracy is not None and value is not None:
            values.append(value)
            weights.append(accuracy.images if metric.startswith("image") else accuracy.mapped)
    total = sum(weights)
    if not total:
        return None
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / total
    return Mean(mean, total, len(values))
