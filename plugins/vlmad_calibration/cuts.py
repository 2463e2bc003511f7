"""Between which scores a threshold lies, and its value there.

The order of the scores alone decides what a threshold does, so it is chosen as a cut: a number i,
with the distinct scores from the i-th on called anomalous. Its value lies strictly between two
scores. Scores are float32; files give them with 9 significant digits, which tell every float32
apart. A value with 9 digits between two of them is neither of them, so that an image has the same
verdict by its score in the run and by its score in the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_calibration.rates import errors_allowed
from vlmad_calibration.rules import Rule
from vlmad_run.leaving_out import above_few, conformal_rank
from vlmad_run.manifest import GoodScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

DIGITS = 9
TOLERANCE = 1e-5
"""How far two scores of one image may be apart: what batches and processors change. Of scores above
1 by so large a share."""


def as_scores(scores: Sequence[float] | Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return scores with the precision of float32, rising.

    They are float64 nonetheless: numpy would round a threshold to float32 before it compares.

    Raises:
        InputError: one is not finite.
    """
    values = np.sort(np.asarray(scores, np.float32).astype(np.float64))
    if not np.isfinite(values).all():
        raise InputError("scores must be finite numbers")
    return values


def choose_threshold(
    good: Float[np.ndarray, " n"], bad: Float[np.ndarray, " p"], rule: Rule, rate: float | None
) -> float:
    """Choose from which score on an image is anomalous.

    Args:
        good: scores of good images, as `as_scores` returns them.
        bad: of anomalous ones; all rules but `quantile` need some.
        rule: as `vlmad_calibration.rules.settle` returns it.
        rate: likewise.
    """
    if rule is Rule.margin:
        return above_few(GoodScores(scores=good.tolist(), how="left out"))
    if rule is Rule.quantile:
        rank = min(conformal_rank(len(good), rate or 0.0), len(good))
        return value_above(np.unique(good), good[rank - 1])
    values = np.unique(np.concatenate([good, bad]))
    return value_in_gap(values, _choose_cut(values, good, bad, rule, rate or 0.0))


def _choose_cut(
    values: Float[np.ndarray, " m"],
    good: Float[np.ndarray, " n"],
    bad: Float[np.ndarray, " p"],
    rule: Rule,
    rate: float,
) -> int:
    """Choose from 0, all distinct `values` anomalous, to m, none; scores are rising."""
    false_alarms = np.append(len(good) - np.searchsorted(good, values), 0)
    misses = np.append(np.searchsorted(bad, values), len(bad))
    if rule is Rule.f1:
        found = len(bad) - misses
        f1 = 2 * found / (len(bad) + found + false_alarms)
        return int(np.lexsort((false_alarms, -f1))[0])
    if rule is Rule.false_alarms:
        excess = false_alarms > errors_allowed(len(good), rate)
        return int(np.lexsort((false_alarms, misses, excess))[0])
    excess = misses > errors_allowed(len(bad), rate)
    return int(np.lexsort((misses, false_alarms, excess))[0])


def value_in_gap(values: Float[np.ndarray, " m"], cut: int) -> float:
    """Return the threshold in the middle of the gap below ``values[cut]``.

    Args:
        values: distinct scores, rising.
        cut: from 0, all anomalous, to m, none.
    """
    low = values[cut - 1] if cut else _beyond(values, values[0], -1)
    high = values[cut] if cut < len(values) else _beyond(values, values[-1], +1)
    return _between(low, high)


def value_above(values: Float[np.ndarray, " m"], score: float) -> float:
    """Return the threshold just above a score, below the next one if there is any.

    It lies as far above it as two runs of one image may differ (`TOLERANCE`), or less where the
    scores lie close.
    """
    end = _beyond(values, score, +1)
    return _between(score, min([end, *values[values > score][:1]]))


def _beyond(values: Float[np.ndarray, " m"], score: float, side: int) -> float:
    """Return a float32 a little above (+1) or below (-1) a score, small beside their spread."""
    step = 2 * min(TOLERANCE * max(1.0, abs(score)), (values[-1] - values[0]) / 100)
    neighbour = float(np.nextafter(np.float32(score), np.float32(side * np.inf)))
    further = float(np.float32(score + side * step))
    return max(neighbour, further) if side > 0 else min(neighbour, further)


def _between(low: float, high: float) -> float:
    middle = float(f"{(low + high) / 2:.{DIGITS}g}")
    if not low < middle < high:
        raise InputError(f"there is no threshold between the scores {low} and {high}")
    return middle
