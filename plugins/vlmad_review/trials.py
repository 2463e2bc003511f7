"""Scores and verdicts out of fold, of the detector as it is and as it may become.

Everything that is chosen for a fold is chosen without it: the references that its images are
judged by, the words, and the threshold. That threshold is itself chosen on scores out of fold,
since references score far too low in a memory that holds them. So image i is scored for fold k
by a memory that lacks both its own fold and k; for its own fold these are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from vlmad.loading import chunks
from vlmad.types import Features
from vlmad_calibration.calibration import choose_threshold
from vlmad_calibration.cuts import as_scores
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_review.folds import new_references

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jaxtyping import Bool, Float, Int
    from torch import Tensor
    from vlmad_run.execute import Progress

    from vlmad.types import TextEmbeddings
    from vlmad_calibration.rules import Rule
    from vlmad_review.folds import Folds
    from vlmad_review.material import Material

CHUNK = 8
"""Images that are scored together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector says of the reviewed images."""

    scores: Float[np.ndarray, " n"]
    called: Bool[np.ndarray, " n"]
    """Anomalous, by a threshold."""


class Trials:
    """Tries references, words and thresholds on reviewed images.

    Args:
        material: the images, encoded.
        texts: of each changed prompt list; none where there is nothing to change.
        folds: None where there are too few images for any.
        rule: how a threshold is chosen, and its rate.
        most: new references at most.
        progress: told after some images what is tried and how far it is.
    """

    def __init__(
        self,
        material: Material,
        texts: Sequence[TextEmbeddings],
        folds: Folds | None,
        rule: tuple[Rule, float | None],
        most: int,
        progress: Progress,
    ) -> None:
        self.material, self.folds, self._most = material, folds, most
        self._rule, self._progress = rule, progress
        self._texts: tuple[TextEmbeddings | None, ...] = (None, *texts)
        self.anomalous = material.anomalous
        self._everyone = np.arange(len(self.anomalous))
        # methods of one object that is not kept: cached on it, so that nothing is tried twice
        self.as_it_is = cache(self._as_it_is)
        self.chosen_change = cache(self._chosen_change)
        self.table = cache(self._table)

    def _as_it_is(self, change: int = 0) -> Float[np.ndarray, " n"]:
        """Return the scores by the memory as it is, with a change of words (0 is none)."""
        total = len(self._texts) * len(self._everyone)
        done = change * len(self._everyone)
        what = "trying words" if len(self._texts) > 1 else "scoring"
        return self._score(self._everyone, self.material.memory, change, (what, done, total))

    def _chosen_change(self, fold: int | None = None) -> int:
        """Return the change that ranks the images outside a fold best; 0 is none, and wins ties.

        The memory is the one as it is, which holds no reviewed image.
        """
        shown = np.ones(len(self._everyone), dtype=bool)
        if fold is not None:
            assert self.folds is not None
            shown = self.folds.outside(fold)
        areas = []
        for change in range(len(self._texts)):
            found = image_metrics(self.anomalous[shown], self.as_it_is(change)[shown])
            areas.append(found["image_auroc"].value or 0.0)
        return int(np.argmax(areas))

    def references_without(self, *folds: int) -> Int[np.ndarray, " m"]:
        """Return the reviewed images that become references where some folds are left out."""
        allowed = np.ones(len(self._everyone), dtype=bool)
        if folds:
            assert self.folds is not None
            allowed = self.folds.outside(*folds)
        return new_references(self.anomalous, allowed, self.as_it_is(), self._most)

    def memory_without(self, *folds: int) -> Mapping[str, Tensor] | None:
        """Return a memory of the old references and the new ones outside some folds."""
        new = [self.material.features[index] for index in self.references_without(*folds)]
        remembered = [*self.material.reference_features, *new]
        return self.material.detector.memory_of(remembered) if remembered else None

    def _table(self, references: bool, states: bool) -> Float[np.ndarray, "k n"]:
        """Return what each image scores for each fold; see the head of this module."""
        assert self.folds is not None
        count = self.folds.count
        changes = [self.chosen_change(fold) if states else 0 for fold in range(count)]
        if not references:
            return np.stack([self.as_it_is(change) for change in changes])
        table = np.full((count, len(self._everyone)), np.nan)
        done, total = 0, count * len(self._everyone)
        what = "trying references and words" if states else "trying references"
        for one in range(count):
            for other in range(one, count):
                memory = self.memory_without(one, other)
                for fold, judged_by in {(one, other), (other, one)}:
                    inside = self.folds.inside(fold)
                    step = (what, done, total)
                    table[judged_by, inside] = self._score(
                        inside, memory, changes[judged_by], step
                    )
                    done += len(inside)
        return table

    def outcome(
        self, references: bool, states: bool, threshold: float | None = None
    ) -> Outcome:
        """Return scores and verdicts out of fold.

        Args:
            references: whether new references are remembered.
            states: whether words are changed.
            threshold: a given one; None chooses one for each fold.
        """
        assert self.folds is not None
        table = self.table(references, states)
        scores: Float[np.ndarray, " n"] = table[self.folds.of, self._everyone]
        called = np.zeros(len(scores), dtype=bool)
        for fold in range(self.folds.count):
            inside, outside = self.folds.inside(fold), self.folds.outside(fold)
            value = threshold
            if value is None:
                value = self._threshold(table[fold, outside], self.anomalous[outside])
            called[inside] = scores[inside] >= value
        return Outcome(scores, called)

    def _threshold(
        self, scores: Float[np.ndarray, " n"], anomalous: Bool[np.ndarray, " n"]
    ) -> float:
        good, bad = as_scores(scores[~anomalous]), as_scores(scores[anomalous])
        return choose_threshold(good, bad, *self._rule)

    def final_scores(self, references: bool, change: int) -> Float[np.ndarray, " n"]:
        """Return what a threshold to be kept is chosen on.

        The words are those that are kept; an image's own fold is left out of the memory.
        """
        if not references:
            return self.as_it_is(change)
        assert self.folds is not None
        if change == 0 and self.folds.count > 2:
            return self.outcome(references, states=False).scores
        scores, done = np.empty(len(self._everyone)), 0
        for fold in range(self.folds.count):
            inside = self.folds.inside(fold)
            step = ("scoring for the threshold", done, len(scores))
            scores[inside] = self._score(inside, self.memory_without(fold), change, step)
            done += len(inside)
        return scores

    def _score(
        self,
        images: Iterable[int],
        memory: Mapping[str, Tensor] | None,
        change: int,
        step: tuple[str, int, int],
    ) -> Float[np.ndarray, " q"]:
        """Score images by a memory and a text; of one cut into tiles the highest counts."""
        detector, scores = self.material.detector, []
        what, done, total = step
        for some in chunks(images, CHUNK):
            each = [self.material.features[index] for index in some]
            features = Features.concatenate(each)
            text = self._texts[change]
            if text is None:
                text = detector.text(self.material.class_name, features)
            found = detector.score_by(features, text, memory).score
            scores += [float(part.max()) for part in found.split([len(one) for one in each])]
            self._progress(what, done + len(scores), total)
        # as float64, so that a threshold is compared with what was written down
        return np.asarray(scores, np.float32).astype(np.float64)
