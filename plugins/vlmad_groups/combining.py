"""From the p-values of a part's views to one, without a word on how the views depend on each other.

Views of one part share its light, its place and the references that they are compared with. So only
rules are offered whose rate of false alarms holds however p-values depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
"""Up to which p-value a part is anomalous, where nobody says."""
LARGEST = 1e12
"""Above the root that `harmonic_factor` looks for, of any number of views that can be."""


class Combine(StrEnum):
    """How the views of a part become one verdict."""

    worst = "worst"
    """The part is as bad as its worst view."""
    bonferroni = "bonferroni"
    """The smallest p-value times the number of views."""
    harmonic = "harmonic"
    """The harmonic mean of the p-values times `harmonic_factor`."""

    @property
    def of_p_values(self) -> bool:
        """Whether p-values are combined, rather than verdicts."""
        return self is not Combine.worst


@dataclass(frozen=True, slots=True)
class PartRule:
    """How views become a verdict on their part."""

    combine: Combine = Combine.worst
    views: int | None = None
    """How many a part is to have; None for as many as there are."""
    level: float = LEVEL
    """Up to which combined p-value a part is anomalous."""


def combine_p_values(p_values: Sequence[float], rule: Combine) -> float:
    """Return one p-value: under the null it is at most t with a probability of at most t.

    That holds under any dependence. Bonferroni's rule is the best where one view shows the defect,
    the harmonic mean (Wilson, PNAS 116, 2019; with the factor by which it is valid, see
    `harmonic_factor`) where most views do.

    Args:
        p_values: one for each view, above 0 and at most 1.
        rule: any but `worst`, which takes no p-values.

    Raises:
        InputError: there are none, or one is no p-value.

    >>> combine_p_values([0.01, 0.5, 0.7], Combine.bonferroni)
    0.03
    >>> round(combine_p_values([0.01, 0.01, 0.01], Combine.harmonic), 4)
    0.0275
    """
    if not p_values or not all(0 < p <= 1 for p in p_values):
        raise InputError(f"p-values lie above 0 and are at most 1: {list(p_values)[:4]}")
    views = len(p_values)
    if rule is Combine.bonferroni:
        return min(1.0, views * min(p_values))
    if rule is Combine.harmonic:
        mean = views / math.fsum(1 / p for p in p_values)
        return min(1.0, harmonic_factor(views) * mean)
    raise InputError(f"the rule {rule} takes no p-values")


@cache
def harmonic_factor(views: int) -> float:
    """Return by what a harmonic mean is multiplied so that it is a p-value under any dependence.

    The smallest such factor: (y + m)² / ((y + 1) m) with the y > 0 that solves
    y² = m ((y + 1) ln(y + 1) - y), for m > 2 views (Vovk and Wang, Biometrika 107, 2020,
    Proposition 6); of two views 2, which Bonferroni's rule implies.

    >>> [round(harmonic_factor(views), 3) for views in (1, 2, 3, 5, 10)]
    [1.0, 2.0, 2.746, 3.565, 4.56]
    """
    if views < 3:
        return float(views)
    from scipy.optimize import brentq

    def excess(y: float) -> float:
        return float(y * y - views * ((y + 1) * math.log1p(y) - y))

    y = float(brentq(excess, 1e-3, LARGEST))
    return (y + views) ** 2 / ((y + 1) * views)


def references_needed(rule: Combine, views: int, level: float) -> int:
    """Return how many good scores let a part of so many views be called anomalous at all.

    The smallest p-value that n good scores can give is 1 / (n + 1).

    >>> references_needed(Combine.bonferroni, 4, 0.05), references_needed(Combine.harmonic, 4, 0.05)
    (79, 64)
    """
    factor = views if rule is Combine.bonferroni else harmonic_factor(views)
    return math.ceil(round(factor / level, 9)) - 1
