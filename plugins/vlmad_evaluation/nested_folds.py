"""Choosing by some folds of images, and judging what was chosen on the one that had no say.

The best of many owes part of its figure to chance: it was chosen on the images that it is judged
on. So images are dealt to folds. For each fold, the candidate is chosen that is best on average
over the others, and judged on that one alone; the mean over folds says how good a candidate is that
is chosen like this (nested cross-validation; Cawley and Talbot, JMLR 2010). Since no candidate
learns from labelled images, the inner folds of an outer one are the other outer ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FOLDS, PARTITIONS = 5, 20


def deal(
    strata: Int[np.ndarray, " n"], folds: int, partitions: int = PARTITIONS, seed: int = 0
) -> Int[np.ndarray, "r n"]:
    """Deal to folds some times, so that numbers of each stratum differ by one at most.

    >>> deal(np.array([0, 0, 1, 1]), 2, partitions=1).shape
    (1, 4)
    """
    rng = np.random.default_rng(seed)
    dealt = np.empty((partitions, len(strata)), dtype=int)
    for partition in dealt:
        start = 0
        for stratum in np.unique(strata):
            members = rng.permutation(np.flatnonzero(strata == stratum))
            partition[members] = (start + np.arange(len(members))) % folds
            start += len(members)
    return dealt


@dataclass(frozen=True, slots=True)
class NestedChoice:
    """What folds chose, and how good that is."""

    chosen: Int[np.ndarray, "r f"]
    """The candidate that the other folds of a partition chose for a fold."""
    judged: float
    """The mean figure of these, each on its fold."""
    best: int
    """The candidate that all folds choose together."""
    figures: Float[np.ndarray, " c"]
    """Of each candidate, the mean over all folds."""

    @property
    def times(self) -> Int[np.ndarray, " c"]:
        """How often each candidate was chosen."""
        return np.bincount(self.chosen.ravel(), minlength=len(self.figures))


def choose_nested(figures: Float[np.ndarray, "c r f"]) -> NestedChoice:
    """Choose by all other folds for each; of equal ones the first.

    Args:
        figures: of each candidate in each partition on each fold, the larger the better; two folds
            at least.
    """
    others = np.stack(
        [np.delete(figures, fold, axis=2).mean(axis=2) for fold in range(figures.shape[2])], axis=2
    )
    chosen = others.argmax(axis=0)
    judged = np.take_along_axis(figures, chosen[None], axis=0)
    means = figures.mean(axis=(1, 2))
    return NestedChoice(chosen, float(judged.mean()), int(means.argmax()), means)
