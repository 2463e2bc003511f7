"""What of an image is the product, and how something is laid over it.

A defect belongs on the product: on an object that lies on plain ground, and anywhere where the
image is full of one texture. Sizes are shares of `scale_of` an image, so that defects look the
same at any resolution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from vlmad_synthesis.colours import to_levels

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

    from vlmad_synthesis.synthetic import Drawn

SMALL = 96
"""Pixels of the longer side at which the product is looked for."""
PLAIN = 24
"""Levels by which a plain ground varies along the edge of an image, at most."""
LEAST_PRODUCT, MOST_PRODUCT = 0.04, 0.92
"""Shares of an image; what is found beyond them is no object on plain ground."""


def scale_of(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Return what sizes are shares of: the shorter side, and more in a long format, in pixels."""
    height, width = int(image.shape[0]), int(image.shape[1])
    return min(math.sqrt(height * width), 2.0 * min(height, width))


def find_product(image: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Return where the product is: an object on plain ground, or everything."""
    everywhere = np.ones(image.shape[:2], bool)
    small = Image.fromarray(image)
    small.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32)
    if min(pixels.shape[:2]) < 8:
        return everywhere
    beside = np.ones(pixels.shape[:2], bool)
    beside[2:-2, 2:-2] = False
    edge = pixels[beside]
    ground = np.median(edge, axis=0)
    varies = float(np.percentile(np.abs(edge - ground).max(-1), 75))
    if varies > PLAIN:
        return everywhere
    apart = np.abs(ndimage.median_filter(pixels, (3, 3, 1)) - ground).max(-1)
    found = ndimage.binary_fill_holes(ndimage.binary_opening(apart > max(3 * varies, PLAIN)))
    if not LEAST_PRODUCT < found.mean() < MOST_PRODUCT:
        return everywhere
    shown = Image.fromarray(found).resize(image.shape[1::-1], Image.Resampling.NEAREST)
    return np.asarray(shown)


def point_on(product: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> tuple[int, int]:
    """Return the row and column of a pixel of the product."""
    rows, columns = np.nonzero(product)
    chosen = rng.integers(len(rows))
    return int(rows[chosen]), int(columns[chosen])


def lay_over(
    image: UInt8[np.ndarray, "h w 3"],
    paint: Float[np.ndarray, "*h *w 3"],
    opacity: Float[np.ndarray, "a b"],
    corner: tuple[int, int] = (0, 0),
) -> Drawn:
    """Return an image with paint laid over it, and where that is.

    Args:
        image: the good one, which stays as it is.
        paint: levels, one colour or as large as `opacity`.
        opacity: 0 to 1; 0 leaves a pixel alone.
        corner: the row and column of the image that `opacity` begins at; what of it lies
            outside of the image is left out.
    """
    top, left = corner
    here = (slice(max(0, top), max(0, top + opacity.shape[0])),
            slice(max(0, left), max(0, left + opacity.shape[1])))  # fmt: skip
    changed, region = image.copy(), np.zeros(image.shape[:2], bool)
    part = changed[here].astype(np.float32)
    there = (slice(max(0, -top), max(0, -top) + part.shape[0]),
             slice(max(0, -left), max(0, -left) + part.shape[1]))  # fmt: skip
    share = np.clip(opacity[there], 0, 1)[..., None]
    laid = part + share * ((paint[there] if paint.ndim == 3 else paint) - part)
    changed[here] = to_levels(laid)
    region[here] = share[..., 0] > 0
    return changed, region
