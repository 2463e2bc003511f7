"""Scores by memories, and verdicts by thresholds, that an image had no part in.

The references that the images of a fold are judged by, and their threshold, are chosen without
that fold. The threshold is itself chosen on scores out of fold, since references score far too
low in a memory that holds them. So image i is scored for fold k by a memory that lacks both its
own fold and k; for its own fold these are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from vlmad_calibration.cuts import as_scores, choose_threshold
from vlmad_review._material import tracked
from vlmad_review.gains import HeldOut, make_folds

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from vlmad_calibration.rules import Rule
    from vlmad_review._material import ReviewMaterial

MOST = 50
"""New references at most."""


@dataclass(frozen=True)
class Trials:
    """Tries new references and thresholds on reviewed images."""

    material: ReviewMaterial
    rule: Rule
    rate: float | None

    @cached_property
    def folds(self) -> Int[np.ndarray, " n"] | None:
        """The fold of each image; None where there are too few for any."""
        return make_folds(self.material.anomalous)

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
        out = np.isin(self.folds, left_out) if self.folds is not None else False
        candidates = np.flatnonzero(~self.material.anomalous & ~np.asarray(out))
        highest = np.argsort(-self.as_it_is[candidates], kind="stable")
        return candidates[highest[:MOST]]

    @cached_property
    def with_references(self) -> Float[np.ndarray, "k n"]:
        """What each image scores for each fold with new references (see the module's head)."""
        table = np.full((self.count, len(self.as_it_is)), np.nan)
        pairs = list(combinations_with_replacement(range(self.count), 2))
        for one, other in tracked(pairs, "trying references", len(pairs)):
            memory = self.material.memory_with(np.sort(self.new_references(one, other)))
            for own, judged_by in {(one, other), (other, one)}:
                inside = np.flatnonzero(self.folds == own)
                table[judged_by, inside] = self.material.score(inside, memory)
        return table

    def out_of_fold(self, references: bool) -> Float[np.ndarray, " n"]:
        """Return what each image scores by a memory that lacks its own fold."""
        if not references:
            return self.as_it_is
        scores: Float[np.ndarray, " n"] = self.with_references[
            self.folds, range(len(self.as_it_is))
        ]
        return scores

    def held_out(self, references: bool) -> HeldOut:
        """Measure verdicts by thresholds that were chosen on the other folds."""
        anomalous = self.material.anomalous
        table = self.with_references if references else np.tile(self.as_it_is, (self.count, 1))
        called = np.zeros(len(anomalous), dtype=bool)
        for fold, scores in enumerate(table):
            inside = self.folds == fold
            good, bad = scores[~inside & ~anomalous], scores[~inside & anomalous]
            threshold = choose_threshold(as_scores(good), as_scores(bad), self.rule, self.rate)
            called[inside] = scores[inside] >= threshold
        return HeldOut(anomalous, self.out_of_fold(references), called)

    def of_the_run(self) -> HeldOut:
        """Measure the detector as it is, by the run's threshold if it had one."""
        limit, scores = self.material.run.threshold, self.as_it_is
        if limit is None:
            return self.held_out(references=False)
        called: Bool[np.ndarray, " n"] = scores >= limit.value
        return HeldOut(self.material.anomalous, scores, called)
