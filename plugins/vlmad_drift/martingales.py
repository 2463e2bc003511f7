"""Evidence against "these numbers come in no particular order", gathered one number at a time.

Each number is ranked among all before it, the usual ones included. If all are exchangeable, the
ranks are independent and uniform (conformal p-values with ties broken at random: Vovk, Gammerman
and Shafer, Algorithmic Learning in a Random World, 2005), whatever the numbers' distribution. Who
bets against that at fair odds has a fortune that is a martingale; by Ville's inequality it ever
reaches c times what it began with by a probability of 1 / c at most. The bets are those of the
Simple Jumper (Vovk et al., Retrain or not retrain, 2021), but for how they begin: see `Martingale`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BETS = (1.0, 2.0)
"""How steeply one bets on small p-values: 1 + bet (1/2 - p) for each coin."""
JUMP = 0.01
"""The share that goes over to other bets at each step."""
RESTS = 100
"""After so many steps a share of 1 / sqrt(2) still rests, after 3 times as many a half."""
LARGEST = 1e9
"""Fortunes that are larger are left as they are: the alarm was long before."""


class Tally:
    """Numbers, of which it is only kept how often each was there."""

    def __init__(self, values: Iterable[tuple[float, int]] = ()) -> None:
        counts = dict(values)
        self._values, self._counts = sorted(counts), counts
        self._total = sum(counts.values())

    def __len__(self) -> int:
        return self._total

    def add(self, value: float) -> None:
        """Add a number."""
        if value not in self._counts:
            insort(self._values, value)
        self._counts[value] = self._counts.get(value, 0) + 1
        self._total += 1

    def items(self) -> list[tuple[float, int]]:
        """Return all numbers, rising, with how often each is there."""
        return [(value, self._counts[value]) for value in self._values]

    def p_value(self, value: float, chance: float) -> float:
        """Return the share of numbers above one that was just added; ties count by `chance`."""
        above = self._values[bisect_left(self._values, value) + 1 :]
        higher = sum(map(self._counts.__getitem__, above))
        return (higher + chance * self._counts[value]) / self._total


@dataclass(slots=True)
class Martingale:
    """A fortune that grows when p-values are small.

    It begins at rest and goes over to the bets ever more slowly, so that the evidence which a
    change needs rises with the logarithm of the quiet time before it. In the original it goes
    over and back at one rate, and a long quiet time loses it.

    Args:
        defects: the largest share of images that may score whatever they like. The bets pay so
            much less that the fortune does not grow by them on average.
    """

    defects: float = 0.0
    steps: int = 0
    resting: float = 1.0
    betting: list[float] = field(default_factory=lambda: [0.0 for _ in BETS])

    @property
    def fortune(self) -> float:
        """How many times its beginning it has become."""
        return self.resting + sum(self.betting)

    def step(self, p: float) -> None:
        """Bet on a p-value."""
        if self.fortune < LARGEST:
            self._move()
            self.betting = [
                coins * (1 + bet * (0.5 - p)) / (1 + self.defects * bet / 2)
                for bet, coins in zip(BETS, self.betting, strict=True)
            ]
        self.steps += 1

    def _move(self) -> None:
        keeps = ((RESTS + self.steps) / (RESTS + self.steps + 1)) ** 0.5
        moving, self.resting = (1 - keeps) * self.resting, keeps * self.resting
        shared = (JUMP * sum(self.betting) + moving) / len(BETS)
        self.betting = [(1 - JUMP) * coins + shared for coins in self.betting]


def fortune_of(sides: Sequence[Martingale]) -> float:
    """Return the fortune of who stakes the same on each side."""
    return sum(side.fortune for side in sides) / len(sides)
