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
from vlmad_memory.cell_grids import neighbourhood_mean, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

OWN = (
    *("novelty", "deep novelty", "soft novelty", "rarity", "rarity with length"),
    *("beside neighbours", "mirrored"),
)
"""Channels of an image alone."""
COMPARED = (
    *("nearest", "soft nearest", "softer nearest", "same place", "within 1", "within 3"),
    *("found again", "found again within 3", "deep nearest", "deep within 2"),
    *("surroundings", "surroundings within 1"),
    *("surroundings found again", "surroundings found again within 3"),
)
"""Channels beside references: how far the nearest cell of theirs is, and, `found again`, how far
the nearest cell of the image is from theirs at the same place, so that what is missing is seen."""
SOFT, SOFTER = 0.05, 0.2
"""Temperatures of soft minima over cosine distances."""
RIDGE = 0.003
"""Of rarities: that of the rule."""
NEAR = 2
"""Cells apart within which neighbours are too like a cell."""
FAR = 9.0
"""Beyond all distances of unit cells."""


@dataclass(frozen=True)
class ImageCells:
    """Cells of an image at two levels, standardised, not of unit length.

    Args:
        middle: on the grid that channels are made for.
        deep: on the same grid.
    """

    middle: Float[Tensor, "h w m"]
    deep: Float[Tensor, "h w d"]

    @cached_property
    def units(self) -> dict[str, Float[Tensor, "r c"]]:
        """The cells of each level in one row, of unit length; cells of zeros stay so."""
        levels = {"middle": self.middle, "deep": self.deep}
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


def picked(images: Sequence[ImageCells], number: Int[Tensor, ""]) -> ImageCells:
    """Return one of several images by a number that is a tensor."""
    levels = zip(*((each.middle, each.deep) for each in images), strict=True)
    return ImageCells(*(torch.stack(cells)[number] for cells in levels))


def all_channels(image: ImageCells, references: Sequence[ImageCells]) -> Float[Tensor, "21 h w"]:
    """Return both, `COMPARED` as zeros where there are no references."""
    own = own_channels(image)
    none = own.new_zeros(len(COMPARED), own.shape[1])
    compared = compared_channels(image, references) if references else none
    channels: Tensor = torch.cat([own, compared]).unflatten(1, image.middle.shape[:2])
    return channels


def own_channels(image: ImageCells) -> Float[Tensor, "7 h*w"]:
    """Return the channels `OWN` of an image."""
    grid = (image.middle.shape[0], image.middle.shape[1])
    middle, deep = image.units["middle"], image.units["deep"]
    distances = 1 - middle @ middle.T
    beside = (steps(*grid) == 1).float()
    raw = image.middle.flatten(0, 1) / image.middle.shape[-1] ** 0.5
    return torch.stack([
        distances.scatter(1, within(*grid, NEAR), FAR).amin(1),
        1 - (deep @ deep.T).scatter_(1, within(*grid, NEAR), -1).amax(1),
        _soft_minimum(distances, SOFTER),
        own_distances(middle[None], RIDGE)[0],
        own_distances(raw[None], RIDGE)[0],
        (distances * beside).sum(1) / beside.sum(1).clamp_min(1),
        _mirrored(distances, grid),
    ])  # fmt: skip


def compared_channels(
    image: ImageCells, references: Sequence[ImageCells]
) -> Float[Tensor, "14 h*w"]:
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
    return torch.stack([*found, *_differences(image, references, grid)])


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
    if torch.compiler.is_compiling():  # a graph writes to no memory that is there
        return 1 - torch.stack([cells @ each.units[level].T for each in references], 1)
    found = cells.new_empty(len(cells), len(references), len(cells)) if out is None else out
    for number, reference in enumerate(references):
        torch.mm(cells, reference.units[level].T, out=found[:, number])
    return found.neg_().add_(1)


def _differences(
    image: ImageCells, references: Sequence[ImageCells], grid: tuple[int, int]
) -> list[Float[Tensor, " r"]]:
    """Return the channels of what surrounds cells."""
    own = image.surroundings[0]
    if torch.compiler.is_compiling():
        squared = torch.stack([own @ each.surroundings[1].T for each in references], 1)
    else:
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


def _soft_minimum(distances: Float[Tensor, "r n"], temperature: float) -> Float[Tensor, " r"]:
    mean = (distances / -temperature).exp_().mean(1)
    return -temperature * mean.log()


def _mirrored(distances: Float[Tensor, "r r"], grid: tuple[int, int]) -> Float[Tensor, " r"]:
    """Return the distance to the nearest beside the mirrored place, of both ways to mirror."""
    places = torch.arange(len(distances)).view(grid)
    mirrors = (places.flip(axis).flatten() for axis in (0, 1))
    found = [distances.gather(1, m[within(*grid, 1)]).amin(1) for m in mirrors]
    return torch.minimum(*found)
