"""Where a map stands out, as boxes in pixels: what operators and machines are told of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from vlmad_line.judgements import Standout

if TYPE_CHECKING:
    from jaxtyping import Float

HALFWAY = 0.5
"""A place counts from so much of the way from the map's median to its highest value on."""
MOST = 5
"""Places that are told of."""
SIDE = 512
"""Pixels of the longer side at which they are looked for: maps are smooth."""


def standing_places(heat: Float[np.ndarray, "H W"], most: int = MOST) -> list[Standout]:
    """Return where a map stands out, the highest first; of an even map, nothing.

    What lies above half of the way from the map's median to its highest value, falls into connected
    places; a box is drawn around each. That says where in the image it is most anomalous, and
    nothing of whether it is.
    """
    step = max(1, -(-max(heat.shape) // SIDE))
    coarse = heat[::step, ::step]
    low, high = float(np.median(coarse)), float(coarse.max())
    if not high > low:
        return []
    parts, _ = ndimage.label(coarse >= low + HALFWAY * (high - low), np.ones((3, 3)))
    found = [_box(heat, place, step) for place in ndimage.find_objects(parts)]
    return sorted(found, key=lambda each: -each.peak)[:most]


def _box(heat: Float[np.ndarray, "H W"], place: tuple[slice, slice], step: int) -> Standout:
    top, left = (each.start * step for each in place)
    bottom, right = (
        min(each.stop * step, size) for each, size in zip(place, heat.shape, strict=True)
    )
    peak = float(f"{heat[top:bottom, left:right].max():.9g}")
    return Standout(left=left, top=top, width=right - left, height=bottom - top, peak=peak)
