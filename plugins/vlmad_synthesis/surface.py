"""What of an image is the product, and how something is laid over it.

A defect belongs on the product: on an object that lies on plain ground, and anywhere where the
image is full of one texture. Sizes are shares of `Painting.scale`, so that defects look the same at
any resolution.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from vlmad_synthesis.colours import to_levels

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8

    from vlmad_synthesis.synthetic import Drawn

SMALL = 96
"""Pixels of the longer side at which the product is looked for."""
STANDS_OUT = 24
"""Levels by which a product differs from its ground at least, and that many"""
CLEARLY = 4
"""times more than a plain ground from a smooth one, in the median."""
COLOURED, SAME_COLOUR = 60, 8
"""Levels between the channels of a ground that has a colour, and within which a shadow keeps it."""
SMALL_PART = 0.2
"""Of the largest part of a product; smaller ones are dirt on the ground."""
LEAST_PRODUCT, MOST_PRODUCT = 0.04, 0.92
"""Shares of an image; what is found beyond them is no object on plain ground."""


class Painting:
    """An image to draw in, and where it was drawn in.

    Args:
        image: is changed.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        height, width = int(image.shape[0]), int(image.shape[1])
        self.image, self.region = image, np.zeros((height, width), bool)
        self.scale = min(math.sqrt(height * width), 2.0 * min(height, width))
        """Pixels that sizes are shares of: the shorter side, and more in a long format."""

    @cached_property
    def product(self) -> Bool[np.ndarray, "h w"]:
        """Where the product is; to be asked for before much is drawn."""
        return find_product(self.image)

    def place(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return the row and column of a pixel of the product."""
        chosen = self._places[rng.integers(len(self._places))]
        row, column = divmod(int(chosen), self.product.shape[1])
        return row, column

    @cached_property
    def _places(self) -> Int[np.ndarray, " n"]:
        return np.flatnonzero(self.product)

    def cut(self, corner: tuple[int, int], shape: tuple[int, ...]) -> Float[np.ndarray, "a b 3"]:
        """Return levels of a piece; beyond the edge of the image its outermost pixels go on."""
        return cut_out(self.image, corner, shape).astype(np.float32)

    def on_product(
        self, corner: tuple[int, int], shape: tuple[int, ...]
    ) -> Bool[np.ndarray, "a b"]:
        """Return where in a piece the product is."""
        return cut_out(self.product, corner, shape)

    def lay(
        self,
        paint: Float[np.ndarray, "*a *b 3"],
        opacity: Float[np.ndarray, "a b"],
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        """Lay paint over the image.

        Args:
            paint: levels, one colour or as large as `opacity`.
            opacity: 0 to 1; 0 leaves a pixel alone.
            corner: the row and column of the image that `opacity` begins at; what of it lies
                outside of the image is left out.
        """
        top, left = corner
        here = (slice(max(0, top), max(0, top + opacity.shape[0])),
                slice(max(0, left), max(0, left + opacity.shape[1])))  # fmt: skip
        part = self.image[here]
        there = (slice(max(0, -top), max(0, -top) + part.shape[0]),
                 slice(max(0, -left), max(0, -left) + part.shape[1]))  # fmt: skip
        share = np.clip(opacity[there], 0, 1)[..., None].astype(np.float32)
        laid = part + share * ((paint[there] if paint.ndim == 3 else paint) - part)
        part[...] = to_levels(laid)
        self.region[here] |= share[..., 0] > 0

    def drawn(self) -> Drawn:
        """Return the image and where it was drawn in."""
        return self.image, self.region


def cut_out(
    values: Shaped[np.ndarray, "h w *c"], corner: tuple[int, int], shape: tuple[int, ...]
) -> Shaped[np.ndarray, "a b *c"]:
    """Return a piece of an image or mask; beyond its edge the outermost pixels go on."""
    rows, columns = (
        np.clip(np.arange(size) + start, 0, side - 1)
        for start, size, side in zip(corner, shape, values.shape, strict=False)
    )
    return values[rows[:, None], columns[None, :]]


def seen_from(
    levels: Float[np.ndarray, "a b 3"],
    rows: Float[np.ndarray, "a b"],
    columns: Float[np.ndarray, "a b"],
) -> Float[np.ndarray, "a b 3"]:
    """Return what is seen where each pixel shows another place of a piece."""
    channels = (
        ndimage.map_coordinates(levels[..., channel], [rows, columns], order=1, mode="nearest")
        for channel in range(3)
    )
    return np.stack([*channels], -1)


def find_product(image: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Return where the product is: an object on plain ground, or everything."""
    everywhere = np.ones(image.shape[:2], bool)
    small = Image.fromarray(image)
    small.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    if min(small.size) < 8:
        return everywhere
    pixels = ndimage.median_filter(np.asarray(small, np.float32), (3, 3, 1))
    ground, varies = _smooth_ground(pixels)
    apart = np.abs(pixels - ground).max(-1)
    between = _divide(apart)
    if between < max(STANDS_OUT, CLEARLY * varies):
        return everywhere
    found = _largest((apart > 0.7 * between) & ~_in_shadow(pixels, ground))
    if not LEAST_PRODUCT < found.mean() < MOST_PRODUCT:
        return everywhere
    even = ndimage.gaussian_filter(found.astype(np.float32), 0.8)  # or its outline has steps
    soft = Image.fromarray(even).resize(image.shape[1::-1])
    return np.asarray(soft) > 0.5


def _smooth_ground(pixels: Float[np.ndarray, "h w 3"]) -> tuple[Float[np.ndarray, "h w 3"], float]:
    """Fit a ground, lit unevenly, to the edge of an image; return it and how it differs there.

    Whatever lies across the edge is left out by and by.
    """
    height, width = pixels.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), y, x, y * x, y * y, x * x], -1)
    beside = np.ones((height, width), bool)
    beside[2:-2, 2:-2] = False
    rows, edge = terms[beside], pixels[beside]
    kept = np.ones(len(edge), bool)
    for _ in range(4):
        fit = np.linalg.lstsq(rows[kept], edge[kept], rcond=None)[0]
        off = np.abs(edge - rows @ fit).max(-1)
        kept = off <= 2.5 * np.median(off) + 1
    return terms @ fit, float(np.median(off))


