"""The figures of combinations on folds of images, from the stored scores and maps of a grid."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_evaluation._cell_metrics import StoredMaps, curves_of_maps
from vlmad_evaluation.bootstrap import BINS
from vlmad_evaluation.curves import CURVE_METRICS
from vlmad_evaluation.image_curves import curves_of_scores
from vlmad_evaluation.judged_parts import judged_images, judged_parts, names_of
from vlmad_evaluation.nested_folds import FOLDS, PARTITIONS, deal
from vlmad_evaluation.notation import TITLES, shots_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float, Int

    from vlmad_evaluation.image_curves import ImageCurves
    from vlmad_evaluation.judged_parts import LabelledScores
    from vlmad_evaluation.result_documents import BenchCell
    from vlmad_evaluation.result_folders import Results, Scored

FEWEST = 2
"""Images of each class in a category, so that one fold can choose and another judge."""


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """Candidates with their figures on each fold, averaged over seeds and categories."""

    candidates: Sequence[tuple[str, int]]
    categories: Sequence[str]
    left_out: Mapping[str, str]
    figures: Float[np.ndarray, "c r f"]


def judge(results: Results, metric: str) -> FoldFigures:
    """Return the figures of all combinations on all folds.

    Raises:
        InputError: there are too few labelled images, or every combination failed somewhere.
    """
    candidates, left_out = _candidates(results)
    units = {category: _Units(results, candidates, category) for category in _categories(results)}
    few = [category for category, own in units.items() if own.folds < FEWEST]
    left_out |= dict.fromkeys(few, "fewer than two good or two defective ones to judge by")
    judged = {category: own for category, own in units.items() if category not in few}
    folds = min([FOLDS, *(own.folds for own in judged.values())])
    found = {c: own.figures(metric, folds) for c, own in judged.items()}
    undefined = [category for category, own in found.items() if not np.isfinite(own).all()]
    left_out |= dict.fromkeys(undefined, f"{TITLES[metric]} is undefined on a fold")
    categories = [category for category in found if category not in undefined]
    if not categories:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"nothing can be chosen by nested folds: {why}")
    mean = np.mean([found[category] for category in categories], axis=0)
    return FoldFigures([*candidates], categories, left_out, mean)


def _categories(results: Results) -> list[str]:
    return list(results.document.dataset.categories)


def _candidates(
    results: Results,
) -> tuple[dict[tuple[str, int], list[BenchCell]], dict[str, str]]:
    """Return the cells of combinations that scored every image, and why others are left out."""
    cells: dict[tuple[str, int], list[BenchCell]] = {}
    for cell in results.document.cells:
        cells.setdefault((cell.detector, cell.shots), []).append(cell)
    left_out = {}
    for (name, shots), own in [*cells.items()]:
        due = len(_categories(results)) * results.document.draws(shots)
        if len(own) < due or any(cell.failed for cell in own):
            left_out[f"{name}, {shots_name(shots)}"] = "it did not score every image"
            del cells[name, shots]
    if not cells:
        raise InputError("no combination scored every image, so that none can be chosen")
    return cells, left_out


class _Units:
    """What is judged in a category, images or parts, dealt to folds."""

    def __init__(
        self,
        results: Results,
        candidates: Mapping[tuple[str, int], Sequence[BenchCell]],
        category: str,
    ) -> None:
        self.results = results
        self.cells = [[c for c in own if c.category == category] for own in candidates.values()]
        self.truth: dict[str, bool] = {}
        seen: Counter[str] = Counter()
        every = [cell for own in self.cells for cell in own]
        for cell in every:
            judged = _judged(results, cell, [*results.scored(cell)])
            self.truth |= dict(zip(judged.names, judged.labels.tolist(), strict=True))
            seen.update(judged.names)
        # others are references of some cell, and so in fewer
        always = [name for name in self.truth if seen[name] == len(every)]
        bad = sum(self.truth[name] for name in always)
        self.folds = min(bad, len(always) - bad)
        """As many at most have one of each class in every cell."""
        self.strata = np.array([2 * t + (seen[n] < len(every)) for n, t in self.truth.items()])

    def figures(self, metric: str, folds: int) -> Float[np.ndarray, "c r f"]:
        """Return the metric on each fold, on average over the cells of each candidate."""
        dealt = dict(zip(self.truth, deal(self.strata, folds).T, strict=True))
        return np.array(
            [
                np.mean([self._of_cell(cell, metric, dealt, folds) for cell in own], axis=0)
                for own in self.cells
            ]
        )

    def _of_cell(
        self, cell: BenchCell, metric: str, dealt: Mapping[str, Int[np.ndarray, " r"]], folds: int
    ) -> Float[np.ndarray, "r f"]:
        kind, name = metric.split("_", 1)
        scored = [*self.results.scored(cell)]
        made = _of_images if kind == "image" else _of_pixels
        names, curves = made(self.results, cell, scored)
        if curves is None:
            return np.full((PARTITIONS, folds), np.nan)
        nowhere = np.full(PARTITIONS, -1)  # of a part that is not whole
        places = np.array([dealt.get(each, nowhere) for each in names])
        weights = (places.T[:, None] == np.arange(folds)[:, None]).reshape(-1, len(names))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = CURVE_METRICS[name](curves.curve(weights.astype(float))).value
        return values.reshape(PARTITIONS, folds)


def _judged(results: Results, cell: BenchCell, scored: Sequence[Scored]) -> LabelledScores:
    settings = results.document.settings
    if not settings.group:
        return judged_images(scored)
    references = [Path(os.path.abspath(each.path)) for each in cell.references]
    return judged_parts(scored, [each.sample for each in scored], settings, references)


def _of_images(
    results: Results, cell: BenchCell, scored: Sequence[Scored]
) -> tuple[Sequence[str], ImageCurves | None]:
    judged = _judged(results, cell, scored)
    return judged.names, curves_of_scores(judged.labels, judged.scores, BINS)


def _of_pixels(
    results: Results, cell: BenchCell, scored: Sequence[Scored]
) -> tuple[Sequence[str], ImageCurves | None]:
    settings = results.document.settings
    maps = StoredMaps(scored, settings.size)
    names = names_of([each.sample.image for each in scored], settings.group)
    return [names[each.sample.image] for each in maps.known], curves_of_maps(maps)
