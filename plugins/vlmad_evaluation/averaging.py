"""Averages over seeds, then over categories; the spread over seeds is never part of an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vlmad_evaluation.bootstrap import (
    Replicates,
    average_replicates,
    mean_replicates,
    with_interval,
)
from vlmad_evaluation.comparison import Comparison, compare_replicates
from vlmad_evaluation.metric import Metric, macro_average, mean_over_seeds
from vlmad_evaluation.result_documents import MetricEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jaxtyping import Float

    from vlmad_evaluation.metric import Reason
    from vlmad_evaluation.result_folders import CellResult

Place: TypeAlias = "tuple[str, str | None, int]"
"""Detector, category (None on average) and shots."""
ByPlace: TypeAlias = "Mapping[Place, Mapping[str, Averaged]]"


@dataclass(frozen=True, slots=True)
class Averaged:
    """A metric of a detector, averaged over the seeds or over categories."""

    metric: Metric
    """The mean, with the interval over images of this mean."""
    replicates: Replicates | None = None
    runs: tuple[Metric, ...] = ()
    """Of the seeds that it is an average over."""
    failed: frozenset[str] = frozenset()
    """Images that could not be scored with some seed."""


NOT_MEASURED = Averaged(Metric(value=None, reason="not measured"))


def metric_entries(found: ByPlace) -> list[MetricEntry]:
    """Return averages as documents have them."""
    return [
        MetricEntry(
            detector=detector,
            category=category,
            shots=shots,
            metrics={name: each.metric for name, each in metrics.items()},
        )
        for (detector, category, shots), metrics in found.items()
    ]


def over_seeds(results: Iterable[CellResult], confidence: float) -> ByPlace:
    """Average the cells that differ in nothing but the seed."""
    groups: dict[Place, list[CellResult]] = {}
    for result in results:
        cell = result.cell
        groups.setdefault((cell.detector, cell.category, cell.shots), []).append(result)
    return {
        place: {name: _over_seeds(group, name, confidence) for name in group[0].metrics}
        for place, group in groups.items()
    }


def _over_seeds(group: Sequence[CellResult], name: str, confidence: float) -> Averaged:
    runs = tuple(result.metrics[name] for result in group)
    parts = [each for result in group if (each := result.replicates.get(name)) is not None]
    failed = frozenset(image for result in group for image in result.cell.left_out)
    if len(runs) == 1:
        return Averaged(runs[0], next(iter(parts), None), runs, failed)
    mean, replicates = mean_over_seeds(runs), None
    alike = all(np.array_equal(part.strata, parts[0].strata) for part in parts)
    if len(parts) == len(runs) and alike:  # or a run lacks images that others have
        replicates = mean_replicates(parts)
        mean = with_interval(mean, replicates, confidence)
    return Averaged(mean, replicates, runs, failed)


def over_categories(by_place: ByPlace, categories: Sequence[str], confidence: float) -> ByPlace:
    """Average over categories, each counting the same; undefined ones are left out and named."""
    groups = dict.fromkeys((detector, shots) for detector, _, shots in by_place)
    return {
        (detector, None, shots): {
            name: average(of_categories(by_place, detector, shots, categories, name), confidence)
            for name in _names(by_place, detector, shots, categories)
        }
        for detector, shots in groups
    }


def _names(
    by_place: ByPlace, detector: str, shots: int, categories: Sequence[str]
) -> Iterable[str]:
    """Return all metrics that a category has."""
    found = (by_place.get((detector, category, shots), {}) for category in categories)
    return dict.fromkeys(name for metrics in found for name in metrics)


def of_categories(
    by_place: ByPlace, detector: str, shots: int, categories: Sequence[str], name: str
) -> dict[str, Averaged]:
    """Return a metric of each category, measured or not."""
    found = {each: by_place.get((detector, each, shots), {}) for each in categories}
    return {category: metrics.get(name, NOT_MEASURED) for category, metrics in found.items()}


def average(group: Mapping[str, Averaged], confidence: float) -> Averaged:
    """Return the macro average over the categories where the metric is defined."""
    metric, replicates = macro_average({name: each.metric for name, each in group.items()}), None
    counted = [group[category] for category in metric.categories]
    known = {c: each for c in metric.categories if (each := group[c].replicates) is not None}
    if known and len(known) == len(counted):
        replicates = average_replicates(known)
        metric = with_interval(metric, replicates, confidence)
    spread = _over_draws([each.runs for each in counted])
    update = {"deviation_over_seeds": spread.deviation_over_seeds, "seeds": spread.seeds}
    return Averaged(metric.model_copy(update=update), replicates)


def _over_draws(by_category: Sequence[tuple[Metric, ...]]) -> Metric:
    """Return how the average over categories varies with the seed, where all have all seeds."""
    if len({len(runs) for runs in by_category}) != 1:
        return mean_over_seeds([])
    return mean_over_seeds(
        macro_average({str(index): run for index, run in enumerate(runs)})
        for runs in zip(*by_category, strict=True)
        if all(run.value is not None for run in runs)
    )


def compare_averages(
    one: Mapping[str, Averaged], other: Mapping[str, Averaged], confidence: float
) -> tuple[Comparison, Float[np.ndarray, " b"] | None]:
    """Compare two averages over those categories that both have, of the same images.

    Returns:
        The comparison, and the difference on resampled images.
    """
    defined = {c for c in one if one[c].replicates is not None}
    defined &= {c for c in other if other[c].replicates is not None}
    common = [c for c in one if c in defined and _alike(one[c], other[c])]
    if not common:
        reason: Reason = (
            "the metric is undefined" if len(one) == 1 else "no category that both have"
        )
        return Comparison(reason="not the same images could be scored" if defined else reason), None
    first, second = (
        average_replicates({c: found for c in common if (found := each[c].replicates) is not None})
        for each in (one, other)
    )
    compared = compare_replicates(first, second, confidence)
    draws = None if compared.reason else first.values - second.values
    return compared.model_copy(update={"categories": common}), draws


def _alike(one: Averaged, other: Averaged) -> bool:
    """Return whether two were resampled from the same images."""
    a, b = one.replicates, other.replicates
    if a is None or b is None or one.failed != other.failed:
        return False
    return np.array_equal(a.strata, b.strata) and len(a.values) == len(b.values)