def _in_shadow(
    pixels: Float[np.ndarray, "h w 3"], ground: Float[np.ndarray, "h w 3"]
) -> Bool[np.ndarray, "h w"]:
    """Return where a ground that has a colour keeps it, but is darker."""
    share = (pixels * ground).sum(-1) / np.maximum((ground * ground).sum(-1), 1)
    keeps = np.abs(pixels - share[..., None] * ground).max(-1) < SAME_COLOUR
    shadow: Bool[np.ndarray, "h w"] = keeps & (np.ptp(ground, -1) > COLOURED) & (share < 1)
    return shadow


def _largest(beyond: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Keep connected parts that are not much smaller than the largest, without small holes."""
    parts, count = ndimage.label(ndimage.binary_opening(beyond))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = np.isin(parts, np.nonzero(sizes > SMALL_PART * sizes.max())[0])
    closed: Bool[np.ndarray, "h w"] = kept | ndimage.binary_closing(kept)
    return closed


def _divide(values: Float[np.ndarray, "h w"]) -> float:
    """Return the middle between the means of the two groups that differ most (Otsu, 1979)."""
    ordered = np.sort(values.ravel())
    below = np.arange(1, len(ordered))
    sums, total = np.cumsum(ordered)[:-1], ordered.sum()
    low, high = sums / below, (total - sums) / (len(ordered) - below)
    best = np.argmax(below * (len(ordered) - below) * (high - low) ** 2)
    return float(low[best] + high[best]) / 2
