"""From patches of a layer to maps, as APRIL-GAN makes them: pixels first, then the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def layer_maps(
    patches: Float[Tensor, "b p d"],
    sides: Float[Tensor, "*b 2 d"],
    grid: tuple[int, int],
    size: tuple[int, int],
    temperature: float = 0.01,
) -> Float[Tensor, "b 2 h w"]:
    """Return the probabilities of both sides, normal first, of patches row by row."""
    cosines = F.normalize(patches, dim=-1) @ F.normalize(sides, dim=-1).mT
    cells = (cosines / temperature).mT.unflatten(2, grid)
    return to_aligned_pixels(cells, size).softmax(1)


def to_aligned_pixels(
    cells: Float[Tensor, "b c gh gw"], size: tuple[int, int]
) -> Float[Tensor, "b c h w"]:
    """Bring maps of cells to pixels, bilinearly, with the corners aligned."""
    return F.interpolate(cells, size=size, mode="bilinear", align_corners=True)
