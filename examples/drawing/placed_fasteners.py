"""The kit of fasteners with each part in a place of its own, as in a tray."""

from __future__ import annotations

import numpy as np

from drawing import fasteners
from drawing.surface import Array, Mask

DEFECTS = fasteners.DEFECTS
ROWS_OF = (80, 80, 80, 250, 250, 410, 410, 410)
COLUMNS_OF = (90, 256, 422, 140, 372, 90, 256, 422)
"""Where the middle of each part of the kit is, about."""


def draw(rng: np.random.Generator, defect: str | None) -> tuple[Array, Mask]:
    """Draw a kit in its places, with a defect or without."""
    return fasteners.kit(rng, defect, near_its_place, 0.06)


def near_its_place(rng: np.random.Generator) -> fasteners.Places:
    """Draw where the parts lie, a little beside their places."""
    return [
        (row + rng.normal(0, 3), column + rng.normal(0, 3))
        for row, column in zip(ROWS_OF, COLUMNS_OF, strict=True)
    ]
