"""Between which scores a threshold lies, and its value there.

The order of the scores alone decides what a threshold does, so it is chosen as a cut: a number i,
with the distinct scores from the i-th on called anomalous. Its value lies strictly between two
scores. Scores are float32; files give them with 9 significant digits, which tell every float32
apart. A value with 9 digits between two of them is neither of them, so that an image has the same
verdict by its score in the run and by its score in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_calibration.rates import errors_allowed
from vlmad_calibration.rules import Rule
from vlmad_run.repeating import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

DIGITS = 9


@dataclass(frozen=True, slots=True)
class Cuts:
    """All ways to cut the scores of good and bad images in two, from the lowest cut."""

    values: Float[np.ndarray, " m"]
    """The distinct scores, rising."""
    false_alarms: Int[np.ndarray, " m+1"]
    """How many good images score at least ``values[i]``; none do in the last place."""
    misses: Int[np.ndarray, " m+1"]
    """How many bad images score less than ``values[i]``; all do in the last place."""

    @property
    def good(self) -> int:
        """How many good images there are."""
        return int(self.false_alarms[0])

    @property
    def bad(self) -> int:
        """How many bad images there are."""
        return int(self.misses[-1])


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


def cuts_of(good: Float[np.ndarray, " n"], bad: Float[np.ndarray, " p"]) -> Cuts:
    """Count the errors of each cut; scores are rising."""
    values = np.unique(np.concatenate([good, bad]))
    passed = len(good) - np.searchsorted(good, values, "left")
    missed = np.searchsorted(bad, values, "left")
    return Cuts(values, np.append(passed, 0), np.append(missed, len(bad)))


def choose_cut(cuts: Cuts, rule: Rule, rate: float) -> int:
    """Choose a cut from labelled images.

    Args:
        cuts: of at least one good and one bad image.
        rule: `f1`, the highest cut of several; `false_alarms`, the one with the fewest false
            alarms of several; `misses`, the other way round.
        rate: a share of the good or bad images; `f1` takes none.
    """
    if rule is Rule.f1:
        found = cuts.bad - cuts.misses
        f1 = 2 * found / (cuts.bad + found + cuts.false_alarms)
        return len(f1) - 1 - int(f1[::-1].argmax())
    if rule is Rule.false_alarms:
        allowed = cuts.false_alarms <= errors_allowed(cuts.good, rate)
        fewest = cuts.misses[allowed].min()
        return int(np.flatnonzero(allowed & (cuts.misses == fewest))[-1])
    allowed = cuts.misses <= errors_allowed(cuts.bad, rate)
    fewest = cuts.false_alarms[allowed].min()
    return int(np.flatnonzero(allowed & (cuts.false_alarms == fewest))[0])


def value_in_gap(values: Float[np.ndarray, " m"], cut: int) -> float:
    """Return the threshold in the middle of the gap below ``values[cut]``.

    Args:
        values: distinct scores, rising.
        cut: from 0, all anomalous, to m, none.
    """
    if cut == 0:
        return _between(_beyond(values, values[0], -1), values[0])
    if cut == len(values):
        return _between(values[-1], _beyond(values, values[-1], +1))
    return _between(values[cut - 1], values[cut])


def value_above(values: Float[np.ndarray, " m"], score: float) -> float:
    """Return the threshold just above a score, below the next one if there is any.

    It lies as far above it as two runs of one image may differ, not more than `TOLERANCE`.
    """
    higher = values[values > score]
    end = _beyond(values, score, +1)
    return _between(score, min(higher[0], end) if len(higher) else end)


def _beyond(values: Float[np.ndarray, " m"], score: float, side: int) -> float:
    """Return a float32 a little above (+1) or below (-1) a score, small beside their spread."""
    step = 2 * min(TOLERANCE, (values[-1] - values[0]) / 100)
    neighbour = float(np.nextafter(np.float32(score), np.float32(side * np.inf)))
    further = float(np.float32(score + side * step))
    return max(neighbour, further) if side > 0 else min(neighbour, further)


def _between(low: float, high: float) -> float:
    middle = float(f"{(low + high) / 2:.{DIGITS}g}")
    if not low < middle < high:
        raise InputError(f"there is no threshold between the scores {low} and {high}")
    return middle
