"""Which detectors are drawn where there are more than a drawing can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_report.figures.bars import MOST_BARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_report.sources.pool import Pool

MOST = 6


def drawn(
    pool: Pool, shots: int, metric: str, groups: int = 1, among: Sequence[str] | None = None
) -> list[str]:
    """Return the detectors to draw: the baseline and the best on average, in their order.

    Args:
        pool: the results.
        shots: with how many references.
        metric: by which the best are chosen.
        groups: how often each is drawn in one drawing.
        among: the detectors that can be drawn; all by default.
    """
    measured = pool.metrics(shots)
    if among is not None:
        measured = {name: measured[name] for name in among}
    room = min(MOST, max(1, MOST_BARS // max(1, groups)))
    best = sorted(
        measured,
        key=lambda name: (name != pool.baseline, -(measured[name][metric]["value"] or 0.0)),
    )
    chosen = set(best[:room])
    return [name for name in measured if name in chosen]


def said(chosen: Sequence[str], of: int) -> str:
    """Say that not all detectors are shown, if so."""
    if len(chosen) == of:
        return ""
    return f" Of {of} detectors the first and the best on average are drawn; the table has all."
