"""Small grey images without mean, and their values at places that a similarity leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

    Plane: TypeAlias = Float[np.ndarray, "h w"]
    Numbers: TypeAlias = Float[np.ndarray, " 4"]
    """Size times cosine and sine of a turn, and a shift right and down in pixels."""

SIDE = 96
"""The longer side of images that are compared."""
FINEST, COARSEST = 0.7, SIDE / 8
"""What is smaller than the one is noise, what is larger than the other is light; in pixels."""


def shrink(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Return an image in grey, its longer side `SIDE`."""
    scale = SIDE / max(image.size)
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    filter = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(image.convert("L").resize(size, filter))


def detail(grey: UInt8[np.ndarray, "h w"]) -> Plane:
    """Return what is left of a grey image without its noise and its light."""
    values = grey.astype(np.float32)
    left: Plane = smoothed(values, FINEST) - smoothed(values, COARSEST)
    return left


def smoothed(values: Plane, sigma: float) -> Plane:
    """Return values under a Gaussian blur."""
    from scipy import ndimage  # which takes a while to import

    blurred: Plane = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3)
    return blurred


def centred(height: int, width: int) -> tuple[Plane, Plane]:
    """Return how far right and down of the middle each pixel is."""
    down, right = np.mgrid[:height, :width].astype(np.float32)
    return right - (width - 1) / 2, down - (height - 1) / 2


def sample(
    planes: Float[np.ndarray, "c h w"], numbers: Numbers, right: Plane, down: Plane
) -> tuple[Float[np.ndarray, "c y x"], Bool[np.ndarray, "y x"]]:
    """Return the values where a similarity leads these places to, and which lie inside."""
    cosine, sine, x, y = numbers.astype(np.float32)
    height, width = (np.float32(max(side - 1, 1) / 2) for side in planes.shape[1:])
    x = (cosine * right - sine * down + x) / width
    y = (sine * right + cosine * down + y) / height
    inside = (abs(x) <= 1) & (abs(y) <= 1)
    places, given = torch.from_numpy(np.stack([x, y], -1)[None]), torch.from_numpy(planes[None])
    found = F.grid_sample(given, places, padding_mode="border", align_corners=True)
    return found[0].numpy(), inside


def repetition(values: Plane) -> float:
    """Return how alike values are to themselves at another place, at most: 1 is a pattern.

    A place counts where it is more alike than all around it, and shifts by less than a half.
    """
    from scipy import fft, ndimage

    height, width = values.shape
    room = (2 * height, 2 * width)
    own, squares = fft.rfft2(values, room), fft.rfft2(values**2, room)
    alike = fft.irfft2(own * own.conj(), room)
    power = fft.irfft2(squares * fft.rfft2(np.ones_like(values), room).conj(), room)
    power = power * np.roll(power[::-1, ::-1], (1, 1), (0, 1))
    alike /= np.sqrt(np.maximum(power, 1e-6 * power.max() + 1e-6))
    shifts = (abs(fft.fftfreq(side, 1 / side)) < side // 4 for side in room)
    peaks = (alike == ndimage.maximum_filter(alike, 5, mode="wrap")) & np.logical_and.outer(*shifts)
    peaks[0, 0] = False
    return float(alike[peaks].max(initial=0.0))
