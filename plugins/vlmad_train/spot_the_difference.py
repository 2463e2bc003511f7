"""What the loss `spd` compares: a good image, and the same with a defect drawn in it.

Either is changed as a whole now and then. Where nothing was drawn, cells are to stay near each
other, and where something was, to part: SPot-the-Difference (Zou et al., ECCV 2022), cell by cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

SPD = "spd"
"""The name of the loss."""


def attract_and_repel(
    good: Float[Tensor, "b n c"],
    changed: Float[Tensor, "b n c"],
    shares: Float[Tensor, "b n"],
    grid: tuple[int, int],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return 1 - cosine where nothing was drawn, and the cosine where something was, as means.

    Args:
        good: cells of images.
        changed: of the same with defects.
        shares: of each cell, what of it is defective: its weight among those that are to part.
            Those without, whose neighbours have none either, are to stay near.
        grid: rows and columns of the cells.
    """
    cosines = F.cosine_similarity(good, changed, dim=-1)
    around = F.max_pool2d(shares.unflatten(1, grid), 3, 1, 1).flatten(1)
    same = (around == 0).to(cosines)
    attract = ((1 - cosines) * same).sum() / same.sum().clamp_min(1)
    repel = (cosines * shares).sum() / shares.sum().clamp_min(1e-6)
    return attract, repel
