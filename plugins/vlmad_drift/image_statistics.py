"""What an image is like as a whole: numbers that tell which kind of change there was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL import Image

COARSE, FINE = 256, 1024
"""The longer side at which images are measured; fine detail at the second. None is enlarged."""
LEAST = 1.0
"""Means of levels, of 255, are taken to be at least that where they divide."""


def statistics_of(image: Image.Image) -> dict[str, float]:
    """Return the statistics of an upright RGB image.

    - `brightness`: the mean grey level, of 255
    - `contrast`: the standard deviation of grey levels, as a share of their mean
    - `sharpness`: the variance of the Laplacian, as a share of that of the grey levels
    - `red`, `blue`: the mean level of that channel, as a share of green's
    - `right`, `down`: where the centre of mass lies of what differs from the image's border, from
      the middle on, in shares of the longer side
    """
    levels = np.asarray(_at_most(image, COARSE), np.float32)
    red, green, blue = np.maximum(levels.mean((0, 1), dtype=np.float64), LEAST)
    grey = np.asarray(_at_most(image.convert("L"), COARSE), np.float32)
    mean = float(grey.mean(dtype=np.float64))
    right, down = _centre(grey)
    return {
        "brightness": mean,
        "contrast": float(grey.std(dtype=np.float64)) / max(mean, LEAST),
        "sharpness": _sharpness(np.asarray(_at_most(image.convert("L"), FINE), np.float32)),
        "red": float(red / green),
        "blue": float(blue / green),
        "right": right,
        "down": down,
    }


def _at_most(image: Image.Image, side: int) -> Image.Image:
    from PIL.Image import Resampling

    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    return image.resize(size, Resampling.BOX)


def _sharpness(grey: Float[np.ndarray, "h w"]) -> float:
    from scipy.ndimage import laplace

    spread = float(grey.var(dtype=np.float64))
    return float(laplace(grey).var(dtype=np.float64)) / spread if spread > 0 else 0.0


def _centre(grey: Float[np.ndarray, "h w"]) -> tuple[float, float]:
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    mass = np.abs(grey - np.median(border))
    total = float(mass.sum(dtype=np.float64))
    if total == 0:
        return 0.0, 0.0
    places = [np.arange(side) + 0.5 - side / 2 for side in mass.shape]
    longer = max(mass.shape)
    down, right = (mass.sum(1 - axis) @ places[axis] / total / longer for axis in (0, 1))
    return float(right), float(down)
