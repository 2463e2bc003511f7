"""Which regions to show of an image, and where they lie in pixels of its original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F

from vlmad.regions import coverage
from vlmad.resizing import Box
from vlmad.resizing import frame as frame_of
from vlmad_attribution.attribution import Addend, Judged
from vlmad_explain.explanations import PixelBox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.images import Source
    from vlmad.regions import Grid
    from vlmad.resizing import Placement, Resizing
    from vlmad.types import BackboneSpec, Features, Regions, Resize

OVERLAP = 1 / 3
"""The share of the smaller of two regions, each grown by a cell to all sides, that both may
cover and still be shown as two places."""

Place: TypeAlias = tuple[float, float, float, float]
"""Top, left, bottom, right as shares of a grid (0 to 1), whose levels may differ in theirs."""
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
    placement: Placement | None = None
    """Where the original lies, if the frame is that of a fixture."""

    def box(self, place: Place) -> PixelBox | None:
        """Return where a place lies in the original, or None if only in its margins."""
        frame = self.frame
        width, height = frame.right - frame.left, frame.bottom - frame.top
        whole = frame_of((width, height), self.image_size, self.resize)
        top, left, bottom, right = place

        def across(share: float) -> int:
            pixel = round(whole.left + share * (whole.right - whole.left))
            return frame.left + min(max(pixel, 0), width)

        def down(share: float) -> int:
            pixel = round(whole.top + share * (whole.bottom - whole.top))
            return frame.top + min(max(pixel, 0), height)

        box = PixelBox(left=across(left), top=down(top), right=across(right), bottom=down(bottom))
        if self.placement is not None:
            box = _in_image(box, self.placement)
        return box if box.left < box.right and box.top < box.bottom else None


def _in_image(box: PixelBox, placement: Placement) -> PixelBox:
    """Return what an image shows of a box in the frame of its fixture, as an upright box."""
    around = placement.around(Box(box.left, box.top, box.right, box.bottom))
    width, height = placement.size

    def clipped(pixel: float, side: int) -> int:
        return min(max(round(pixel), 0), side)

    return PixelBox(
        left=clipped(around.left, width),
        top=clipped(around.top, height),
        right=clipped(around.right, width),
        bottom=clipped(around.bottom, height),
    )


def patch_grids(source: Source, resizing: Resizing, spec: BackboneSpec) -> list[PatchGrid]:
    """Lay the grid of a backbone over an original, or over each tile that it is cut into.

    Raises:
        InputError: the original's size is not known and it cannot be read.
    """
    boxes = [Box(0, 0, *source.size)]
    if source.prepared is None:
        boxes = resizing.places(source.size) or boxes
    sides = ("left", "top", "right", "bottom")
    frames = [PixelBox(**dict(zip(sides, map(int, box), strict=True))) for box in boxes]
    size = spec.preprocessing.size
    return [PatchGrid(frame, resizing.of_each, spec.grid, size) for frame in frames]


def place_of(regions: Regions, region: int, grid: Grid) -> Place:
    """Return where a region lies; `grid` is that of regions without one of their own."""
    rows, columns = regions.grid or grid
    top, left, bottom, right = regions.cells[region].tolist()
    return top / rows, left / columns, bottom / rows, right / columns


def highest_cell(addend: Addend, index: int) -> Place | None:
    """Return the cell that decided an addend's value for an image, if one did."""
    if addend.cells is None:
        return None
    rows, columns = addend.cells.shape[-2:]
    row, column = divmod(int(addend.cells[index].argmax()), columns)
    return row / rows, column / columns, (row + 1) / rows, (column + 1) / columns


def covering(judged: Judged, place: Place, grid: Grid) -> list[int]:
    """Return the regions that cover the middle of a place."""
    rows, columns = judged.regions.grid or grid
    boxes, (top, left, bottom, right) = judged.regions.cells, place
    row, column = (top + bottom) / 2 * rows, (left + right) / 2 * columns
    inside = (boxes[:, 0] <= row) & (row < boxes[:, 2])
    inside &= (boxes[:, 1] <= column) & (column < boxes[:, 3])
    return inside.nonzero()[:, 0].tolist()


def strongest(
    levels: Sequence[Judged], index: int, patches: PatchGrid, top: int, decided: Place | None
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
    taken: list[Place] = []
    for judged, region in _by_strength(levels, index, decided, patches.grid):
        place = place_of(judged.regions, region, patches.grid)
        if patches.box(place) and not any(_same_place(place, o, patches.grid) for o in taken):
            chosen.append((judged, region))
            taken.append(place)
        if len(chosen) == top:
            break
    return chosen


def _by_strength(
    levels: Sequence[Judged], index: int, decided: Place | None, grid: Grid
) -> Iterator[JudgedRegion]:
    values = torch.cat([level.values[index] for level in levels])
    owners = [(level, r) for level in levels for r in range(level.values.shape[1])]
    ranked = [owners[position] for position in values.argsort(descending=True).tolist()]
    if decided is not None:
        yield next((level, r) for level, r in ranked if r in covering(level, decided, grid))
    yield from ranked


def _same_place(one: Place, other: Place, grid: Grid) -> bool:
    shared, areas = 1.0, [1.0, 1.0]
    for axis, cells in enumerate(grid):
        starts, ends = (one[axis], other[axis]), (one[axis + 2], other[axis + 2])
        shared *= max(0.0, (min(ends) - max(starts)) * cells + 2)
        sides = [(end - start) * cells + 2 for start, end in zip(starts, ends, strict=True)]
        areas = [area * side for area, side in zip(areas, sides, strict=True)]
    return shared > OVERLAP * min(areas) + 1e-6  # of areas in whole cells, as shares rounded


def judged_by_map(features: Features, maps: Float[Tensor, "b h w"]) -> tuple[Judged, ...]:
    """Judge regions by the mean of a finished map inside them, where a scorer knows no more."""
    judged = []
    for regions in features.aligned or features.regions:
        grid = regions.grid or features.grid
        cells = F.adaptive_avg_pool2d(maps[:, None], grid).flatten(1)
        cover = coverage(regions.cells, grid)
        judged.append(Judged(regions, "map", cells @ cover.T / cover.sum(1)))
    return tuple(judged)
