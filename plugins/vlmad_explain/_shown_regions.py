"""Which regions to show of an image, and where they lie in pixels of its original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F

from vlmad.attribution import Addend, Judged
from vlmad.regions import coverage
from vlmad.resizing import Box, tile_places, view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.images import Source
    from vlmad.resizing import Resizing
    from vlmad.types import BackboneSpec, Features, Regions, Resize

OVERLAP = 1 / 3
"""The share of the smaller of two regions, each grown by a cell to all sides, that both may
cover and still be shown as two places."""

Cells = tuple[int, int, int, int]
"""Top, left, bottom, right on the patch grid; the latter two exclusive."""


@dataclass(frozen=True, slots=True)
class Place:
    """A rectangle in whole pixels of an original; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        return f"{self.left},{self.top} to {self.right},{self.bottom}"


class Pick(NamedTuple):
    """A region that is to be shown."""

    judged: Judged
    region: int


@dataclass(frozen=True, slots=True)
class Canvas:
    """An original, or a tile of one, and the patch grid that lies over it.

    `corner` is the tile's left and top in pixels of the original, `size` its width and height.
    """

    corner: tuple[int, int]
    size: tuple[int, int]
    resize: Resize
    grid: tuple[int, int]
    image_size: tuple[int, int]

    @property
    def whole(self) -> Place:
        """The whole original, or the whole tile."""
        (x, y), (width, height) = self.corner, self.size
        return Place(x, y, x + width, y + height)

    def place(self, cells: Cells) -> Place | None:
        """Return where cells lie in the original, or None if only in its margins."""
        (width, height), (x, y) = self.size, self.corner
        seen = view(self.size, self.image_size, self.resize)
        wide, high = seen.right - seen.left, seen.bottom - seen.top
        top, left, bottom, right = cells
        place = Place(
            x + max(0, round(seen.left + left / self.grid[1] * wide)),
            y + max(0, round(seen.top + top / self.grid[0] * high)),
            x + min(width, round(seen.left + right / self.grid[1] * wide)),
            y + min(height, round(seen.top + bottom / self.grid[0] * high)),
        )
        return place if place.left < place.right and place.top < place.bottom else None


def canvases(source: Source, resizing: Resizing, spec: BackboneSpec) -> list[Canvas]:
    """Lay the grid of a backbone over an original, or over each tile that it is cut into.

    Raises:
        InputError: the original's size is not known and it cannot be read.
    """
    size = source.size
    boxes = [Box(0, 0, *size)]
    if resizing.mode == "tiles" and source.prepared is None:
        boxes = tile_places(size, resizing.tiles)
    return [
        Canvas(
            (int(box.left), int(box.top)),
            (int(box.right - box.left), int(box.bottom - box.top)),
            resizing.of_each,
            spec.grid,
            spec.preprocessing.size,
        )
        for box in boxes
    ]


def cells_of(regions: Regions, region: int) -> Cells:
    """Return the cells that a region covers."""
    top, left, bottom, right = regions.cells[region].tolist()
    return top, left, bottom, right


def highest_cell(addend: Addend, index: int) -> Cells | None:
    """Return the cell that decided an addend's value for an image, if one did."""
    if addend.cells is None:
        return None
    row, column = divmod(int(addend.cells[index].argmax()), addend.cells.shape[-1])
    return row, column, row + 1, column + 1


def covering(judged: Judged, cell: Cells) -> list[int]:
    """Return the regions that cover a cell."""
    boxes = judged.regions.cells
    row, column = cell[:2]
    inside = (boxes[:, 0] <= row) & (row < boxes[:, 2])
    inside &= (boxes[:, 1] <= column) & (column < boxes[:, 3])
    return inside.nonzero()[:, 0].tolist()


def strongest(
    levels: Sequence[Judged], index: int, canvas: Canvas, top: int, decided: Cells | None
) -> list[Pick]:
    """Return the regions with the highest values that lie apart, at most `top` of them.

    Args:
        levels: judged likewise, so that their values can be compared.
        index: of the image.
        canvas: regions that show nothing of its original are left out.
        top: how many at most.
        decided: the cell that decided the score: the strongest region there comes first.
    """
    chosen: list[Pick] = []
    for pick in _by_strength(levels, index, decided):
        cells = cells_of(pick.judged.regions, pick.region)
        taken = (cells_of(other.judged.regions, other.region) for other in chosen)
        if canvas.place(cells) and not any(_same_place(cells, other) for other in taken):
            chosen.append(pick)
        if len(chosen) == top:
            break
    return chosen


def _by_strength(levels: Sequence[Judged], index: int, decided: Cells | None) -> Iterator[Pick]:
    values = torch.cat([level.values[index] for level in levels])
    owners = [Pick(level, r) for level in levels for r in range(level.values.shape[1])]
    ranked = [owners[position] for position in values.argsort(descending=True).tolist()]
    if decided is not None:
        there = {(id(level), r) for level in levels for r in covering(level, decided)}
        yield next(pick for pick in ranked if (id(pick.judged), pick.region) in there)
    yield from ranked


def _same_place(one: Cells, other: Cells) -> bool:
    (top, left, bottom, right), (top_2, left_2, bottom_2, right_2) = map(_grown, (one, other))
    height = min(bottom, bottom_2) - max(top, top_2)
    width = min(right, right_2) - max(left, left_2)
    smaller = min((bottom - top) * (right - left), (bottom_2 - top_2) * (right_2 - left_2))
    return height > 0 and width > 0 and height * width > OVERLAP * smaller


def _grown(cells: Cells) -> Cells:
    return cells[0] - 1, cells[1] - 1, cells[2] + 1, cells[3] + 1


def judged_by_map(features: Features, maps: Float[Tensor, "b h w"]) -> tuple[Judged, ...]:
    """Judge regions by the mean of a finished map inside them, where a scorer says no more."""
    cells = F.adaptive_avg_pool2d(maps[:, None], features.grid).flatten(1)
    judged = []
    for regions in features.aligned or features.regions:
        cover = coverage(regions.cells, features.grid)
        judged.append(Judged(regions, "map", cells @ cover.T / cover.sum(1)))
    return tuple(judged)
