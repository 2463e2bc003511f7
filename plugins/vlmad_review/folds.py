"""Which images judge which: no image is ever in the memory that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

FOLDS = 5
LEAST = 3
"""Images of each class without which nothing is measured: a threshold for one fold is chosen on
a second, judged by a memory of a third."""


@dataclass(frozen=True, slots=True)
class Folds:
    """Parts of the reviewed images, each with as even a share of both classes as can be."""

    of: Int[np.ndarray, " n"]
    """The fold of each image, from 0."""
    count: int

    def inside(self, fold: int) -> Int[np.ndarray, " q"]:
        """Return the images of a fold."""
        return np.flatnonzero(self.of == fold)

    def outside(self, *folds: int) -> Bool[np.ndarray, " n"]:
        """Return which images are in none of some folds."""
        return ~np.isin(self.of, folds)


def make_folds(anomalous: Bool[np.ndarray, " n"], seed: int, most: int = FOLDS) -> Folds | None:
    """Part images at random, the same way for the same seed; None for one image of a class alone.

    Args:
        anomalous: a boolean for each image.
        seed: of the order.
        most: folds; there are fewer where a class has fewer images.
    """
    classes = [np.flatnonzero(anomalous == side) for side in (False, True)]
    count = min([most, *(len(members) for members in classes if len(members))])
    if count < 2:
        return None
    rng = np.random.default_rng(seed)
    shuffled = np.concatenate([rng.permutation(members) for members in classes])
    of = np.empty(len(anomalous), dtype=int)
    of[shuffled] = np.arange(len(shuffled)) % count
    return Folds(of, count)


def new_references(
    anomalous: Bool[np.ndarray, " n"],
    allowed: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    most: int,
) -> Int[np.ndarray, " m"]:
    """Choose which confirmed normal images become references: those that scored highest.

    False alarms come first by that, whatever the threshold.

    Args:
        anomalous: a boolean for each image.
        allowed: which may be chosen; out of fold, those outside it.
        scores: of the detector as it is.
        most: how many to choose.
    """
    candidates = np.flatnonzero(allowed & ~anomalous)
    highest = candidates[np.argsort(-scores[candidates], kind="stable")]
    return np.sort(highest[:most])
