"""Changes that are no defects: a camera and its lamp bring them about every day."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from vlmad_synthesis.colours import to_levels
from vlmad_synthesis.noise_fields import smooth_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jaxtyping import UInt8

BRIGHTER, UNEVEN = 0.15, 0.08
"""By which share the light changes everywhere at most, and from place to place."""
MOVED = 0.015
"""Share of the shorter side by which the camera moves at most."""
GRAIN = 5.0
"""Levels of noise at most."""
QUALITY = (40, 90)
"""Of JPEG."""


def disturb(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, kinds: Iterable[str] | None = None
) -> tuple[UInt8[np.ndarray, "h w 3"], str]:
    """Change an image in one way that is no defect; return it and the name of the way.

    Args:
        image: the good one, which stays as it is.
        rng: where all chance comes from.
        kinds: some of `NUISANCES`; None means all.
    """
    names = list(NUISANCES if kinds is None else kinds)
    kind = names[rng.integers(len(names))]
    return NUISANCES[kind](image, rng), kind


def _light(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Change the strength of the light, its colour a little, and from place to place."""
    shape = image.shape[:2]
    uneven = 1 + rng.uniform(0, UNEVEN) * smooth_noise(shape, max(shape), rng)
    colour = 1 + rng.uniform(-BRIGHTER, BRIGHTER) + rng.uniform(-0.03, 0.03, 3)
    return to_levels(image * uneven[..., None] * colour)


def _move(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Move the camera by less than a patch; at the edge the image is mirrored."""
    by = rng.uniform(-MOVED, MOVED, 2) * min(image.shape[:2])
    return to_levels(ndimage.shift(image.astype(np.float32), (*by, 0), order=1, mode="mirror"))


def _noise(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Add the noise of a sensor."""
    return to_levels(image + rng.normal(0, rng.uniform(1, GRAIN), image.shape))


def _jpeg(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Compress as JPEG does."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(*QUALITY)))
    return np.asarray(Image.open(buffer))


NUISANCES: dict[
    str, Callable[[UInt8[np.ndarray, "h w 3"], np.random.Generator], UInt8[np.ndarray, "h w 3"]]
] = {"light": _light, "move": _move, "noise": _noise, "jpeg": _jpeg}
"""By name, what changes an image without making it defective."""
