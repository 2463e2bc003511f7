"""Every detector against the first, on the same images; p-values corrected over all pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vlmad_evaluation.comparison import Comparison, compare_auroc, compare_replicates, max_t
from vlmad_evaluation.result_documents import PairEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float

    from vlmad_evaluation.averaging import Averaged, CellKey
    from vlmad_evaluation.result_folders import CellResult

Place: TypeAlias = "tuple[str, str | None, int]"
"""Detector, category (None on average) and shots."""
COMPARED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
FEWEST_FOR_DELONG = 10
"""Images of a class below which its test, which is asymptotic, is not relied on."""
OTHERS = "not the same images could be scored"


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """What comes of comparing a detector with the first one in a metric."""

    place: Place
    against: str
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
    paired bootstrap. The correction `p_value_max_t` takes the pairs of one metric over all
    categories and shots as one family, and those of its averages as another.
    """
    cells: dict[Place, list[CellResult]] = {}
    for result in results:
        detector, _, shots = result.key
        for place in (result.key, (detector, None, shots)):
            cells.setdefault(place, []).append(result)
    families: list[dict[Place, Mapping[str, Averaged]]] = [
        {place: each for place, each in by_key.items()},
        {(detector, None, shots): each for (detector, shots), each in averages.items()},
    ]
    return [
        entry
        for name in COMPARED
        for family in families
        for entry in _corrected(name, list(_compared(name, family, cells, confidence)))
    ]


def _compared(
    name: str,
    family: Mapping[Place, Mapping[str, Averaged]],
    cells: Mapping[Place, list[CellResult]],
    confidence: float,
) -> Iterator[ComparedPair]:
    first = next((detector for detector, _, _ in family), "")
    for place, metrics in family.items():
        against = first, *place[1:]
        if place[0] != first and against in family:
            if _left_out(cells[place]) != _left_out(cells[against]):
                yield ComparedPair(place, first, _none(OTHERS), None)
                continue
            found, (one, other) = None, (metrics[name], family[against][name])
            if name == "image_auroc" and place[1] is not None:
                found = _delong(cells[place], cells[against], confidence)
            found = found or _compare(one, other, confidence)
            yield ComparedPair(place, first, found, _draws(one, other))


def _left_out(cells: Sequence[CellResult]) -> set[str]:
    return {image for cell in cells for image in cell.facts.left_out}


def _compare(one: Averaged, other: Averaged, confidence: float) -> Comparison:
    if one.counted != other.counted:
        return _none("averages over different categories")
    if one.replicates is None or other.replicates is None:
        return _none("the metric is undefined")
    if not np.array_equal(one.replicates.strata, other.replicates.strata):
        return _none(OTHERS)
    return compare_replicates(one.replicates, other.replicates, confidence)


def _delong(
    own: Sequence[CellResult], first: Sequence[CellResult], confidence: float
) -> Comparison | None:
    """Compare single runs that have images enough."""
    if len(own) > 1 or len(first) > 1 or not np.array_equal(own[0].labels, first[0].labels):
        return None
    labels = own[0].labels
    if min(labels.sum(), (~labels).sum()) < FEWEST_FOR_DELONG:
        return None
    return compare_auroc(labels, own[0].scores, first[0].scores, confidence)


def _none(reason: str) -> Comparison:
    return Comparison(None, None, None, None, "paired bootstrap", reason)


def _draws(one: Averaged, other: Averaged) -> Float[np.ndarray, " b"] | None:
    """Return the differences on resampled images, or None if they are not the same images."""
    a, b = one.replicates, other.replicates
    if a is None or b is None or a.reason or b.reason or one.counted != other.counted:
        return None
    same = np.array_equal(a.strata, b.strata) and len(a.values) == len(b.values)
    return a.values - b.values if same else None


def _corrected(name: str, compared: Sequence[ComparedPair]) -> Iterator[PairEntry]:
    """Add the joint correction over these pairs."""
    jointly = _jointly(compared)
    for index, each in enumerate(compared):
        detector, category, shots = each.place
        yield PairEntry(
            metric=name,
            shots=shots,
            category=category,
            detector=detector,
            against=each.against,
            **asdict(each.found),
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
    categories = list(dict.fromkeys(each.place[1] for each in known.values()))
    draws = []
    for each in known.values():
        assert each.draws is not None
        rng = np.random.default_rng(categories.index(each.place[1]))
        draws.append(each.draws[rng.permutation(len(each.draws))])
    p_values = max_t(np.array([e.found.difference for e in known.values()]), np.stack(draws))
    found = zip(known, p_values.tolist(), strict=True)
    return {index: p_value for index, p_value in found if not np.isnan(p_value)}
