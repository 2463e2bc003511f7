"""Every detector against the first, on the same images; p-values corrected over all pairs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad_evaluation.comparison import Comparison, compare_auroc, compare_replicates, holm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.averages import Key, OverCategories, OverSeeds
    from vlmad_evaluation.bench.results import CellResult
    from vlmad_evaluation.bootstrap import Replicates

COMPARED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
FEWEST_FOR_DELONG = 10
"""Images of a class below which its test, which is asymptotic, is not relied on."""
Entry = dict[str, Any]


def compare_pairs(
    results: Sequence[CellResult],
    by_key: Mapping[Key, Mapping[str, OverSeeds]],
    averages: Mapping[tuple[str, int], Mapping[str, OverCategories]],
    confidence: float,
) -> list[Entry]:
    """Compare all later detectors with the first; the difference is theirs minus the first's.

    Image AUROC of single runs with ten images of each class by DeLong, everything else by the
    paired bootstrap. Holm's correction takes the pairs of one metric over all categories and
    shots as one family, and those of its averages as another.
    """
    detectors = list(dict.fromkeys(detector for detector, _ in averages))
    found: list[Entry] = []
    for name in COMPARED:
        categories = list(_in_categories(results, by_key, detectors, name, confidence))
        overall = list(_on_average(averages, detectors, name, confidence))
        found += _corrected(categories) + _corrected(overall)
    return found


def _in_categories(
    results: Sequence[CellResult],
    by_key: Mapping[Key, Mapping[str, OverSeeds]],
    detectors: Sequence[str],
    name: str,
    confidence: float,
) -> Iterator[Entry]:
    cells: dict[Key, list[CellResult]] = {}
    for result in results:
        cells.setdefault(result.key, []).append(result)
    for (detector, category, shots), metrics in by_key.items():
        other = detectors[0], category, shots
        if detector == detectors[0] or other not in by_key:
            continue
        pair = cells[detector, category, shots], cells[other]
        if name == "image_auroc" and _fit_for_delong(*pair):
            found = compare_auroc(
                pair[0][0].labels, pair[0][0].scores, pair[1][0].scores, confidence
            )
        else:
            found = _bootstrapped(
                metrics[name].replicates, by_key[other][name].replicates, confidence
            )
        yield _entry(name, shots, category, detector, detectors[0], found)


def _on_average(
    averages: Mapping[tuple[str, int], Mapping[str, OverCategories]],
    detectors: Sequence[str],
    name: str,
    confidence: float,
) -> Iterator[Entry]:
    for (detector, shots), metrics in averages.items():
        other = averages.get((detectors[0], shots))
        if detector == detectors[0] or other is None:
            continue
        found = _bootstrapped(metrics[name].replicates, other[name].replicates, confidence)
        if metrics[name].counted != other[name].counted:
            found = _none("averages over different categories")
        yield _entry(name, shots, None, detector, detectors[0], found)


def _fit_for_delong(one: Sequence[CellResult], other: Sequence[CellResult]) -> bool:
    if len(one) > 1 or len(other) > 1 or not np.array_equal(one[0].labels, other[0].labels):
        return False
    labels = one[0].labels
    return min(int(labels.sum()), int((~labels).sum())) >= FEWEST_FOR_DELONG


def _bootstrapped(
    one: Replicates | None, other: Replicates | None, confidence: float
) -> Comparison:
    if one is None or other is None:
        return _none("the metric is undefined")
    if not np.array_equal(one.strata, other.strata):
        return _none("not the same images could be scored")
    return compare_replicates(one, other, confidence)


def _none(reason: str) -> Comparison:
    return Comparison(None, None, None, None, "paired bootstrap", reason)


def _entry(
    name: str, shots: int, category: str | None, detector: str, first: str, found: Comparison
) -> Entry:
    who = {"metric": name, "shots": shots, "category": category}
    return {**who, "detector": detector, "against": first, **asdict(found)}


def _corrected(entries: list[Entry]) -> list[Entry]:
    """Add Holm's correction over these entries."""
    adjusted = holm({str(index): entry["p_value"] for index, entry in enumerate(entries)})
    return [
        {**entry, "p_value_holm": adjusted[str(index)]} for index, entry in enumerate(entries)
    ]
