"""Every detector against the first, on the same images; p-values corrected over all pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vlmad_evaluation.comparison import Comparison, compare_auroc, compare_replicates, holm, max_t
from vlmad_evaluation.result_documents import PairEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float

    from vlmad_evaluation.averaging import Averaged, CellKey
    from vlmad_evaluation.bootstrap import Replicates
    from vlmad_evaluation.result_folders import CellResult

Place: TypeAlias = "tuple[str, str | None, int]"
"""Detector, category (None on average) and shots."""
COMPARED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
FEWEST_FOR_DELONG = 10
"""Images of a class below which its test, which is asymptotic, is not relied on."""


@dataclass(frozen=True, slots=True)
class DetectorPair:
    """A detector and the first one, on a category or on average (None), with some references."""

    detector: str
    against: str
    category: str | None
    shots: int
    metrics: tuple[Mapping[str, Averaged], Mapping[str, Averaged]]
    cells: tuple[list[CellResult], list[CellResult]]


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """What comes of comparing a pair in a metric."""

    pair: DetectorPair
    found: Comparison
    draws: Float[np.ndarray, " b"] | None
    """The difference on resampled images, if there are any of both."""


def compare_pairs(
    results: Sequence[CellResult],
    by_key: Mapping[CellKey, Mapping[str, Averaged]],
    averages: Mapping[tuple[str, int], Mapping[str, Averaged]],
    confidence: float,
) -> list[PairEntry]:
    """Compare all later detectors with the first; the difference is theirs minus the first's.

    Image AUROC of single runs with ten images of each class by DeLong, everything else by the
    paired bootstrap. Holm's correction takes the pairs of one metric over all categories and
    shots as one family, and those of its averages as another; so does the joint correction
    `p_value_max_t`, which looks at how resampling moves all of them together.
    """
    by_place: list[dict[Place, Mapping[str, Averaged]]] = [
        {place: each for place, each in by_key.items()},
        {(detector, None, shots): each for (detector, shots), each in averages.items()},
    ]
    families = [list(_pairs(results, each)) for each in by_place]
    return [
        entry
        for name in COMPARED
        for pairs in families
        for entry in _corrected(name, [_compare(pair, name, confidence) for pair in pairs])
    ]


def _pairs(
    results: Sequence[CellResult],
    by_place: Mapping[Place, Mapping[str, Averaged]],
) -> Iterator[DetectorPair]:
    cells: dict[Place, list[CellResult]] = {}
    for result in results:
        for place in (result.key, (result.key[0], None, result.key[2])):
            cells.setdefault(place, []).append(result)
    first = next((detector for detector, _, _ in by_place), "")
    for (detector, category, shots), metrics in by_place.items():
        other = first, category, shots
        if detector != first and other in by_place:
            both = cells[detector, category, shots], cells[other]
            yield DetectorPair(detector, first, category, shots, (metrics, by_place[other]), both)


def _compare(pair: DetectorPair, name: str, confidence: float) -> ComparedPair:
    one, other = (metrics[name] for metrics in pair.metrics)
    left_out = [{image for cell in cells for image in cell.facts.left_out} for cells in pair.cells]
    if left_out[0] != left_out[1]:
        return ComparedPair(pair, _none("not the same images could be scored"), None)
    if one.counted != other.counted:
        found = _none("averages over different categories")
    elif name == "image_auroc" and _is_fit_for_delong(pair):
        (own,), (first,) = pair.cells
        found = compare_auroc(own.labels, own.scores, first.scores, confidence)
    else:
        found = _bootstrapped(one.replicates, other.replicates, confidence)
    return ComparedPair(pair, found, _draws(one.replicates, other.replicates))


def _is_fit_for_delong(pair: DetectorPair) -> bool:
    own, first = pair.cells
    if pair.category is None or len(own) > 1 or len(first) > 1:
        return False
    labels = own[0].labels
    fewest = min(int(labels.sum()), int((~labels).sum()))
    return fewest >= FEWEST_FOR_DELONG and np.array_equal(labels, first[0].labels)


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


def _draws(one: Replicates | None, other: Replicates | None) -> Float[np.ndarray, " b"] | None:
    """Return the differences on resampled images, or None if they are not the same images."""
    if one is None or other is None or one.reason or other.reason:
        return None
    same = np.array_equal(one.strata, other.strata) and len(one.values) == len(other.values)
    return one.values - other.values if same else None


def _corrected(name: str, compared: Sequence[ComparedPair]) -> Iterator[PairEntry]:
    """Add Holm's and the joint correction over these pairs."""
    adjusted = holm({str(index): each.found.p_value for index, each in enumerate(compared)})
    jointly = _jointly(compared)
    for index, each in enumerate(compared):
        yield PairEntry(
            metric=name,
            shots=each.pair.shots,
            category=each.pair.category,
            detector=each.pair.detector,
            against=each.pair.against,
            **asdict(each.found),
            p_value_holm=adjusted[str(index)],
            p_value_max_t=jointly.get(index),
        )


def _jointly(compared: Sequence[ComparedPair]) -> dict[int, float]:
    """Return the p-values of max-T, by the place of a pair.

    Categories of one size were resampled with one seed: which images are drawn, by their number,
    is the same in all of them. Left so, they would seem to vary together; each gets an order of
    draws of its own.
    """
    known = {
        index: each
        for index, each in enumerate(compared)
        if each.draws is not None and each.found.difference is not None
    }
    if not known:
        return {}
    categories = list(dict.fromkeys(each.pair.category for each in known.values()))
    draws = []
    for each in known.values():
        assert each.draws is not None
        rng = np.random.default_rng(categories.index(each.pair.category))
        draws.append(each.draws[rng.permutation(len(each.draws))])
    p_values = max_t(np.array([e.found.difference for e in known.values()]), np.stack(draws))
    found = zip(known, p_values.tolist(), strict=True)
    return {index: p_value for index, p_value in found if not np.isnan(p_value)}
