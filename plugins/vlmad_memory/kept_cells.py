"""How unlike the most similar cell of the references each cell is, with what is around both.

Gaussians ask how cells vary together and forget which there were; this asks whether there was one
like it, its length included, so that what is missing, broken or exchanged counts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from vlmad.errors import WeightsError
from vlmad.regions import inside_regions
from vlmad_memory.cell_grids import neighbourhood_mean
from vlmad_memory.nearest_rows import nearest_rows
from vlmad_memory.once import OncePerTensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Features, Regions

AROUND = 3
"""Rows and columns over which cells are averaged; what lies outside of the grid counts as zeros,
so that those at its borders are compared with each other."""
_COUNTED = OncePerTensor["tuple[Tensor, Tensor]"]()


def surroundings(features: Features, regions: Regions) -> Float[Tensor, "b r d"]:
    """Return the mean over the cells around each; what does not count is zero."""
    cells, inside = regions.embeddings, inside_regions(features, regions)
    grid = regions.grid or features.grid
    if inside is not None:
        cells = cells * inside[..., None]
    means = neighbourhood_mean(cells.unflatten(1, grid), AROUND, zeros_outside=True).flatten(1, 2)
    return means if inside is None else means * inside[..., None]


def differences(
    features: Features, regions: Regions, kept: Float[Tensor, "n r d"]
) -> tuple[Float[Tensor, "b r"], Int[Tensor, "b r"]]:
    """Return the root mean square over channels of each cell's difference, and the most similar.

    Args:
        features: of images.
        regions: a level of theirs.
        kept: `surroundings` of the references.

    Raises:
        WeightsError: the references are of another grid or width.
    """
    cells = surroundings(features, regions)
    if kept.shape[1:] != cells.shape[1:]:
        raise WeightsError("the references' memory is of another grid or width; fit it anew")
    rows, counted = _COUNTED(kept, partial(_counted, kept))
    found = nearest_rows(cells.flatten(0, 1), rows)
    values = (found.squared[:, 0] / cells.shape[-1]).sqrt()
    return values.view(cells.shape[:2]), counted[found.rows[:, 0]].view(cells.shape[:2])


def _counted(kept: Float[Tensor, "n r d"]) -> tuple[Float[Tensor, "m d"], Int[Tensor, " m"]]:
    """Return the cells that count, and their numbers among all."""
    rows = kept.flatten(0, 1)
    counted = rows.abs().amax(1).nonzero()[:, 0]
    if not len(counted):  # of features that are zero everywhere
        counted = torch.arange(len(rows), device=rows.device)
    return rows[counted] if len(counted) < len(rows) else rows, counted


def refuse_kept(kept: Tensor) -> str | None:
    """Return why these are no cells of references, or None if they could be."""
    if kept.dtype != torch.float32 or kept.ndim != 3 or 0 in kept.shape:
        return "its cells are not (references, cells, width)"
    return None if bool(torch.isfinite(kept).all()) else "its cells are not finite numbers"
