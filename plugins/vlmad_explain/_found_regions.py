"""Where a map stands out, and a square view of the image about each such region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image
from scipy import ndimage

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8

WORK = 320
"""The side in pixels of a square of the area to which images are brought: all looks alike then."""
CELL = 4
"""Such pixels to a side of a cell, to which maps are reduced."""
STANDS_OUT, STRIKES = 0.45, 0.7
"""Of the way from a map's median to its highest value: what a region reaches everywhere, and what
it reaches somewhere."""
AROUND, LEAST, MOST = 2.0, 0.3, 1.0
"""How many times its region a view shows, and its side in units of `WORK`."""
VIEW, HEAT = 128, 64
"""Pixels to a side of a view, and of its map."""

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FoundRegion:
    """Where the map of an image stands out."""

    cells: Bool[np.ndarray, "r c"]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Top, left, bottom, right as shares of the image."""
        shares = []
        for axis, count in ((1, self.cells.shape[0]), (0, self.cells.shape[1])):
            marked = np.nonzero(self.cells.any(axis))[0]
            shares.append((float(marked[0] / count), float((marked[-1] + 1) / count)))
        (top, bottom), (left, right) = shares
        return top, left, bottom, right

    @property
    def middle(self) -> tuple[float, float]:
        """The row and column of its centre of mass, as shares of the image."""
        row, column = ((index.mean() + 0.5) for index in np.nonzero(self.cells))
        return float(row / self.cells.shape[0]), float(column / self.cells.shape[1])


@dataclass(frozen=True, slots=True)
class RegionView:
    """A square of an image about a region; see `AROUND`."""

    pixels: UInt8[np.ndarray, "128 128 3"]
    heat: Float[np.ndarray, "64 64"]
    """From 0, the map's median, to 1, its highest value."""
    region: Float[np.ndarray, "64 64"]
    """The share of each pixel that lies in the region."""
    side: float
    """In units of `WORK`."""
    area: float
    """Of the region, as a share of the image."""


def working_size(width: int, height: int) -> Size:
    """Return the width and height that an image is brought to, in whole cells."""
    scale = WORK / math.sqrt(width * height) / CELL
    return CELL * max(1, round(width * scale)), CELL * max(1, round(height * scale))


def find_regions(heat: Float[np.ndarray, "H W"], most: int) -> list[FoundRegion]:
    """Return where a map stands out, the most striking first; of an even map, nothing.

    Args:
        heat: of an image, at any size.
        most: regions at most.
    """
    share = by_cells(heat)
    parts, count = ndimage.label(share >= STANDS_OUT, np.ones((3, 3)))
    highest = ndimage.maximum(share, parts, range(1, count + 1))
    order = [number for number in np.argsort(highest)[::-1] if highest[number] >= STRIKES]
    return [FoundRegion(parts == number + 1) for number in order[:most]]


def view_of(image: Image.Image, heat: Float[np.ndarray, "H W"], region: FoundRegion) -> RegionView:
    """Return what an image and its map show about a region, mirrored beyond their edges."""
    width, height = working_size(*image.size)
    top, left, bottom, right = region.box
    extent = max((bottom - top) * height, (right - left) * width)
    side = round(min(max(AROUND * extent, LEAST * WORK), MOST * WORK))
    middle = (top + bottom) / 2 * height, (left + right) / 2 * width
    rows, columns = (_along(m, side, n) for m, n in zip(middle, (height, width), strict=True))

    def cut(values: Shaped[np.ndarray, "r c *d"], size: int, by: Image.Resampling) -> Image.Image:
        whole = Image.fromarray(np.ascontiguousarray(values)).resize((width, height), by)
        piece = np.asarray(whole)[rows[:, None], columns]
        return Image.fromarray(piece).resize((size, size), by)

    linear, cubic = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
    return RegionView(
        np.asarray(cut(np.asarray(image.convert("RGB")), VIEW, cubic)),
        np.asarray(cut(by_cells(heat), HEAT, linear)),
        np.asarray(cut(region.cells.astype(np.float32), HEAT, linear)),
        side / WORK,
        float(region.cells.mean()),
    )


def by_cells(heat: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "r c"]:
    """Return a map by cells, 0 where it is its median and 1 where it is highest, or 0 anywhere."""
    size = working_size(heat.shape[1], heat.shape[0])
    levels = Image.fromarray(np.ascontiguousarray(heat, np.float32))
    cells = np.asarray(levels.resize([side // CELL for side in size], Image.Resampling.BOX))
    low, high = np.median(cells), cells.max()
    share: Float[np.ndarray, "r c"] = (cells - low) / (high - low) if high > low else cells * 0
    return share


def _along(middle: float, side: int, count: int) -> Int[np.ndarray, " side"]:
    """Return pixels of a row or column about its middle; beyond its ends they are mirrored."""
    start = min(max(round(middle - side / 2), 0), count - side)
    if side > count:
        start = (count - side) // 2
    place = np.abs(np.arange(side) + start) % max(1, 2 * count - 2)
    return np.where(place >= count, 2 * count - 2 - place, place)
