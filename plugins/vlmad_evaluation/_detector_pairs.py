"""Every detector against the first, on the same images; p-values corrected over all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_evaluation.averaging import compare_averages, of_categories
from vlmad_evaluation.comparison import Comparison, compare_auroc, max_t
from vlmad_evaluation.result_documents import PairEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float

    from vlmad_evaluation.averaging import ByPlace, Place
    from vlmad_evaluation.result_folders import CellResult

    Draws = Float[np.ndarray, " b"]

COMPARED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30", "pixel_au_spro_05")
FEWEST_FOR_DELONG = 10
"""Images of a class below which its test, which is asymptotic, is not relied on."""


def compare_pairs(
    results: Sequence[CellResult],
    by_place: ByPlace,
    categories: Sequence[str],
    confidence: float,
) -> list[PairEntry]:
    """Compare all later detectors with the first; the difference is theirs minus the first's.

    Image AUROC of single runs with ten images of each class by DeLong, everything else by the
    paired bootstrap; averages over the categories that both have. The correction
    `p_value_max_t` takes the pairs of one metric over all categories and shots as one family,
    and those of its averages as another.
    """
    cells: dict[Place, list[CellResult]] = {}
    for each in results:
        cells.setdefault((each.cell.detector, each.cell.category, each.cell.shots), []).append(each)
    first = next((detector for detector, _, _ in by_place), "")
    averages = dict.fromkeys((detector, None, shots) for detector, _, shots in by_place)
    return [
        entry
        for name in COMPARED
        if any(name in metrics for metrics in by_place.values())
        for family in (by_place.keys(), averages.keys())
        for entry in _corrected(
            [
                _compared(name, place, first, by_place, cells, categories, confidence)
                for place in family
                if place[0] != first and (first, *place[1:]) in family
            ]
        )
    ]


def _compared(
    name: str,
    place: Place,
    first: str,
    by_place: ByPlace,
    cells: Mapping[Place, Sequence[CellResult]],
    categories: Sequence[str],
    confidence: float,
) -> tuple[PairEntry, Draws | None]:
    """Compare a detector with the first one; the difference on resampled images comes with it."""
    detector, category, shots = place
    own, firsts = (
        of_categories(by_place, each, shots, [category] if category else categories, name)
        for each in (detector, first)
    )
    found, draws = compare_averages(own, firsts, confidence)
    if name == "image_auroc" and category is not None and found.difference is not None:
        found = _delong(cells[place], cells[first, category, shots], confidence) or found
    entry = PairEntry(
        **found.model_dump(),
        metric=name,
        shots=shots,
        category=category,
        detector=detector,
        against=first,
        p_value_max_t=None,
    )
    return entry, draws


def _delong(
    own: Sequence[CellResult], first: Sequence[CellResult], confidence: float
) -> Comparison | None:
    """Compare single runs that have images enough."""
    labels = own[0].labels
    if len(own) > 1 or len(first) > 1 or min(labels.sum(), (~labels).sum()) < FEWEST_FOR_DELONG:
        return None
    return compare_auroc(labels, own[0].scores, first[0].scores, confidence)


def _corrected(compared: Sequence[tuple[PairEntry, Draws | None]]) -> Iterator[PairEntry]:
    """Add the p-values of max-T over these pairs.

    Categories of one size were resampled with one seed: which images are drawn, by their number,
    is the same in all of them. Left so, they would seem to vary together; each gets an order of
    draws of its own.
    """
    known = [
        (entry, draws)
        for entry, draws in compared
        if draws is not None and entry.difference is not None
    ]
    categories = list(dict.fromkeys(entry.category for entry, _ in known))
    orders = [np.random.default_rng(categories.index(entry.category)) for entry, _ in known]
    drawn = [
        draws[rng.permutation(len(draws))] for rng, (_, draws) in zip(orders, known, strict=True)
    ]
    jointly: dict[int, float] = {}
    if known:
        p_values = max_t(np.array([entry.difference for entry, _ in known]), np.stack(drawn))
        jointly = {id(e): p for (e, _), p in zip(known, p_values.tolist(), strict=True) if p == p}
    for entry, _ in compared:
        yield entry.model_copy(update={"p_value_max_t": jointly.get(id(entry))})
