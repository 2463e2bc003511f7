"""How much farther what a reference shows lies, in an image, at its own place than anywhere.

Pooled distances ask whether what is seen is known; this asks whether what is known is seen where
it belongs, so that missing, exchanged and displaced parts count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

SHIFT = 6
"""Rows and columns by which all of an image may lie elsewhere."""
CLEARLY = 0.9
"""How near cells come by a shift that is believed, at most, as a share of those unshifted."""
AROUND = 2
"""Rows and columns around its place where a cell may lie."""
SLACK = 0.02
"""What is added to distances before their logarithm."""
MOST = 8
"""References, the nearest by their mean, that an image is compared with."""
REACH = SHIFT + AROUND


def displacement(
    kept: Float[Tensor, "n r d"], cells: Float[Tensor, "b r d"], grid: tuple[int, int]
) -> Float[Tensor, " b"]:
    """Return the mean log ratio of both distances over cells, of the reference where it is least.

    Args:
        kept: unit cells of the references; what is zero does not count.
        cells: of images, likewise.
        grid: their rows and columns.
    """
    means = kept.mean(1)
    found = []
    for image in cells:
        order = (means - image.mean(0)).norm(dim=-1).argsort(stable=True)[:MOST]
        found.append(torch.stack([_compare(kept[r], image, grid) for r in order]).amin())
    return torch.stack(found)


def _compare(
    reference: Float[Tensor, "r d"], image: Float[Tensor, "r d"], grid: tuple[int, int]
) -> Float[Tensor, ""]:
    """Return how displaced an image is, seen from one reference; 0 where they share no cell."""
    distances = 1 - reference @ image.T
    distances[:, image.abs().amax(-1) == 0] = torch.inf
    distances[reference.abs().amax(-1) == 0] = torch.inf
    framed = F.pad(distances.unflatten(1, grid), (REACH,) * 4, value=torch.inf).flatten(1)
    places, shifts, around = (each.to(framed.device) for each in _offsets(grid))
    shifted = framed.gather(1, places[:, None] + shifts)
    counts = shifted.isfinite()
    mean = shifted.where(counts, shifted.new_zeros(())).sum(0) / counts.sum(0)
    mean = mean.nan_to_num(torch.inf)
    unshifted, best = len(shifts) // 2, int(mean.argmin())
    if mean[best] > CLEARLY * mean[unshifted]:
        best = unshifted
    here = counts[:, best]
    if not here.any():
        return distances.new_zeros(())
    there = framed.gather(1, places[:, None] + shifts[best] + around)[here].amin(1)
    anywhere = distances[here].amin(1)
    return ((there + SLACK) / (anywhere + SLACK)).log().mean()


@lru_cache(maxsize=16)
def _offsets(
    grid: tuple[int, int],
) -> tuple[Int[Tensor, " r"], Int[Tensor, " s"], Int[Tensor, " a"]]:
    """Return, in a grid with a margin of `REACH`, each cell's index and steps from it."""
    width = grid[1] + 2 * REACH
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    places = ((rows + REACH) * width + columns + REACH).flatten()

    def steps(far: int) -> Int[Tensor, " s"]:
        side = torch.arange(-far, far + 1)
        return (side[:, None] * width + side).flatten()

    return places, steps(SHIFT), steps(AROUND)


def refuse_places(kept: Tensor) -> str | None:
    """Return why these are no unit cells of references, or None if they could be."""
    if kept.dtype != torch.float32 or kept.ndim != 3 or 0 in kept.shape:
        return "its places are not (references, cells, width)"
    lengths = kept.norm(dim=-1)
    unit = ((lengths - 1).abs() < 1e-3) | (lengths == 0)
    return None if bool(unit.all()) else "its places hold what are no unit cells"
