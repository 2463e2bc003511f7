"""From maps of cells to smooth maps of pixels.

Interpolation and blur are linear and work on one axis at a time, so that both together are a
product with one small matrix for rows and another for columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Border: TypeAlias = Literal["reflect", "symmetric"]
"""How a map goes on outside: mirrored without repeating its edge, or with."""
Interpolation: TypeAlias = Literal["bilinear", "bilinear-corners", "nearest"]
"""`bilinear` has half-pixel centres, `bilinear-corners` aligns the corners."""
SIGMAS = 60
"""Of the Gaussian over a map, how many its side has where nobody says."""


def to_pixels(
    cells: Float[Tensor, "b gh gw"],
    size: tuple[int, int],
    sigma: float = 0.0,
    radius: int | None = None,
    border: Border = "reflect",
    interpolation: Interpolation = "bilinear",
) -> Float[Tensor, "b h w"]:
    """Bring maps of cells to pixels, then blur them with a Gaussian.

    Args:
        cells: maps.
        size: height and width of the maps that come out.
        sigma: of the Gaussian, in pixels; 0 for none.
        radius: how many taps it has to either side; by default 4 sigma, rounded.
        border: how maps go on outside.
        interpolation: between cells.
    """
    rows, columns = (
        torch.from_numpy(_axis(cell, pixel, sigma, radius, border, interpolation)).to(cells)
        for cell, pixel in zip(cells.shape[1:], size, strict=True)
    )
    return rows @ cells @ columns.T


def blur(
    maps: Float[Tensor, "b h w"],
    sigma: float,
    radius: int | None = None,
    border: Border = "reflect",
) -> Float[Tensor, "b h w"]:
    """Blur maps as `to_pixels` does."""
    return to_pixels(maps, (maps.shape[1], maps.shape[2]), sigma, radius, border)


@lru_cache(maxsize=64)
def _axis(
    cells: int,
    pixels: int,
    sigma: float,
    radius: int | None,
    border: Border,
    interpolation: Interpolation,
) -> Float[np.ndarray, "pixels cells"]:
    """Return by which share each cell enters each pixel, along one axis."""
    mode = "nearest" if interpolation == "nearest" else "linear"
    corners = interpolation == "bilinear-corners" if mode == "linear" else None
    each = torch.eye(cells, dtype=torch.float64)[None]
    shares = F.interpolate(each, size=pixels, mode=mode, align_corners=corners)[0].numpy().T
    return _blurred(shares, sigma, radius, border) if sigma else shares


def _blurred(
    shares: Float[np.ndarray, "pixels cells"], sigma: float, radius: int | None, border: Border
) -> Float[np.ndarray, "pixels cells"]:
    """Return what `scipy.ndimage.gaussian_filter1d` does along the first axis, to the last bit.

    Importing that takes a third of a second, a fifth of what `vlmad run` needs to start.
    """
    taps = int(4 * sigma + 0.5) if radius is None else radius
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-taps, taps + 1) ** 2)
    weights = weights / weights.sum()
    count = len(shares)
    around = np.pad(shares, [(taps, taps), (0, 0)], mode=border)
    blurred: Float[np.ndarray, "pixels cells"] = around[taps : taps + count] * weights[taps]
    for near in range(taps):  # from the farthest, both sides at once, as SciPy adds them up
        both = around[near : near + count] + around[2 * taps - near : 2 * taps - near + count]
        blurred += both * weights[near]
    return blurred
