"""Every detector against the first, on the same images; p-values corrected over all pairs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad_evaluation.comparison import Comparison, compare_auroc, compare_replicates, holm, max_t

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float

    from vlmad_evaluation._cell_results import CellResult
    from vlmad_evaluation.averaging import Key, OverCategories, OverSeeds
    from vlmad_evaluation.bootstrap import Replicates

COMPARED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
FEWEST_FOR_DELONG = 10
"""Images of a class below which its test, which is asymptotic, is not relied on."""
Entry = dict[str, Any]
Pair = tuple[Entry, "Float[np.ndarray, ' b'] | None"]
"""A comparison, and its difference on resampled images if there are any of both."""


def compare_pairs(
    results: Sequence[CellResult],
    by_key: Mapping[Key, Mapping[str, OverSeeds]],
    averages: Mapping[tuple[str, int], Mapping[str, OverCategories]],
    confidence: float,
) -> list[Entry]:
    """Compare all later detectors with the first; the difference is theirs minus the first's.

    Image AUROC of single runs with ten images of each class by DeLong, everything else by the
    paired bootstrap. Holm's correction takes the pairs of one metric over all categories and
    shots as one family, and those of its averages as another; so does the joint correction
    `p_value_max_t`, which looks at how resampling moves all of them together.
    """
    detectors = list(dict.fromkeys(detector for detector, _ in averages))
    found: list[Entry] = []
    for name in COMPARED:
        categories = list(_in_categories(results, by_key, detectors, name, confidence))
        overall = list(_on_average(results, averages, detectors, name, confidence))
        found += _corrected(categories) + _corrected(overall)
    return found


def _in_categories(
    results: Sequence[CellResult],
    by_key: Mapping[Key, Mapping[str, OverSeeds]],
    detectors: Sequence[str],
    name: str,
    confidence: float,
) -> Iterator[Pair]:
    cells: dict[Key, list[CellResult]] = {}
    for result in results:
        cells.setdefault(result.key, []).append(result)
    for (detector, category, shots), metrics in by_key.items():
        other = detectors[0], category, shots
        if detector == detectors[0] or other not in by_key:
            continue
        pair = cells[detector, category, shots], cells[other]
        if _left_out(pair[0]) != _left_out(pair[1]):
            none = _none("not the same images could be scored")
            yield _entry(name, shots, category, detector, detectors[0], none), None
            continue
        if name == "image_auroc" and _fit_for_delong(*pair):
            found = compare_auroc(
                pair[0][0].labels, pair[0][0].scores, pair[1][0].scores, confidence
            )
        else:
            found = _bootstrapped(
                metrics[name].replicates, by_key[other][name].replicates, confidence
            )
        entry = _entry(name, shots, category, detector, detectors[0], found)
        yield entry, _draws(metrics[name].replicates, by_key[other][name].replicates)


def _left_out(cells: Sequence[CellResult]) -> set[str]:
    """Return the images that could not be scored in some of the cells."""
    return {image for cell in cells for image in cell.facts.get("left_out", ())}


def _on_average(
    results: Sequence[CellResult],
    averages: Mapping[tuple[str, int], Mapping[str, OverCategories]],
    detectors: Sequence[str],
    name: str,
    confidence: float,
) -> Iterator[Pair]:
    by_average: dict[tuple[str, int], list[CellResult]] = {}
    for result in results:
        by_average.setdefault((result.key[0], result.key[2]), []).append(result)
    for (detector, shots), metrics in averages.items():
        other = averages.get((detectors[0], shots))
        if detector == detectors[0] or other is None:
            continue
        own, theirs = by_average[detector, shots], by_average[detectors[0], shots]
        if _left_out(own) != _left_out(theirs):
            none = _none("not the same images could be scored")
            yield _entry(name, shots, None, detector, detectors[0], none), None
            continue
        found = _bootstrapped(metrics[name].replicates, other[name].replicates, confidence)
        if metrics[name].counted != other[name].counted:
            found = _none("averages over different categories")
        entry = _entry(name, shots, None, detector, detectors[0], found)
        yield entry, _draws(metrics[name].replicates, other[name].replicates)


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


def _draws(one: Replicates | None, other: Replicates | None) -> Float[np.ndarray, " b"] | None:
    """Return the differences on resampled images, or None if they are not the same images."""
    if one is None or other is None or one.reason or other.reason:
        return None
    same = np.array_equal(one.strata, other.strata) and len(one.values) == len(other.values)
    return one.values - other.values if same else None


def _corrected(pairs: Sequence[Pair]) -> list[Entry]:
    """Add Holm's and the joint correction over these pairs."""
    adjusted = holm({str(index): entry["p_value"] for index, (entry, _) in enumerate(pairs)})
    jointly = _jointly(pairs)
    return [
        {**entry, "p_value_holm": adjusted[str(index)], "p_value_max_t": jointly.get(index)}
        for index, (entry, _) in enumerate(pairs)
    ]


def _independent(
    categories: Sequence[str | None], draws: Sequence[Float[np.ndarray, " b"]]
) -> Float[np.ndarray, "m b"]:
    """Return the draws in an order of its own for each category.

    Categories of one size were resampled with one seed: which images are drawn, by their number,
    is the same in all of them. Left so, they would seem to vary together.
    """
    orders = {
        category: np.random.default_rng(number).permutation(len(draws[0]))
        for number, category in enumerate(dict.fromkeys(categories))
    }
    return np.stack([own[orders[c]] for c, own in zip(categories, draws, strict=True)])


def _jointly(pairs: Sequence[Pair]) -> dict[int, float]:
    known = {
        index: draws
        for index, (entry, draws) in enumerate(pairs)
        if draws is not None and entry["difference"] is not None
    }
    if not known:
        return {}
    differences = np.array([pairs[index][0]["difference"] for index in known])
    categories = [pairs[index][0]["category"] for index in known]
    p_values = max_t(differences, _independent(categories, list(known.values())))
    found = zip(known, p_values.tolist(), strict=True)
    return {index: p_value for index, p_value in found if not np.isnan(p_value)}
