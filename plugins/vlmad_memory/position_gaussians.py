"""A Gaussian for every position over the references, on channels drawn from all levels (PaDiM)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from vlmad.errors import OptionError, WeightsError
from vlmad.regions import inside_regions
from vlmad_memory.cell_grids import concatenated
from vlmad_memory.once import OncePerTensor
from vlmad_memory.pooled_gaussian import whitening_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Features, Regions

CELLS, CHANNELS = "cells", "channels"


class PositionGaussians:
    """Squared Mahalanobis distances to them; it remembers the drawn channels of all references.

    Args:
        ridge: what is added to every variance.
        channels: how many are drawn of those of all levels; None is all.
        seed: of the draw.
    """

    def __init__(self, ridge: float, channels: int | None = None, seed: int = 0) -> None:
        self.ridge, self.channels, self.seed = ridge, channels, seed
        self._standards = OncePerTensor[tuple["Tensor", "Tensor"]]()

    def fit(
        self,
        references: Features,
        levels: Sequence[Regions],
        channels: Int[Tensor, " n"] | None = None,
    ) -> dict[str, Tensor]:
        """Return the cells of all references and which of their channels they are.

        Args:
            references: their features.
            levels: of these, as they are compared.
            channels: which; by default they are drawn.
        """
        cells = joined([_only_inside(references, regions) for regions in levels])
        drawn = self._draw(cells.shape[-1]) if channels is None else channels
        drawn = drawn.to(cells.device)
        return {CELLS: cells[..., drawn].contiguous(), CHANNELS: drawn}

    def _draw(self, width: int) -> Int[Tensor, " n"]:
        count = width if self.channels is None else self.channels
        if count > width:
            raise OptionError(
                f"{count} channels cannot be drawn of the {width} that the levels have together: "
                f"--set scorer.channels=1 to {width}, or none for all"
            )
        order = torch.randperm(width, generator=torch.Generator().manual_seed(self.seed))
        return order[:count].sort().values

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Join the cells of two memories."""
        same = torch.equal(memory[CHANNELS], more[CHANNELS])
        if not same or memory[CELLS].shape[1:] != more[CELLS].shape[1:]:
            raise WeightsError("the memories to be added are of other channels or positions")
        return {**memory, CELLS: torch.cat([memory[CELLS], more[CELLS]])}

    def refuses(self, memory: Mapping[str, Tensor]) -> str | None:
        """Return what no cells of drawn channels are."""
        if memory.keys() != {CELLS, CHANNELS}:
            return f"it does not hold {CELLS} and {CHANNELS}"
        cells, channels = memory[CELLS], memory[CHANNELS]
        if channels.dtype != torch.int64 or channels.ndim != 1:
            return "its channels are no list of numbers"
        if not cells.is_floating_point() or cells.ndim != 3 or 0 in cells.shape:
            return "its cells are not (references, positions, channels)"
        if channels.min() < 0:
            return "its channels are no list of numbers"
        if cells.shape[-1] != len(channels) or not bool(torch.isfinite(cells).all()):
            return "its cells are not finite numbers of each channel"
        return None

    def distances(
        self, levels: Sequence[Regions], memory: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, "b p"]]:
        """Return the squared distances, as those of the level with the finest grid."""
        kept, cells = memory[CELLS], joined(levels)
        if kept.shape[1] != cells.shape[1] or int(memory[CHANNELS].max()) >= cells.shape[-1]:
            raise WeightsError("the references' memory is of another grid or width; fit it anew")
        cells = cells[..., memory[CHANNELS]].transpose(0, 1)
        mean, whitening = self._standards(kept, partial(self._standard, kept))
        off = (cells - mean[:, None]) @ whitening.transpose(-1, -2)
        return {finest(levels).name: off.square().sum(-1).T}

    def _standard(
        self, kept: Float[Tensor, "n p d"]
    ) -> tuple[Float[Tensor, "p d"], Float[Tensor, "p d d"]]:
        """Return the means and what makes the covariances the identity."""
        samples = kept.double().transpose(0, 1)
        mean = samples.mean(1)
        samples = samples - mean[:, None]
        covariance = samples.transpose(-1, -2) @ samples / max(1, len(kept) - 1)
        return mean.float(), whitening_of(covariance, self.ridge).float()


def _only_inside(references: Features, regions: Regions) -> Regions:
    """Return a level with nothing of what does not count."""
    inside = inside_regions(references, regions)
    if inside is None:
        return regions
    return replace(regions, embeddings=regions.embeddings * inside[..., None])


def finest(levels: Sequence[Regions]) -> Regions:
    """Return the level of the most cells, the first of several."""
    return max(levels, key=lambda regions: len(regions.cells))


def joined(levels: Sequence[Regions]) -> Float[Tensor, "b p d"]:
    """Return all channels of all levels at the positions of the finest grid, by nearest."""
    largest, maps = finest(levels).grid, []
    for regions in levels:
        assert regions.grid is not None  # `CELLS` promises it
        maps.append(regions.embeddings.unflatten(1, regions.grid))
    assert largest is not None
    return concatenated(maps, largest, "nearest").flatten(1, 2)
