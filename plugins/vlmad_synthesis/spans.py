"""Ranges that what is drawn lies in: the options of defects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from annotated_types import Len

if TYPE_CHECKING:
    from numpy.random import Generator

Span: TypeAlias = Annotated[tuple[float, ...], Len(2, 2)]
"""Least and most."""


def drawn_from(span: Span, rng: Generator) -> float:
    """Draw a number between least and most."""
    return float(rng.uniform(span[0], span[1]))


def drawn_by_factor(span: Span, rng: Generator) -> float:
    """Draw a number uniformly in its logarithm, as sizes and ratios are."""
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))
