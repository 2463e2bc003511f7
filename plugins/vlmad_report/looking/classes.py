"""Classes of a quantity, such as low, medium and high contrast, with their limits."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Classes:
    """Names of classes, and the rising limits between them.

    >>> sizes = Classes(("small", "medium", "large"), (0.01, 0.05))
    >>> sizes.name_of(0.01), sizes.name_of(0.02), sizes.name_of(0.5)
    ('small', 'medium', 'large')
    """

    names: tuple[str, ...]
    limits: tuple[float, ...]
    """A value that equals a limit belongs to the class below it."""

    def name_of(self, value: float) -> str:
        """Return the class of a value: there is always exactly one."""
        return self.names[bisect_left(self.limits, value)]

    def ranges(self, shown: str = "{:.3g}", times: float = 1) -> tuple[str, ...]:
        """Say in words from where to where each class goes, each limit `times` a factor."""
        limits = [shown.format(limit * times) for limit in self.limits]
        between = [f"above {a}, up to {b}" for a, b in itertools.pairwise(limits)]
        return (f"up to {limits[0]}", *between, f"above {limits[-1]}")


def thirds(names: tuple[str, str, str], values: Sequence[float]) -> Classes:
    """Return classes that each hold about a third of the values, of which there must be some."""
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    return Classes(names, (float(low), float(high)))
