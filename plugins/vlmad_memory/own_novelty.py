"""How unlike the rest of its own image each cell is."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.errors import OptionError, did_you_mean
from vlmad.regions import inside_regions
from vlmad_memory.cell_grids import steps

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from vlmad import Features, Regions

NEAR = 2
"""Rows and columns within which a cell's neighbours are too like it to say anything."""


def own_level(features: Features, name: str | None) -> Regions:
    """Return the level of that name; None is the first.

    Raises:
        OptionError: there is none; the nearest names are given.
    """
    if name is None:
        return features.regions[0]
    names = {regions.name.removeprefix("level "): regions for regions in features.regions}
    if name not in names:
        raise OptionError(f"there is no level '{name}'; {did_you_mean(name, names)}")
    return names[name]


def own_novelty(features: Features, regions: Regions) -> Float[Tensor, "b r"]:
    """Return half the squared distance of unit cells to the nearest that is not a neighbour.

    Compared are cells of the same image more than `NEAR` rows or columns away, inside of what
    counts; where there are none, 0.
    """
    units = F.normalize(regions.embeddings, dim=-1)
    near = _neighbours(*(regions.grid or features.grid)).to(units.device)
    inside = inside_regions(features, regions)
    found = []
    for index, cells in enumerate(units):  # one by one: cells times cells are many
        cosines = (cells @ cells.T).masked_fill_(near, -1)
        if inside is not None:
            cosines[:, ~inside[index]] = -1
        found.append(1 - cosines.amax(1))
    novelty = torch.stack(found)
    return novelty.where(novelty < 2, novelty.new_zeros(()))


@lru_cache(8)
def _neighbours(rows: int, columns: int) -> Bool[Tensor, "r r"]:
    return steps(rows, columns) <= NEAR
