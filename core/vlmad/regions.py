"""Where regions lie on the patch grid, and how their scores become a map.

A region is a box of cells: top, left, bottom, right, the latter two exclusive.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.types import ClassToken, Level, Patches, Windows

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from vlmad.types import BackboneSpec, Features, Regions, Request, Tiles

Grid = tuple[int, int]


def patch_cells(grid: Grid) -> Int[Tensor, "p 4"]:
    """Return one region for each patch, row by row."""
    return window_cells(grid, 1)


def window_cells(grid: Grid, size: int) -> Int[Tensor, "r 4"]:
    """Return all `size` x `size` windows at stride 1, row by row.

    A window larger than the grid is cut to it, so that every size is legal on every grid.

    >>> window_cells((2, 3), 2).tolist()
    [[0, 0, 2, 2], [0, 1, 2, 3]]
    """
    height, width = min(size, grid[0]), min(size, grid[1])
    tops = torch.arange(grid[0] - height + 1)
    lefts = torch.arange(grid[1] - width + 1)
    top, left = (axis.flatten() for axis in torch.meshgrid(tops, lefts, indexing="ij"))
    return torch.stack([top, left, top + height, left + width], dim=1)


def window_patches(grid: Grid, size: int) -> Int[Tensor, "r k"]:
    """Return for each window the indices of its patches, row by row."""
    cells = window_cells(grid, size)
    height, width = min(size, grid[0]), min(size, grid[1])
    offsets = torch.arange(height)[:, None] * grid[1] + torch.arange(width)
    return (cells[:, 0] * grid[1] + cells[:, 1])[:, None] + offsets.flatten()


def tile_boxes(count: int, overlap: float) -> Float[Tensor, "t 4"]:
    """Return overlapping square crops as shares of the image: top, left, bottom, right.

    Tiles have a side of 1 / `count` and lie (1 - `overlap`) of a side apart, or a little
    less where that is needed to end exactly at the border.
    """
    side = 1 / count
    steps = 1 if count == 1 else 1 + max(1, round((1 - side) / (side * (1 - overlap))))
    starts = torch.linspace(0, 1 - side, steps)
    top, left = (axis.flatten() for axis in torch.meshgrid(starts, starts, indexing="ij"))
    return torch.stack([top, left, top + side, left + side], dim=1)


def coverage(cells: Int[Tensor, "r 4"], grid: Grid) -> Float[Tensor, "r p"]:
    """Return 1 where a region covers a cell and 0 elsewhere."""
    row = torch.arange(grid[0], device=cells.device)
    column = torch.arange(grid[1], device=cells.device)
    rows = (row >= cells[:, :1]) & (row < cells[:, 2:3])
    columns = (column >= cells[:, 1:2]) & (column < cells[:, 3:])
    return (rows[:, :, None] & columns[:, None, :]).flatten(1).float()


def mean_map(
    scores: Float[Tensor, "b r"], cells: Int[Tensor, "r 4"], grid: Grid
) -> Float[Tensor, "b gh gw"]:
    """Give every cell the mean of the scores of the regions that cover it."""
    cover = coverage(cells, grid)
    cells_mean: Tensor = scores @ cover / cover.sum(0)
    return cells_mean.reshape(-1, *grid)


def harmonic_map(
    scores: Float[Tensor, "b r"], cells: Int[Tensor, "r 4"], grid: Grid
) -> Float[Tensor, "b gh gw"]:
    """Give every cell the harmonic mean of the positive scores that cover it (WinCLIP)."""
    return 1 / mean_map(1 / scores.clamp_min(torch.finfo(scores.dtype).tiny), cells, grid)


def harmonic_mean(maps: Float[Tensor, " m *shape"]) -> Float[Tensor, "*shape"]:
    """Return the harmonic mean over the first dimension; a zero makes the mean zero."""
    return 1 / (1 / maps.clamp_min(torch.finfo(maps.dtype).tiny)).mean(0)


def upsample(grid_map: Float[Tensor, "b gh gw"], size: tuple[int, int]) -> Float[Tensor, "b h w"]:
    """Bring a map of cells to pixels, bilinearly, without aligning the corners."""
    return F.interpolate(grid_map[:, None], size=size, mode="bilinear")[:, 0]


def inside_regions(features: Features, regions: Regions) -> Bool[Tensor, "b r"] | None:
    """Return which regions count by at least half of their area; None if all of each image does."""
    if features.inside is None:
        return None
    grid = regions.grid or features.grid
    shares = F.adaptive_avg_pool2d(features.inside[:, None].double(), grid)[:, 0]
    # sums from the top left corner on, so that a box takes four of them
    sums = F.pad(shares.cumsum(1).cumsum(2), (1, 0, 1, 0))
    top, left, bottom, right = regions.cells.to(shares.device).T
    whole = sums[:, bottom, right] - sums[:, top, right]
    whole -= sums[:, bottom, left] - sums[:, top, left]
    area = (bottom - top) * (right - left)
    inside: Bool[Tensor, "b r"] = whole / area >= 0.5 - 1e-6  # rounded sums of exact halves
    return inside


def only_inside(
    values: Float[Tensor, " b *shape"], inside: Bool[Tensor, " b *shape"] | None
) -> Float[Tensor, " b *shape"]:
    """Give what lies outside the lowest value inside of the same image, or 0 if nothing is."""
    if inside is None:
        return values
    highest = torch.finfo(values.dtype).max
    lowest = values.masked_fill(~inside, highest).flatten(1).amin(1)
    lowest = lowest.where(inside.flatten(1).any(1), lowest.new_zeros(()))
    return values.where(inside, lowest.reshape(-1, *[1] * (values.ndim - 1)))


def shape_of(request: Request, spec: BackboneSpec, images: int) -> tuple[int, ...]:
    """Return the shape of the answer to a request."""
    if isinstance(request, Patches):
        width = spec.embedding_dim if request.stage == "projected" else spec.vision_width
        return images, spec.grid[0] * spec.grid[1], width
    if isinstance(request, Level):
        level = spec.levels[request.name]
        return images, *level.grid, level.width
    regions = () if isinstance(request, ClassToken) else (_count_of(request, spec.grid),)
    return images, *regions, spec.embedding_dim


@cache
def _count_of(request: Windows | Tiles, grid: tuple[int, int]) -> int:
    if isinstance(request, Windows):
        return len(window_cells(grid, request.size))
    return len(tile_boxes(request.grid, request.overlap))
