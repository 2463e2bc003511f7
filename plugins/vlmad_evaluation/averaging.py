"""Averages over seeds, then over categories; the spread over seeds is never part of an interval."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad_evaluation._cell_results import NAMES, WITHOUT_BOUND, CellResult
from vlmad_evaluation.bootstrap import Replicates, average_replicates, with_interval
from vlmad_evaluation.metric import Metric, Spread, macro_average, spread_over_seeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key = tuple[str, str, int]
"""Detector, category and shots."""


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A metric of a detector on a category, averaged over the seeds."""

    metric: Metric
    """The mean, with the interval over images of this mean."""
    spread: Spread
    """Over the seeds."""
    replicates: Replicates | None
    runs: tuple[Metric, ...]

    def table(self, name: str) -> dict[str, Any]:
        """Return it as plain values."""
        return {**_values(self.metric, name), **_deviation(self.spread)}


@dataclass(frozen=True, slots=True)
class OverCategories:
    """A macro average, what it leaves out, and how it varies with the seed."""

    metric: Metric
    spread: Spread
    counted: tuple[str, ...]
    left_out: Mapping[str, str]
    replicates: Replicates | None

    def table(self, name: str) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            **_values(self.metric, name),
            **_deviation(self.spread),
            "categories": list(self.counted),
            "left_out": dict(self.left_out),
        }


def _values(metric: Metric, name: str) -> dict[str, Any]:
    table = asdict(metric)
    del table["threshold"]
    if metric.value is None or name == WITHOUT_BOUND:
        table["error"] = None
    return table


def _deviation(spread: Spread) -> dict[str, Any]:
    return {"deviation_over_seeds": spread.deviation, "seeds": spread.runs}


def over_seeds(
    results: Iterable[CellResult], confidence: float
) -> dict[Key, dict[str, OverSeeds]]:
    """Average the cells that differ in nothing but the seed."""
    groups: dict[Key, list[CellResult]] = {}
    for result in results:
        groups.setdefault(result.key, []).append(result)
    return {
        key: {name: _over_seeds(group, name, confidence) for name in NAMES}
        for key, group in groups.items()
    }


def _over_seeds(group: Sequence[CellResult], name: str, confidence: float) -> OverSeeds:
    runs = tuple(result.metrics[name] for result in group)
    spread = spread_over_seeds(runs)
    if len(runs) == 1 or spread.mean is None:
        return OverSeeds(runs[0], spread, group[0].replicates.get(name), runs)
    error = statistics.fmean(run.error for run in runs if run.value is not None)
    mean = Metric(spread.mean, error=error)
    replicates = _mean_replicates([result.replicates.get(name) for result in group])
    if replicates is not None:
        mean = with_interval(mean, replicates, confidence)
    return OverSeeds(mean, spread, replicates, runs)


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
    by_key: Mapping[Key, Mapping[str, OverSeeds]], confidence: float
) -> dict[tuple[str, int], dict[str, OverCategories]]:
    """Average over categories, each counting the same; undefined ones are left out and named."""
    groups: dict[tuple[str, int], dict[str, Mapping[str, OverSeeds]]] = {}
    for (detector, category, shots), metrics in by_key.items():
        groups.setdefault((detector, shots), {})[category] = metrics
    return {
        key: {
            name: _over_categories({c: metrics[name] for c, metrics in group.items()}, confidence)
            for name in NAMES
        }
        for key, group in groups.items()
    }


def _over_categories(group: Mapping[str, OverSeeds], confidence: float) -> OverCategories:
    average = macro_average({category: each.metric for category, each in group.items()})
    counted = [group[category] for category in average.counted]
    metric, replicates = average.metric, None
    parts = {c: group[c].replicates for c in average.counted}
    known = {category: part for category, part in parts.items() if part is not None}
    if known and len(known) == len(parts):
        replicates = average_replicates(known)
        metric = with_interval(metric, replicates, confidence)
    spread = _spread(counted)
    return OverCategories(metric, spread, average.counted, average.left_out, replicates)


def _spread(counted: Sequence[OverSeeds]) -> Spread:
    """Return how the average over categories varies with the seed, where all have all seeds."""
    lengths = {len(each.runs) for each in counted}
    if len(lengths) != 1:
        return spread_over_seeds([])
    by_seed = zip(*(each.runs for each in counted), strict=True)
    return spread_over_seeds(
        macro_average({str(index): run for index, run in enumerate(runs)}).metric
        for runs in by_seed
        if all(run.value is not None for run in runs)
    )
