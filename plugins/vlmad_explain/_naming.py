"""Naming what was found: its kind, its look and its place, from an image and its map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_explain._found_regions import find_regions, view_of
from vlmad_explain._kinds import SURROUNDINGS, kind_of
from vlmad_explain._look import shade_of, where
from vlmad_explain.explanations import NamedRegion, PixelBox

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL import Image

    from vlmad_explain._found_regions import FoundRegion, RegionView

FAR = 0.5
"""Of a region's difference from its surroundings, what a pixel of the defect has."""
LEAST = 12.0
"""Levels by which a region differs from its surroundings if there is anything to tell."""


def name_regions(
    image: Image.Image, heat: Float[np.ndarray, "H W"], most: int
) -> list[NamedRegion]:
    """Return where a map stands out and what that looks like, the most striking first.

    Args:
        image: the original, RGB.
        heat: its map.
        most: regions at most.
    """
    return [_name(image, heat, region) for region in find_regions(heat, most)]


def _name(image: Image.Image, heat: Float[np.ndarray, "H W"], region: FoundRegion) -> NamedRegion:
    view = view_of(image, heat, region)
    inside, around, by = _differing(view)
    kind, certainty = kind_of(view) if by >= LEAST else (None, None)
    return NamedRegion(
        place=_pixels(region, image.size),
        where=where(*region.middle),
        look=shade_of(inside, around),
        kind=kind,
        certainty=certainty,
    )


def _pixels(region: FoundRegion, size: tuple[int, int]) -> PixelBox:
    (top, left, bottom, right), (width, height) = region.box, size
    return PixelBox(
        left=int(left * width),
        top=int(top * height),
        right=min(width, int(np.ceil(right * width))),
        bottom=min(height, int(np.ceil(bottom * height))),
    )


def _differing(
    view: RegionView,
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"], float]:
    """Return levels of what differs most in a region, of its surroundings, and by how much."""
    heat, within = (np.kron(each, np.ones((2, 2))) for each in (view.heat, view.region))
    pixels, outside = view.pixels.astype(np.float64), heat < SURROUNDINGS
    if not outside.any():
        outside = heat <= np.median(heat)
    around = np.median(pixels[outside], 0)
    off = np.abs(pixels - around).max(-1)
    most = float(np.quantile(off[within > 0], 0.98))
    return pixels[(off >= FAR * most) & (within > 0)].mean(0), around, most
