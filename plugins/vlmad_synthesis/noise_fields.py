"""Noise that is smooth in space: what makes outlines, textures and lights irregular."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from jaxtyping import Float


def smooth_noise(
    shape: tuple[int, int], across: float, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Return noise of mean about 0 and spread about 1 whose spots are `across` pixels wide."""
    height, width = (max(2, round(side / max(across, 1)) + 2) for side in shape)
    coarse = Image.fromarray(rng.standard_normal((height, width)).astype(np.float32))
    return _resized(coarse, shape) * 1.4  # which interpolation has narrowed


def rough_noise(
    shape: tuple[int, int], across: float, rng: np.random.Generator, octaves: int = 4
) -> Float[np.ndarray, "h w"]:
    """Return noise with ever finer and fainter spots, as clouds or stone have them."""
    layers = [smooth_noise(shape, across / 2**i, rng) / 1.7**i for i in range(octaves)]
    total: Float[np.ndarray, "h w"] = np.sum(layers, axis=0) / np.sqrt(
        sum(2.9**-i for i in range(octaves))
    )
    return total


def perlin_noise(
    shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Return gradient noise, -1 to 1, of so many cells down and across (Perlin, 2002)."""
    down, across = (np.arange(n) * c / n for n, c in zip(shape, cells, strict=True))
    angles = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    steep_y, steep_x = np.sin(angles), np.cos(angles)
    row, column = down.astype(int)[:, None], across.astype(int)[None, :]
    y, x = down[:, None] - row, across[None, :] - column

    def ramp(one: int, other: int) -> Float[np.ndarray, "h w"]:
        corner = row + one, column + other
        ramp: Float[np.ndarray, "h w"] = steep_y[corner] * (y - one) + steep_x[corner] * (x - other)
        return ramp

    ease_y, ease_x = (t**3 * (6 * t**2 - 15 * t + 10) for t in (y, x))
    above = ramp(0, 0) + ease_x * (ramp(0, 1) - ramp(0, 0))
    below = ramp(1, 0) + ease_x * (ramp(1, 1) - ramp(1, 0))
    noise: Float[np.ndarray, "h w"] = np.sqrt(2) * (above + ease_y * (below - above))
    return noise


def _resized(coarse: Image.Image, shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Return the middle of a coarse field at the size of `shape`."""
    inside = (0.5, 0.5, coarse.width - 0.5, coarse.height - 0.5)
    return np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC, inside))
