"""How detectors hold under conditions: figures, changes against clean images, ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmad_evaluation.averaging import compare_averages, of_categories, over_categories, over_seeds
from vlmad_evaluation.bootstrap import Replicates, image_weights, too_few, with_interval
from vlmad_evaluation.conditions import ALARMS, HELD, cutoff
from vlmad_evaluation.metric import Metric, are_comparable
from vlmad_evaluation.result_documents import ConditionEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jaxtyping import Bool

    from vlmad_evaluation.averaging import ByPlace
    from vlmad_evaluation.conditions import Change
    from vlmad_evaluation.metric import Reason
    from vlmad_evaluation.result_documents import BenchSettings
    from vlmad_evaluation.result_folders import CellResult

    Draw = tuple[str, str, int, int | None]
    """Detector, category, shots and seed."""


def condition_entries(
    clean: Sequence[CellResult],
    changed: Sequence[CellResult],
    categories: Sequence[str],
    settings: BenchSettings,
) -> list[ConditionEntry]:
    """Return how detectors do on clean images, and under each change in the order of the cells."""
    if not changed:
        return []
    cutoffs = {_draw(each): cutoff(each.scores[~each.labels], each.scores) for each in clean}
    groups: dict[Change | None, list[CellResult]] = {None: []}
    for result in (*clean, *changed):
        limit = cutoffs.get(_draw(result))
        groups.setdefault(result.cell.change, []).append(_held(result, limit, settings))
    averaged = {
        change: over_seeds(results, settings.confidence) for change, results in groups.items()
    }
    return [
        entry
        for change, found in averaged.items()
        for entry in _ranked(
            _entries(change, found, averaged[None], categories, cutoffs, settings.confidence)
        )
    ]


def _draw(result: CellResult) -> Draw:
    return result.cell.detector, result.cell.category, result.cell.shots, result.cell.seed


def _held(result: CellResult, limit: float | None, settings: BenchSettings) -> CellResult:
    """Return a cell with the metrics that are followed, and the rates of errors at its cutoff."""
    metrics = {name: each for name, each in result.metrics.items() if name in HELD}
    replicates = {name: each for name, each in result.replicates.items() if name in HELD}
    above = result.scores >= (np.inf if limit is None else limit)
    for name, wrong, of in ((ALARMS, above, ~result.labels), ("misses", ~above, result.labels)):
        if limit is None or not of.any():
            reason: Reason = "no normal image" if limit is None else "no anomalous image"
            metrics[name] = Metric(value=None, reason=reason)
        else:
            found = replicates[name] = _rate(wrong, of, result.labels, settings.replicates)
            metric = Metric(value=found.estimate)
            metrics[name] = with_interval(metric, found, settings.confidence)
    return replace(
        result, cell=result.cell.model_copy(update={"metrics": metrics}), replicates=replicates
    )


def _rate(
    wrong: Bool[np.ndarray, " n"],
    of: Bool[np.ndarray, " n"],
    labels: Bool[np.ndarray, " n"],
    replicates: int,
) -> Replicates:
    """Return a share of images, also of the resampled sets that all metrics are drawn for."""
    strata = labels.astype(int)
    weights = image_weights(strata, replicates)
    with np.errstate(invalid="ignore"):  # the last of a class is left out: NaN
        rates = weights @ (wrong & of) / (weights @ of)
    estimate, values, without = np.split(rates, [1, replicates + 1])
    return Replicates(float(estimate[0]), values, without, strata, 0.0, too_few(strata))


def _entries(
    change: Change | None,
    found: ByPlace,
    clean: ByPlace,
    categories: Sequence[str],
    cutoffs: Mapping[Draw, float | None],
    confidence: float,
) -> Iterator[ConditionEntry]:
    averages = over_categories(found, categories, confidence)
    for place, metrics in (*found.items(), *averages.items()):
        detector, category, shots = place
        over = [category] if category else categories
        changes = (
            {}
            if change is None
            else {
                name: compare_averages(
                    of_categories(found, detector, shots, over, name),
                    of_categories(clean, detector, shots, over, name),
                    confidence,
                )[0]
                for name in HELD
            }
        )
        limits = (limit for draw, limit in cutoffs.items() if draw[:3] == place)
        yield ConditionEntry(
            detector=detector,
            category=category,
            shots=shots,
            change=change,
            thresholds=[limit for limit in limits if limit is not None],
            metrics={name: metrics[name].metric for name in HELD},
            changes=changes,
            rank=None,
        )


def _ranked(entries: Iterable[ConditionEntry]) -> Iterator[ConditionEntry]:
    """Add the ranks; equal detectors share one."""
    found = list(entries)
    for entry in found:
        alike = [e for e in found if (e.category, e.shots) == (entry.category, entry.shots)]
        own, others = entry.metrics["image_auroc"], [e.metrics["image_auroc"] for e in alike]
        if own.value is None or not are_comparable(others):
            yield entry
        else:
            better = sum((other.value or 0) > own.value for other in others)
            yield entry.model_copy(update={"rank": 1 + better})
