"""Which regions to show of an image, and where they lie in pixels of its original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F

from vlmad.attribution import Addend, Judged
from vlmad.regions import coverage
from vlmad.resizing import Box, tile_places
from vlmad.resizing import frame as frame_of
from vlmad_explain.explanations import PixelBox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad.images import Source
    from vlmad.resizing import Resizing
    from vlmad.types import BackboneSpec, Features, Resize

OVERLAP = 1 / 3
"""The share of the smaller of two regions, each grown by a cell to all sides, that both may
cover and still be shown as two places."""

Cells: TypeAlias = tuple[int, int, int, int]
"""Top, left, bottom, right on the patch grid; the latter two exclusive."""
JudgedRegion: TypeAlias = tuple[Judged, int]
"""A region by its level and its index there."""


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """The patch grid that lies over an original, or over a tile of one."""

    frame: PixelBox
    """The tile in the original, or all of it."""
    resize: Resize
    grid: tuple[int, int]
    image_size: tuple[int, int]

    def box(self, cells: Cells | Int[Tensor, " 4"]) -> PixelBox | None:
        """Return where cells lie in the original, or None if only in its margins."""
        frame, (rows, columns) = self.frame, self.grid
        width, height = frame.right - frame.left, frame.bottom - frame.top
        whole = frame_of((width, height), self.image_size, self.resize)
        top, left, bottom, right = map(int, cells)

        def across(cell: int) -> int:
            pixel = round(whole.left + cell / columns * (whole.right - whole.left))
            return frame.left + min(max(pixel, 0), width)

        def down(cell: int) -> int:
            pixel = round(whole.top + cell / rows * (whole.bottom - whole.top))
            return frame.top + min(max(pixel, 0), height)

        box = PixelBox(left=across(left), top=down(top), right=across(right), bottom=down(bottom))
        return box if box.left < box.right and box.top < box.bottom else None


def patch_grids(source: Source, resizing: Resizing, spec: BackboneSpec) -> list[PatchGrid]:
    """Lay the grid of a backbone over an original, or over each tile that it is cut into.

    Raises:
        InputError: the original's size is not known and it cannot be read.
    """
    boxes = [Box(0, 0, *source.size)]
    if resizing.mode == "tiles" and source.prepared is None:
        boxes = tile_places(source.size, resizing.tiles)
    sides = ("left", "top", "right", "bottom")
    frames = [PixelBox(**dict(zip(sides, map(int, box), strict=True))) for box in boxes]
    size = spec.preprocessing.size
    return [PatchGrid(frame, resizing.of_each, spec.grid, size) for frame in frames]


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
    levels: Sequence[Judged], index: int, patches: PatchGrid, top: int, decided: Cells | None
) -> list[JudgedRegion]:
    """Return the regions with the highest values that lie apart, at most `top` of them.

    Args:
        levels: judged likewise, so that their values can be compared.
        index: of the image.
        patches: regions that show nothing of its original are left out.
        top: how many at most.
        decided: the cell that decided the score: the strongest region there comes first.
    """
    chosen: list[JudgedRegion] = []
    taken: list[Int[Tensor, " 4"]] = []
    for judged, region in _by_strength(levels, index, decided):
        cells = judged.regions.cells[region].cpu()
        if patches.box(cells) and not any(_same_place(cells, other) for other in taken):
            chosen.append((judged, region))
            taken.append(cells)
        if len(chosen) == top:
            break
    return chosen


def _by_strength(
    levels: Sequence[Judged], index: int, decided: Cells | None
) -> Iterator[JudgedRegion]:
    values = torch.cat([level.values[index] for level in levels])
    owners = [(level, r) for level in levels for r in range(level.values.shape[1])]
    ranked = [owners[position] for position in values.argsort(descending=True).tolist()]
    if decided is not None:
        yield next((level, r) for level, r in ranked if r in covering(level, decided))
    yield from ranked


def _same_place(one: Int[Tensor, " 4"], other: Int[Tensor, " 4"]) -> bool:
    shared = torch.minimum(one[2:], other[2:]) - torch.maximum(one[:2], other[:2]) + 2
    smaller = min(int((cells[2:] - cells[:2] + 2).prod()) for cells in (one, other))
    return int(shared.clamp_min(0).prod()) > OVERLAP * smaller


def judged_by_map(features: Features, maps: Float[Tensor, "b h w"]) -> tuple[Judged, ...]:
    """Judge regions by the mean of a finished map inside them, where a scorer knows no more."""
    cells = F.adaptive_avg_pool2d(maps[:, None], features.grid).flatten(1)
    judged = []
    for regions in features.aligned or features.regions:
        cover = coverage(regions.cells, features.grid)
        judged.append(Judged(regions, "map", cells @ cover.T / cover.sum(1)))
    return tuple(judged)
