"""What a network is told of each cell: distances within its image, and to cells of references.

No channel is a feature itself. What a network learns of distances on drawn products holds for
photographs of others; what it learns of features does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad_memory._rarity import own_distances
from vlmad_memory.cell_grids import neighbourhood_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

OWN = (
    *("novelty", "deep novelty", "fine novelty", "finest novelty", "soft novelty"),
    *("rarity", "rarity with length", "fine rarity", "finest rarity"),
    *("beside neighbours", "mirrored"),
)
"""Channels of an image alone. Of the fine cells within a cell: their mean and, `finest`, their
maximum."""
COMPARED = (
    *("nearest", "soft nearest", "softer nearest", "same place", "within 1", "within 3"),
    *("found again", "found again within 3", "deep nearest", "deep within 2"),
    *("fine nearest", "finest nearest"),
    *("surroundings", "surroundings within 1"),
    *("surroundings found again", "surroundings found again within 3"),
)
"""Channels beside references: how far the nearest cell of theirs is, and, `found again`, how far
the nearest cell of the image is from theirs at the same place, so that what is missing is seen."""
SOFT, SOFTER = 0.05, 0.2
"""Temperatures of soft minima over cosine distances."""
RIDGE, FINE_RIDGE = 0.003, 0.01
"""Of rarities: that of the rule, and more where a cell has fewer channels."""
NEAR, FINE_NEAR = 2, 4
"""Cells apart within which neighbours are too like a cell, the same on a grid twice as fine."""
ROWS, BESIDE = 100, 200
"""Cells of a fine level that are compared at once, and with how many of a reference."""
FAR = 9.0
"""Beyond all distances of unit cells."""


@dataclass(frozen=True)
class ImageCells:
    """Cells of an image at three levels.

    Args:
        fine: standardised, not of unit length, as the others.
        middle: on the grid that channels are made for.
        deep: on the same grid.
    """

    fine: Float[Tensor, "y x f"]
    middle: Float[Tensor, "h w m"]
    deep: Float[Tensor, "h w d"]

    @cached_property
    def units(self) -> dict[str, Float[Tensor, "r c"]]:
        """The cells of each level in one row, of unit length; cells of zeros stay so."""
        levels = {"fine": self.fine, "middle": self.middle, "deep": self.deep}
        return {name: F.normalize(cells.flatten(0, 1), dim=-1) for name, cells in levels.items()}

    @cached_property
    def mean(self) -> Float[Tensor, " m"]:
        """The mean middle cell."""
        return self.middle.flatten(0, 1).mean(0)

    @cached_property
    def surroundings(self) -> tuple[Float[Tensor, "r m+2"], Float[Tensor, "r m+2"]]:
        """The mean over the middle cells around each (`vlmad_memory.kept_cells`), in two forms.

        Products of the first with another image's second are squared distances; in double
        precision, or near ones would be what rounding left of them.
        """
        around = neighbourhood_mean(self.middle[None], 3, zeros_outside=True)[0]
        cells = around.flatten(0, 1).double()
        squares, ones = cells.pow(2).sum(1, keepdim=True), cells.new_ones(len(cells), 1)
        return torch.cat([-2 * cells, squares, ones], 1), torch.cat([cells, ones, squares], 1)


def all_channels(image: ImageCells, references: Sequence[ImageCells]) -> Float[Tensor, "27 h w"]:
    """Return both, `COMPARED` as zeros where there are no references."""
    own = own_channels(image)
    none = own.new_zeros(len(COMPARED), own.shape[1])
    compared = compared_channels(image, references) if references else none
    channels: Tensor = torch.cat([own, compared]).unflatten(1, image.middle.shape[:2])
    return channels


def own_channels(image: ImageCells) -> Float[Tensor, "11 h*w"]:
    """Return the channels `OWN` of an image."""
    grid = (image.middle.shape[0], image.middle.shape[1])
    middle, fine = image.units["middle"], image.units["fine"]
    apart = steps(*grid)
    distances = 1 - middle @ middle.T
    beside = (apart == 1).float()
    finer = (image.fine.shape[0], image.fine.shape[1])
    fine_novelty = _nearest_beyond(fine, within(*finer, FINE_NEAR))
    fine_rarity = own_distances(fine[None], FINE_RIDGE)[0]
    raw = image.middle.flatten(0, 1) / image.middle.shape[-1] ** 0.5
    return torch.stack([
        distances.scatter(1, within(*grid, NEAR), FAR).amin(1),
        _nearest_beyond(image.units["deep"], within(*grid, NEAR)),
        *_by_cell(fine_novelty, finer, grid),
        _soft_minimum(distances, SOFTER),
        own_distances(middle[None], RIDGE)[0],
        own_distances(raw[None], RIDGE)[0],
        *_by_cell(fine_rarity, finer, grid),
        (distances * beside).sum(1) / beside.sum(1).clamp_min(1),
        _mirrored(distances, grid),
    ])  # fmt: skip


def compared_channels(
    image: ImageCells, references: Sequence[ImageCells]
) -> Float[Tensor, "16 h*w"]:
    """Return the channels `COMPARED` of an image beside references of the same grids."""
    grid = (image.middle.shape[0], image.middle.shape[1])
    middle = _between(image, references, "middle")
    found = [
        middle.flatten(1).amin(1),
        _soft_minimum(middle.flatten(1), SOFT),
        _soft_minimum(middle.flatten(1), SOFTER),
        *(_nearest_within(middle, within(*grid, most)) for most in (0, 1, 3)),
        *_found_again(middle, within(*grid, 3)),
    ]
    deep = _between(image, references, "deep", out=middle)  # new memory costs as much as products
    found += [deep.flatten(1).amin(1), _nearest_within(deep, within(*grid, 2))]
    fine = _nearest(image.units["fine"], [r.units["fine"] for r in references])
    found += _by_cell(fine, (image.fine.shape[0], image.fine.shape[1]), grid)
    return torch.stack([*found, *_differences(image, references, grid)])


@lru_cache(8)
def steps(rows: int, columns: int) -> Int[Tensor, "r r"]:
    """Return how many rows or columns, the larger of both, cells of a grid lie apart."""
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    return (places[:, None] - places[None]).abs().amax(-1)


@lru_cache(32)
def within(rows: int, columns: int, most: int) -> Int[Tensor, "r n"]:
    """Return which cells lie so few steps apart; beyond the edge the cell itself stands."""
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    beside = torch.cartesian_prod(*[torch.arange(-most, most + 1)] * 2)
    found = places[:, None] + beside
    size = torch.tensor([rows, columns])
    exists = ((found >= 0) & (found < size)).all(-1)
    return torch.where(
        exists, found[..., 0] * columns + found[..., 1], torch.arange(rows * columns)[:, None]
    )


def _between(
    image: ImageCells,
    references: Sequence[ImageCells],
    level: str,
    out: Float[Tensor, "r k r"] | None = None,
) -> Float[Tensor, "r k r"]:
    """Return the cosine distances of an image's cells to those of each reference."""
    cells = image.units[level]
    found = cells.new_empty(len(cells), len(references), len(cells)) if out is None else out
    for number, reference in enumerate(references):
        torch.mm(cells, reference.units[level].T, out=found[:, number])
    return found.neg_().add_(1)


