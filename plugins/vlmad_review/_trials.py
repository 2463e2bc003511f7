"""Scores by memories, and verdicts by thresholds, that an image had no part in.

The references and misses that the images of a fold are judged by, and their threshold, are chosen
without that fold. The threshold is itself chosen on scores out of fold, since references score far
too low in a memory that holds them, and misses too high. So image i is scored for fold k by a
memory that lacks both its own fold and k; for its own fold these are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlmad_calibration.cuts import as_scores, choose_threshold
from vlmad_review._material import tracked
from vlmad_review.gains import HeldOut, make_folds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from vlmad_calibration.rules import Rule
    from vlmad_review._material import ReviewMaterial

MOST = 50
"""New references at most, and new misses."""


class Lessons(NamedTuple):
    """What a memory has learned from reviewed images."""

    references: bool = False
    misses: bool = False


@dataclass(frozen=True)
class Trials:
    """Tries new references, misses and thresholds on reviewed images."""

    material: ReviewMaterial
    rule: Rule
    rate: float | None

    @cached_property
    def folds(self) -> Int[np.ndarray, " n"] | None:
        """The fold of each image, one for all views of a part; None where there are too few."""
        folds = make_folds(self.material.truth)
        return None if folds is None else self.material.of_views(folds)

    @property
    def count(self) -> int:
        """How many folds there are."""
        return 0 if self.folds is None else int(self.folds.max()) + 1

    @cached_property
    def as_it_is(self) -> Float[np.ndarray, " n"]:
        """The scores by the run's own detector."""
        return self.material.score(range(len(self.material.features)))

    def new_references(self, *left_out: int) -> Int[np.ndarray, " m"]:
        """Choose which confirmed normal images become references, the highest scores first.

        False alarms come first by that, whatever the threshold.

        Args:
            left_out: folds that none is taken from.
        """
        return self._first(False, -self.as_it_is, left_out)

    def new_misses(self, *left_out: int) -> Int[np.ndarray, " m"]:
        """Choose which confirmed anomalous images are to score higher, the lowest scores first.

        Misses come first by that, whatever the threshold.
        """
        return self._first(True, self.as_it_is, left_out)

    def _first(
        self, anomalous: bool, order: Float[np.ndarray, " n"], left_out: tuple[int, ...]
    ) -> Int[np.ndarray, " m"]:
        out = np.isin(self.folds, left_out) if self.folds is not None else False
        wanted = (self.material.anomalous == anomalous) & ~np.asarray(out)
        candidates = np.flatnonzero(wanted)
        return candidates[np.argsort(order[candidates], kind="stable")[:MOST]]

    def memory(self, learned: Lessons, *left_out: int) -> Mapping[str, Tensor] | None:
        """Return the memory of all images but those of some folds."""
        new = np.sort(self.new_references(*left_out)) if learned.references else None
        missed = np.sort(self.new_misses(*left_out)) if learned.misses else ()
        return self.material.memory_with(new, missed)

    @cached_property
    def tables(self) -> dict[Lessons, Float[np.ndarray, "k n"]]:
        """What each image scores for each fold (see the module's head), by what was tried."""
        return {Lessons(): np.tile(self.as_it_is, (self.count, 1))}

    def table(self, learned: Lessons) -> Float[np.ndarray, "k n"]:
        """Return what each image scores for each fold."""
        if learned not in self.tables:
            self.tables[learned] = self._try(learned)
        return self.tables[learned]

    def _try(self, learned: Lessons) -> Float[np.ndarray, "k n"]:
        table = np.full((self.count, len(self.as_it_is)), np.nan)
        pairs = list(combinations_with_replacement(range(self.count), 2))
        what = f"trying {'misses' if learned.misses else 'references'}"
        for one, other in tracked(pairs, what, len(pairs)):
            memory = self.memory(learned, one, other)
            for own, judged_by in {(one, other), (other, one)}:
                inside = np.flatnonzero(self.folds == own)
                table[judged_by, inside] = self.material.score(inside, memory)
        return table

    def out_of_fold(self, learned: Lessons) -> Float[np.ndarray, " n"]:
        """Return what each image scores by a memory that lacks its own fold."""
        if not any(learned):
            return self.as_it_is
        scores: Float[np.ndarray, " n"] = self.table(learned)[self.folds, range(len(self.as_it_is))]
        return scores

    def held_out(self, learned: Lessons) -> HeldOut:
        """Measure verdicts by thresholds that were chosen on the other folds."""
        of_parts, bad = self.material.of_parts, self.material.truth
        called = np.zeros(len(bad), dtype=bool)
        for fold, scores in enumerate(map(of_parts, self.table(learned))):
            inside = of_parts(np.asarray(self.folds == fold))
            good, anomalous = scores[~inside & ~bad], scores[~inside & bad]
            limits = as_scores(good), as_scores(anomalous)
            threshold = choose_threshold(*limits, self.rule, self.rate)
            called[inside] = scores[inside] >= threshold
        return HeldOut(bad, of_parts(self.out_of_fold(learned)), called)

    def of_the_run(self) -> HeldOut:
        """Measure the detector as it is, by the run's threshold if it had one."""
        limit, scores = self.material.run.threshold, self.material.of_parts(self.as_it_is)
        if limit is None:
            return self.held_out(Lessons())
        called: Bool[np.ndarray, " n"] = scores >= limit.value
        return HeldOut(self.material.truth, scores, called)
