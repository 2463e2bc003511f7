"""Verdicts over time: parts that steady them, one moment after another, for films and cameras.

A steadier is registered by `register_steadiers`; what follows its name in ``NAME:ARGUMENT`` is its
first option. Whatever it says, a moment that could not be scored is anomalous.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass
from statistics import median_high
from typing import TYPE_CHECKING, Annotated, Protocol

from annotated_types import Gt

from vlmad.errors import InputError, OptionError, blaming
from vlmad.options import check_options, options_of
from vlmad.registry import installed

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_STEP = 0.001
"""Seconds that count as passed where two moments have one time."""
STRONGEST = math.log(4)
"""A score of four times the threshold, or a quarter of it, says as much as one beyond."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A score at a time, and from which on it is anomalous."""

    time: float
    """In seconds, from whenever; it does not fall."""
    score: float | None
    """None if there is none, or NaN."""
    threshold: float

    @property
    def scored(self) -> bool:
        """Whether there is a score."""
        return self.score is not None and not math.isnan(self.score)

    @property
    def anomalous(self) -> bool:
        """Whether it is by itself; without a score it is."""
        return self.score is None or not self.score < self.threshold


class Steadier(Protocol):
    """Says of each moment, seen with those before it, whether it is anomalous."""

    def __call__(self, moment: Moment) -> bool:
        """Take the next moment, and return whether it is anomalous."""


def open_steadier(text: str) -> Callable[[Moment], bool]:
    """Make a steadier of what the user names, as ``half-life:0.5``; empty is none.

    Returns:
        What takes moments, and holds each that has no score for anomalous.

    Raises:
        VlmadError: there is none of the name, or it takes something else.
    """
    if not text:
        return lambda moment: moment.anomalous
    registry = installed()
    name, argument = registry.split("steadier", text)
    found = registry.get("steadier", name)
    factory = found.resolve()
    options = options_of(factory, found)
    if argument is not None and not options:
        raise OptionError(f"steadier '{name}' takes nothing: leave out ':{argument}'")
    given = {} if argument is None else {next(iter(options)): argument}
    with blaming(f"{found} failed"):
        steadier: Steadier = factory(**check_options(f"steadier '{name}'", options, given))

    def steady(moment: Moment) -> bool:
        with blaming(f"{found} failed"):
            said = bool(steadier(moment))
        return said or not moment.scored

    return steady


class HalfLife:
    """Exponential smoothing of log-odds.

    A score s beside a threshold t counts as the probability s / (s + t) of a defect. Its log-odds,
    ln(s / t), are averaged with weights that halve every so many seconds; a moment is anomalous if
    the average is 0 or more. Beyond ln 4 on either side they count as that, so that one frame alone
    does not last; a moment without a score counts as ln 4.

    Args:
        seconds: after which a moment counts half.
    """

    def __init__(self, seconds: Annotated[float, Gt(0)] = 0.5) -> None:
        self.seconds = seconds
        self._level: float | None = None
        self._time = 0.0

    def __call__(self, moment: Moment) -> bool:
        """Return whether the average is 0 or more.

        Raises:
            InputError: the threshold is not above 0, so that scores have no log-odds.
        """
        odds = _log_odds(moment)
        passed = max(LEAST_STEP, moment.time - self._time)
        kept = 0.0 if self._level is None else 2.0 ** (-passed / self.seconds)
        self._level = kept * (self._level or 0.0) + (1 - kept) * odds
        self._time = moment.time
        return self._level >= 0


def _log_odds(moment: Moment) -> float:
    if not moment.threshold > 0:
        raise InputError(
            "half-life compares scores with a threshold above 0, not "
            f"{moment.threshold:g}; --steady median:1 takes any"
        )
    if moment.score is None or math.isnan(moment.score):
        return STRONGEST
    ratio = max(moment.score, 0.0) / moment.threshold
    return min(STRONGEST, max(-STRONGEST, math.log(ratio) if ratio > 0 else -STRONGEST))


class RunningMedian:
    """The median of the scores of the last seconds, beside the threshold.

    Of an even number the higher of the two in the middle counts. A moment without a score counts as
    higher than all.

    Args:
        seconds: how far it looks back.
    """

    def __init__(self, seconds: Annotated[float, Gt(0)] = 1.0) -> None:
        self.seconds = seconds
        self._window: deque[tuple[float, float]] = deque()

    def __call__(self, moment: Moment) -> bool:
        """Return whether the median is anomalous."""
        score = moment.score if moment.scored and moment.score is not None else math.inf
        self._window.append((moment.time, score))
        while self._window[0][0] <= moment.time - self.seconds:
            self._window.popleft()
        return not median_high(score for _, score in self._window) < moment.threshold


class KOfN:
    """Anomalous as soon as k of the last n frames are, until fewer than another count are.

    Args:
        counts: ``k/n`` or ``k/n/leave``; as long as `leave` of the last n are anomalous it stays
            so. By default that is half of k, rounded up.
    """

    def __init__(self, counts: str = "3/5") -> None:
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})(?:/(\d{1,6}))?", counts)
        self.enter, length = (int(found[1]), int(found[2])) if found else (0, 0)
        self.leave = int(found[3]) if found and found[3] else -(-self.enter // 2)
        if not 1 <= self.leave <= self.enter <= length:
            raise OptionError(
                f"k-of-n takes k/n or k/n/leave with 1 <= leave <= k <= n, as 3/5/1, not '{counts}'"
            )
        self._last: deque[bool] = deque(maxlen=length)
        self._entered = False

    def __call__(self, moment: Moment) -> bool:
        """Return whether enough of the last frames are anomalous."""
        self._last.append(moment.anomalous)
        self._entered = sum(self._last) >= (self.leave if self._entered else self.enter)
        return self._entered
