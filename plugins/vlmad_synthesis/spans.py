"""Ranges that what is drawn lies in: the options of defects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from annotated_types import Len

if TYPE_CHECKING:
    from numpy.random import Generator


def rising(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return two numbers as they are.

    Raises:
        ValueError: they are not above 0, or the first is the larger one.
    """
    if not 0 < values[0] <= values[1] < np.inf:
        raise ValueError(values)
    return values


def shares(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return two shares as they are.

    Raises:
        ValueError: one is above 1, or they are not `rising`.
    """
    if values[1] > 1:
        raise ValueError(values)
    return rising(values)


Span: TypeAlias = Annotated[tuple[float, ...], Len(2, 2), rising]
"""Least and most."""
Shares: TypeAlias = Annotated[tuple[float, ...], Len(2, 2), shares]
"""Least and most, of something whole."""


def drawn_from(span: tuple[float, ...], rng: Generator) -> float:
    """Draw a number between least and most."""
    return float(rng.uniform(span[0], span[1]))


def drawn_by_factor(span: tuple[float, ...], rng: Generator) -> float:
    """Draw a number uniformly in its logarithm, as sizes and ratios are."""
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))
