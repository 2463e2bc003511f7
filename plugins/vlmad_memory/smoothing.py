"""From maps of cells to smooth maps of pixels.

Interpolation and blur are linear and work on one axis at a time, so that both together are a
product with one small matrix for rows and another for columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

Border: TypeAlias = Literal["reflect", "symmetric"]
"""How a map goes on outside: mirrored without repeating its edge, or with."""
Interpolation: TypeAlias = Literal["bilinear", "bilinear-corners", "nearest"]
"""`bilinear` has half-pixel centres, `bilinear-corners` aligns the corners."""
SIGMAS = 60
"""Of the Gaussian over a map, how many its side has where nobody says."""
SCIPY_MODES = {"reflect": "mirror", "symmetric": "reflect"}


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
    if sigma == 0:
        return shares
    blurred: Float[np.ndarray, "pixels cells"] = gaussian_filter1d(
        shares, sigma, axis=0, mode=SCIPY_MODES[border], radius=radius
    )
    return blurred
