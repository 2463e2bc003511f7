"""Where in a picture something lies, and what it looks like beside its surroundings, in words."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

Where = Literal[
    "upper left", "top", "upper right",
    "left", "centre", "right",
    "lower left", "bottom", "lower right",
]  # fmt: skip
PLACES: tuple[Where, ...] = get_args(Where)
CLEARLY = 14.0
"""Levels by which something is darker, lighter or of another colour at least."""
MOSTLY = 0.6
"""Share of how much darker or lighter something is, by which its colour differs to be told."""
COLOURED = 45.0
"""Levels between the channels of what has a colour at least."""
HUES = (
    (18, "red"), (42, "orange"), (70, "yellow"), (165, "green"), (195, "turquoise"),
    (255, "blue"), (290, "purple"), (335, "pink"), (360, "red"),
)  # fmt: skip
"""Degrees of the circle up to which a hue has its name."""


def where(row: float, column: float) -> Where:
    """Return in which of nine equal parts of a picture a point lies, given as shares of it."""
    down, across = (min(max(int(share * 3), 0), 2) for share in (row, column))
    return PLACES[3 * down + across]


def shade_of(inside: Float[np.ndarray, " 3"], around: Float[np.ndarray, " 3"]) -> str | None:
    """Return dark, light or a colour, whichever tells it from around; None if nothing does.

    Args:
        inside: mean levels of what was found, red, green and blue.
        around: likewise of its surroundings.
    """
    differs = inside - around
    lighter, other = float(differs.mean()), float(np.ptp(differs))
    if np.ptp(inside) > COLOURED and other > max(CLEARLY, MOSTLY * abs(lighter)):
        return _hue(inside)
    if abs(lighter) < CLEARLY:
        return None
    return "light" if lighter > 0 else "dark"


def _hue(levels: Float[np.ndarray, " 3"]) -> str:
    hue, _, value = colorsys.rgb_to_hsv(*(levels / 255))
    name = next(name for most, name in HUES if hue * 360 <= most)
    return "brown" if name == "orange" and value < 0.6 else name
