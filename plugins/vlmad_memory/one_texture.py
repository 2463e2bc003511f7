"""Whether references show one texture, as fabric or paper, and not a part with a place of its own.

Small defects of a texture lie between the scales of its own structure, and in a larger picture
they stand out sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FEWEST = 4
"""References, since of fewer the mean at a place says little."""
BORDER, BLOCK = 3, 7
"""Cells at the border, which know that they lie there; and sides of the blocks compared."""
PLACES, BLOCKS = 0.08, 0.07
"""How much of the variance of cells may lie between places, and how much between blocks."""


def is_one_texture(references: Float[Tensor, "n h w c"]) -> bool:
    """Tell by the cells of references, standardised; of fewer than `FEWEST` it is not known."""
    number, *sides = references.shape[:3]
    if number < FEWEST or min(sides) < 2 * BORDER + BLOCK:
        return False
    cells = references[:, BORDER:-BORDER, BORDER:-BORDER].double()
    varying = cells.flatten(1, 2).var(1).mean()
    means = cells.mean(0).flatten(0, 1).var(0).mean()  # a share of 1 / number by chance
    places = (number * means - varying) / (number - 1)
    blocks = cells.unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK).mean((-2, -1))
    uneven = blocks.flatten(1, 2).var(1).mean()
    return bool(varying > 0 and places <= PLACES * varying and uneven <= BLOCKS * varying)
