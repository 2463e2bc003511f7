"""Since when a quantity has changed, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmad_drift.drift_documents import DriftShift
from vlmad_drift.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

LEAST_SIDE = 3
"""As many values are before and after a change, at least."""
LOOKED_BACK = 10_000
"""Of earlier values so many are compared with the last ones."""
Z95 = 1.959963984540054
MEDIAN_ERROR = 1.2533141373155001
"""The standard error of a median, of normal values, beside that of their mean."""
QUARTILES = 1.3489795003921634
"""How far apart the quartiles of normal values are, in standard deviations."""


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """Values before and after a change."""

    before: Float[np.ndarray, " n"]
    after: Float[np.ndarray, " m"]

    def shift(self, name: str) -> DriftShift:
        """Return by how much the quantity of that name has changed."""
        usual, level = float(np.median(self.before)), float(np.median(self.after))
        spread = _spread(self.before)
        parts = ((_spread(each) or spread, len(each)) for each in (self.before, self.after))
        error = Z95 * MEDIAN_ERROR * sum(own**2 / count for own, count in parts) ** 0.5
        scale = spread or abs(level - usual) or 1.0
        shift, quantity = (level - usual) / scale, QUANTITIES[name]
        return DriftShift(
            quantity=name, kind=quantity.kind, words=quantity.in_words(usual, level),
            usual=usual, level=level, shift=shift,
            low=shift - error / scale, high=shift + error / scale,
        )  # fmt: skip


def later(first: DriftShift, now: Float[np.ndarray, " n"]) -> DriftShift:
    """Return what a shift has become, by the last values; the same where there are none."""
    if not len(now):
        return first
    scale = (first.level - first.usual) / first.shift if first.shift else 1.0
    level, error = float(np.median(now)), Z95 * MEDIAN_ERROR * _spread(now) / len(now) ** 0.5
    shift = (level - first.usual) / scale
    return first.model_copy(
        update={
            "level": level,
            "words": QUANTITIES[first.quantity].in_words(first.usual, level),
            "shift": shift,
            "low": shift - error / scale,
            "high": shift + error / scale,
        }
    )


def spread_out(
    values: Float[np.ndarray, " k"], counts: Int[np.ndarray, " k"]
) -> Float[np.ndarray, " n"]:
    """Return each value as often as it was there; of more than `LOOKED_BACK` so many quantiles.

    Args:
        values: rising.
        counts: how often each was there. They are never expanded where they are many.
    """
    total = int(counts.sum())
    if total <= LOOKED_BACK:
        return np.repeat(values, counts)
    places = (np.arange(LOOKED_BACK) + 0.5) / LOOKED_BACK * (total - 1)
    ends, below = counts.cumsum(), np.floor(places).astype(np.int64)
    low, high = (values[np.searchsorted(ends, each, "right")] for each in (below, below + 1))
    found: Float[np.ndarray, " n"] = low + (high - low) * (places - below)
    return found


def _spread(values: Float[np.ndarray, " n"]) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / QUARTILES


def change_point(earlier: Float[np.ndarray, " n"], last: Sequence[float]) -> int:
    """Return before which of the last values the likeliest change lies.

    Of all places that leave some values on both sides it is the one where the ranks before and
    after differ most, in standard errors (Pettitt, Applied Statistics 28, 1979, standardised).

    Args:
        earlier: values before them, whose order does not count.
        last: in their order.
    """
    from scipy.stats import rankdata

    known, count = len(earlier), len(last)
    total = known + count
    ranks = rankdata(np.concatenate([earlier, last]))[known:] - (total + 1) / 2
    sums = ranks[::-1].cumsum()[::-1]
    after = np.arange(count, 0, -1)
    possible = (after >= LEAST_SIDE) & (total - after >= LEAST_SIDE)
    if not possible.any():
        return 0
    apart = np.abs(sums) / np.sqrt(np.maximum(after * (total - after), 1))
    return int(np.where(possible, apart, -1).argmax())
