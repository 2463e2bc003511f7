"""Averages over seeds, then over categories; the spread over seeds is never part of an interval."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vlmad_evaluation.bootstrap import Replicates, average_replicates, with_interval
from vlmad_evaluation.metric import METRICS, Metric, Spread, macro_average, spread_over_seeds
from vlmad_evaluation.result_documents import AverageEntry, AverageMetric, CategoryEntry, SeedMetric
from vlmad_evaluation.result_folders import error_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vlmad_evaluation.result_folders import CellResult

CellKey: TypeAlias = tuple[str, str, int]
"""Detector, category and shots."""


@dataclass(frozen=True, slots=True)
class Averaged:
    """A metric of a detector, averaged over the seeds or over categories."""

    metric: Metric
    """The mean, with the interval over images of this mean."""
    spread: Spread
    """Over the seeds."""
    replicates: Replicates | None
    runs: tuple[Metric, ...] = ()
    """Of the seeds that it is an average over."""
    counted: tuple[str, ...] = ()
    """The categories that it is an average over."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Categories without a value, each with its reason."""


def category_entries(by_key: Mapping[CellKey, Mapping[str, Averaged]]) -> list[CategoryEntry]:
    """Return averages over seeds as documents have them."""
    return [
        CategoryEntry(
            detector=detector,
            category=category,
            shots=shots,
            metrics={name: SeedMetric(**_facts(each, name)) for name, each in metrics.items()},
        )
        for (detector, category, shots), metrics in by_key.items()
    ]


def average_entries(
    averages: Mapping[tuple[str, int], Mapping[str, Averaged]],
) -> list[AverageEntry]:
    """Return averages over categories as documents have them."""
    return [
        AverageEntry(
            detector=detector,
            shots=shots,
            metrics={
                name: AverageMetric(
                    **_facts(each, name),
                    categories=list(each.counted),
                    left_out=dict(each.left_out),
                )
                for name, each in metrics.items()
            },
        )
        for (detector, shots), metrics in averages.items()
    ]


def _facts(average: Averaged, name: str) -> dict[str, Any]:
    facts = {**asdict(average.metric), "error": error_of(average.metric, name)}
    del facts["threshold"]
    spread = average.spread
    return {**facts, "deviation_over_seeds": spread.deviation, "seeds": spread.runs}


def over_seeds(
    results: Iterable[CellResult], confidence: float
) -> dict[CellKey, dict[str, Averaged]]:
    """Average the cells that differ in nothing but the seed."""
    groups: dict[CellKey, list[CellResult]] = {}
    for result in results:
        groups.setdefault(result.key, []).append(result)
    return {
        key: {name: _over_seeds(group, name, confidence) for name in METRICS}
        for key, group in groups.items()
    }


def _over_seeds(group: Sequence[CellResult], name: str, confidence: float) -> Averaged:
    runs = tuple(result.metrics[name] for result in group)
    spread = spread_over_seeds(runs)
    if len(runs) == 1 or spread.mean is None:
        return Averaged(runs[0], spread, group[0].replicates.get(name), runs)
    error = statistics.fmean(run.error for run in runs if run.value is not None)
    mean = Metric(spread.mean, error=error)
    replicates = _mean_replicates([result.replicates.get(name) for result in group])
    if replicates is not None:
        mean = with_interval(mean, replicates, confidence)
    return Averaged(mean, spread, replicates, runs)


def _mean_replicates(parts: Sequence[Replicates | None]) -> Replicates | None:
    """Return the replicates of a mean over runs: draw i is of the same images in all of them."""
    known = [part for part in parts if part is not None]
    alike = len(known) == len(parts) and all(
        np.array_equal(part.strata, known[0].strata) for part in known
    )
    if not alike:  # some run lacks images that others have
        return None
    return Replicates(
        float(np.mean([part.estimate for part in known])),
        np.mean([part.values for part in known], axis=0),
        np.mean([part.without for part in known], axis=0),
        known[0].strata,
        float(np.mean([part.error for part in known])),
        next((part.reason for part in known if part.reason), ""),
    )


def over_categories(
    by_key: Mapping[CellKey, Mapping[str, Averaged]], confidence: float
) -> dict[tuple[str, int], dict[str, Averaged]]:
    """Average over categories, each counting the same; undefined ones are left out and named."""
    groups: dict[tuple[str, int], dict[str, Mapping[str, Averaged]]] = {}
    for (detector, category, shots), metrics in by_key.items():
        groups.setdefault((detector, shots), {})[category] = metrics
    return {
        key: {
            name: _over_categories({c: metrics[name] for c, metrics in group.items()}, confidence)
            for name in METRICS
        }
        for key, group in groups.items()
    }


def _over_categories(group: Mapping[str, Averaged], confidence: float) -> Averaged:
    average = macro_average({category: each.metric for category, each in group.items()})
    counted = {category: group[category] for category in average.counted}
    metric, replicates = average.metric, None
    known = {c: each.replicates for c, each in counted.items() if each.replicates is not None}
    if known and len(known) == len(counted):
        replicates = average_replicates(known)
        metric = with_interval(metric, replicates, confidence)
    return Averaged(
        metric,
        _spread([each.runs for each in counted.values()]),
        replicates,
        counted=average.counted,
        left_out=average.left_out,
    )


def _spread(by_category: Sequence[tuple[Metric, ...]]) -> Spread:
    """Return how the average over categories varies with the seed, where all have all seeds."""
    if len({len(runs) for runs in by_category}) != 1:
        return spread_over_seeds([])
    return spread_over_seeds(
        macro_average({str(index): run for index, run in enumerate(runs)}).metric
        for runs in zip(*by_category, strict=True)
        if all(run.value is not None for run in runs)
    )
