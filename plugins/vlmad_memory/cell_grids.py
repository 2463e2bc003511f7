"""How features of levels, each a grid of cells, become the cells that are compared."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad.regions import Grid

    CellGrid: TypeAlias = Float[Tensor, "b gh gw d"]

Alignment: TypeAlias = Literal["bilinear", "nearest"]


def neighbourhood_mean(cells: CellGrid, size: int, zeros_outside: bool) -> CellGrid:
    """Return the mean over the `size` x `size` cells around each.

    Args:
        cells: of one level.
        size: odd.
        zeros_outside: whether what lies outside of the grid counts, as zeros, or does not.
    """
    if size == 1:
        return cells
    pooled = F.avg_pool2d(cells.movedim(-1, 1), size, 1, size // 2, count_include_pad=zeros_outside)
    return pooled.movedim(1, -1)


def to_grid(cells: CellGrid, grid: Grid, alignment: Alignment) -> CellGrid:
    """Bring cells to another grid."""
    if tuple(cells.shape[1:3]) == grid:
        return cells
    return F.interpolate(cells.movedim(-1, 1), size=grid, mode=alignment).movedim(1, -1)


@lru_cache(8)
def steps(rows: int, columns: int) -> Int[Tensor, "r r"]:
    """Return how many rows or columns, the larger of both, cells of a grid lie apart."""
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    return (places[:, None] - places[None]).abs().amax(-1)


def concatenated(levels: Sequence[CellGrid], grid: Grid, alignment: Alignment) -> CellGrid:
    """Join the channels of levels, each brought to one grid, in their order."""
    return torch.cat([to_grid(cells, grid, alignment) for cells in levels], -1)


def pooled_neighbourhoods(
    levels: Sequence[CellGrid], grid: Grid, size: int, width: int
) -> CellGrid:
    """Join levels by pooling, as PatchCore does, to one width.

    Every cell of a level is its neighbourhood unfolded (zeros outside), brought to one grid and
    pooled adaptively to `width` numbers; then those of all levels together are.
    """
    pooled = []
    for level in levels:
        unfolded = F.unfold(level.movedim(-1, 1), size, padding=size // 2)
        unfolded = unfolded.unflatten(2, (level.shape[1], level.shape[2])).movedim(1, -1)
        there = to_grid(unfolded, grid, "bilinear").flatten(1, 2)
        pooled.append(F.adaptive_avg_pool1d(there, width))
    together = F.adaptive_avg_pool1d(torch.cat(pooled, -1), width)
    cells: CellGrid = together.unflatten(1, grid)
    return cells
