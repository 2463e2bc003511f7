"""Distances of all patches of a set of images to the nearest ones of each other image.

Never more than a block of images against another is in memory: unit features and distances lie
in temporary files. A block serves both its sides, so that each pair is multiplied once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.regions import inside_regions
from vlmad.temporary import TemporaryTensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from vlmad import Features, Regions

CELLS_AT_ONCE = 2048
"""Of either side in a block of products."""
CLOSE = 1e-3
"""Where a cosine is below 1 by less, the distance is measured anew: rounding would decide it."""
PROBED = 30
"""Blocks from which on it is worth a second to tell how long all take."""


class Pairing:
    """Which pieces of images are compared with which.

    Args:
        owners: of each piece the image that it is of.
        drawn: the images that all are compared with, one more than each needs; None is all.
    """

    def __init__(self, owners: Sequence[int], drawn: Sequence[int] | None) -> None:
        self.owners, self.drawn = torch.tensor(owners), drawn
        wanted = self.owners if drawn is None else torch.tensor(drawn)
        self.columns = torch.isin(self.owners, wanted).nonzero()[:, 0]

    def compared(self, piece: int) -> Bool[Tensor, " m"]:
        """Return which columns a piece is compared with: none of its image, none drawn too many."""
        image, owners = int(self.owners[piece]), self.owners[self.columns]
        if self.drawn is None or image in self.drawn:
            return owners != image
        return owners != self.drawn[-1]

    def blocks(self, cells: int) -> list[tuple[Tensor, Tensor]]:
        """Return the rows and columns of blocks of so many cells; one of two that mirror."""
        size = max(1, CELLS_AT_ONCE // cells)
        columns = self.columns.split(size)
        return [
            (some, others)
            for number, some in enumerate(torch.arange(len(self.owners)).split(size))
            for others in columns[number if self.drawn is None else 0 :]
        ]

    def seconds(self, regions: Regions) -> float:
        """Return about how long comparing takes, by one block of random numbers; 0 is soon."""
        cells, width = regions.embeddings.shape[1:]
        blocks = self.blocks(cells)
        if len(blocks) < PROBED:
            return 0.0
        shape = len(blocks[0][0]), cells, width
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        rows = F.normalize(drawn, dim=-1).to(regions.embeddings.device)
        took = []
        for _ in range(3):  # the first also makes memory and threads ready
            started = time.perf_counter()
            cosines = _cosines(rows, rows)
            _nearest(cosines, rows, rows)
            _nearest(cosines.permute(2, 3, 0, 1), rows, rows)
            took.append(time.perf_counter() - started)
        return min(took) * len(blocks)

    def bytes(self, regions: Regions) -> int:
        """Return how many lie on disk."""
        cells, width = regions.embeddings.shape[1:]
        return 4 * cells * len(self.owners) * (width + len(self.columns))


class MutualDistances:
    """Those of one level under one neighbourhood.

    Args:
        images: their features, read one by one.
        level: which of their regions.
        side: of the square of cells that features are averaged over.
        pairing: which are compared.
    """

    def __init__(self, images: Sequence[Features], level: int, side: int, pairing: Pairing) -> None:
        self._units, self._near, self._pairing = TemporaryTensors(), TemporaryTensors(), pairing
        self._inside: list[Tensor] = []
        end = 0
        for features in images:
            units, inside = neighbourhood_units(features, level, side)
            end = self._units.write(end, units)
            self._inside += [] if inside is None else [inside]
        self._cells, self._width, self._device = *units.shape[1:], units.device

    def compare(self) -> Iterator[None]:
        """Compare all images; yields after each block."""
        for rows, columns in self._pairing.blocks(self._cells):
            own, theirs = self._read(rows), self._read(columns)
            cosines = _cosines(own, theirs)
            self._write(rows, columns, _nearest(self._visible(cosines, columns), own, theirs))
            if self._pairing.drawn is None and not torch.equal(rows, columns):
                cosines = cosines.permute(2, 3, 0, 1)
                self._write(columns, rows, _nearest(self._visible(cosines, rows), theirs, own))
            yield

    def lowest(self, piece: int, start: float, end: float) -> Float[Tensor, " p"]:
        """Return of each patch of a piece the mean of its distances within ranks.

        Args:
            piece: which.
            start: from which share of the others on, the nearest first.
            end: to which share; at least one counts.
        """
        count = len(self._pairing.columns)
        place = 4 * self._cells * count * piece
        near = self._near.read(place, (count, self._cells), torch.float32)
        near = near[self._pairing.compared(piece)]
        if len(near) == 0:
            return near.new_zeros(self._cells)
        first = min(int(start * len(near)), len(near) - 1)
        last = max(first + 1, int(end * len(near)))
        return near.topk(last, 0, largest=False).values[first:].mean(0)

    def _read(self, pieces: Tensor) -> Float[Tensor, "i p d"]:
        shape = self._cells, self._width
        places = (4 * self._cells * self._width * pieces).tolist()
        read = [self._units.read(place, shape, torch.float32) for place in places]
        return torch.stack(read).to(self._device)

    def _write(self, rows: Tensor, columns: Tensor, near: Float[Tensor, "i j p"]) -> None:
        known = self._pairing.columns
        first = int(torch.searchsorted(known, columns[0]))
        for row, own in zip(rows.tolist(), near.cpu(), strict=True):
            self._near.write(4 * self._cells * (row * len(known) + first), own)

    def _visible(self, cosines: Float[Tensor, "i p j q"], rows: Tensor) -> Float[Tensor, "i p j q"]:
        """Put patches of `rows` that do not count as far away as can be."""
        if not self._inside:
            return cosines
        inside = torch.cat(self._inside)[rows.to(self._inside[0].device)]
        return cosines.masked_fill(~inside, -1.0)


def neighbourhood_units(
    features: Features, level: int, side: int
) -> tuple[Float[Tensor, "b p d"], Bool[Tensor, "b p"] | None]:
    """Return the features of a level's cells, as MuSc compares them, and which of them count.

    Those of an image are standardised together, averaged over a square whose part outside the
    image, or of what counts, is zero, and brought to unit length.
    """
    regions = features.regions[level]
    inside, values = inside_regions(features, regions), regions.embeddings.float()
    if inside is None:
        values = F.layer_norm(values, values.shape[1:])
    else:
        count = (inside.sum(1) * values.shape[2]).clamp_min(1)[:, None, None]
        values = (values * inside[..., None]).double()
        centred = (values - values.sum((1, 2), keepdim=True) / count) * inside[..., None]
        variance = centred.square().sum((1, 2), keepdim=True) / count
        values = (centred / (variance + 1e-5).sqrt()).float()
    cells = values.transpose(1, 2).unflatten(2, regions.grid or features.grid)
    averaged = F.avg_pool2d(cells, side, 1, side // 2).flatten(2).transpose(1, 2)
    return F.normalize(averaged, dim=-1), inside


def _cosines(
    own: Float[Tensor, "i p d"], theirs: Float[Tensor, "j q d"]
) -> Float[Tensor, "i p j q"]:
    products = own.flatten(0, 1) @ theirs.flatten(0, 1).T
    return products.view(*own.shape[:2], *theirs.shape[:2])


def _nearest(
    cosines: Float[Tensor, "i p j q"], own: Float[Tensor, "i p d"], theirs: Float[Tensor, "j q d"]
) -> Float[Tensor, "i j p"]:
    """Return the distance of each patch to the nearest one of each other image."""
    highest = cosines.amax(-1)
    distances = (2 - 2 * highest).clamp_min(0).sqrt()
    close = (highest > 1 - CLOSE).nonzero(as_tuple=True)
    image, patch, other = close
    found = cosines[close].argmax(-1)
    distances[close] = (own[image, patch] - theirs[other, found]).norm(dim=-1)
    return distances.transpose(1, 2).contiguous()


def nearest_patches(features: Features, level: int) -> Int[Tensor, "b p"]:
    """Return of each patch the nearest one of all other images: image * p + patch."""
    units, inside = neighbourhood_units(features, level, 1)
    found = []
    for number, own in enumerate(units):
        cosines = torch.einsum("pd,jqd->pjq", own, units)
        if inside is not None:
            cosines = cosines.masked_fill(~inside, -1.0)
        cosines[:, number] = -2.0
        found.append(cosines.flatten(1).argmax(1))
    return torch.stack(found)