def _differences(
    image: ImageCells, references: Sequence[ImageCells], grid: tuple[int, int]
) -> list[Float[Tensor, " r"]]:
    """Return the channels of what surrounds cells."""
    own = image.surroundings[0]
    squared = own.new_empty(len(own), len(references), len(own))
    for number, reference in enumerate(references):
        torch.mm(own, reference.surroundings[1].T, out=squared[:, number])
    nearest = [
        squared.flatten(1).amin(1),
        _nearest_within(squared, within(*grid, 1)),
        *_found_again(squared, within(*grid, 3)),
    ]
    width = image.middle.shape[-1]
    return [each.clamp_min(0).sqrt().to(image.middle) / width**0.5 for each in nearest]


def _nearest_within(
    distances: Float[Tensor, "r k r"], near: Int[Tensor, "r n"]
) -> Float[Tensor, " r"]:
    return _some(distances, near).flatten(1).amin(1)


def _found_again(
    distances: Float[Tensor, "r k r"], near: Int[Tensor, "r n"]
) -> list[Float[Tensor, " r"]]:
    """Return how far the image's nearest cell is from the references', and that within some."""
    return [distances.amin(0).amin(0), _nearest_within(distances.transpose(0, 2), near)]


def _some(distances: Float[Tensor, "r k r"], which: Int[Tensor, "r n"]) -> Float[Tensor, "r k n"]:
    return distances.gather(2, which[:, None].expand(-1, distances.shape[1], -1))


def _nearest(
    unit: Float[Tensor, "r c"], references: Sequence[Float[Tensor, "n c"]]
) -> Float[Tensor, " r"]:
    """Return the cosine distance to the nearest, in pieces that stay in a processor's cache."""
    pieces = [piece for each in references for piece in each.split(BESIDE)]
    cosines, highest = unit.new_empty(len(unit) * BESIDE), unit.new_full((len(unit),), -FAR)
    for piece in pieces:
        found = cosines[: len(unit) * len(piece)].view(len(unit), len(piece))
        torch.maximum(highest, torch.mm(unit, piece.T, out=found).amax(1), out=highest)
    return 1 - highest


def _nearest_beyond(unit: Float[Tensor, "r c"], near: Int[Tensor, "r n"]) -> Float[Tensor, " r"]:
    """Return the same among the cells themselves, those near each left out."""
    pieces = zip(unit.split(ROWS), near.split(ROWS), strict=True)
    return 1 - torch.cat([(rows @ unit.T).scatter_(1, own, -1).amax(1) for rows, own in pieces])


def _soft_minimum(distances: Float[Tensor, "r n"], temperature: float) -> Float[Tensor, " r"]:
    mean = (distances / -temperature).exp_().mean(1)
    return -temperature * mean.log()


def _mirrored(distances: Float[Tensor, "r r"], grid: tuple[int, int]) -> Float[Tensor, " r"]:
    """Return the distance to the nearest beside the mirrored place, of both ways to mirror."""
    places = torch.arange(len(distances)).view(grid)
    mirrors = (places.flip(axis).flatten() for axis in (0, 1))
    found = [distances.gather(1, m[within(*grid, 1)]).amin(1) for m in mirrors]
    return torch.minimum(*found)


def _by_cell(
    values: Float[Tensor, " f"], fine: tuple[int, int], grid: tuple[int, int]
) -> list[Float[Tensor, " r"]]:
    """Return the mean and the maximum of the fine cells of each cell."""
    image = values.view(1, *fine)
    pooled = F.adaptive_avg_pool2d(image, grid), F.adaptive_max_pool2d(image, grid)
    return [each.flatten() for each in pooled]
