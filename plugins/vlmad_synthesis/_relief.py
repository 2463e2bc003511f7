"""What changes the shape of a surface: holes, dents, and bodies that lie on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from vlmad_synthesis._textures import draw_texture
from vlmad_synthesis.spans import Shares, drawn_by_factor, drawn_from
from vlmad_synthesis.spots import draw_spot
from vlmad_synthesis.surface import Painting, seen_from

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from vlmad_synthesis.spots import Spot
    from vlmad_synthesis.synthetic import Drawn


def _lit(height: Float[np.ndarray, "a b"], light: float) -> Float[np.ndarray, "a b"]:
    """Return how far a surface of that height, in pixels, leans towards a light at that angle."""
    down, across = np.gradient(height)
    lit: Float[np.ndarray, "a b"] = -(np.sin(light) * down + np.cos(light) * across)
    return lit


class Hole:
    """A dark hole: the wall that faces the light is lit, the one below the light is in shadow.

    Args:
        radius: least and most, as shares of the image's size.
    """

    def __init__(self, radius: Shares = (0.015, 0.06)) -> None:
        self.radius = radius

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Draw a rim, a wall and what is dark within."""
        painting = Painting(image)
        radius = max(1.5, drawn_by_factor(self.radius, rng) * painting.scale)
        spot = draw_spot(painting.place(rng), radius, rng, rng.uniform(0.1, 0.5), 2)
        shape, light = spot.depth.shape, rng.uniform(0, 2 * np.pi)
        under = painting.cut(spot.corner, shape)
        surface = np.median(under.reshape(-1, 3), axis=0)
        towards = _lit(ndimage.gaussian_filter(-spot.depth, radius / 8), light)[..., None]
        deep = np.clip(spot.depth / (0.5 * radius), 0, 1)[..., None]
        wall = surface * (0.5 + 0.45 * towards)
        inside = wall + deep * (surface * rng.uniform(0.03, 0.15) - wall)
        rim = np.exp(-np.square(spot.depth / (0.1 * radius + 0.7)))[..., None]
        edge = under * (1 - 0.4 * towards * rim)
        paint = edge + spot.opacity[..., None] * (inside - edge)
        opacity = np.maximum(spot.opacity, rim[..., 0] > 0.2)
        painting.lay(paint, opacity * painting.on_product(spot.corner, shape), spot.corner)
        return painting.drawn()


class Dent:
    """The surface pressed in: lit on the one side, in shade on the other, its pattern drawn along.

    Args:
        radius: least and most, as shares of the image's size.
        contrast: share by which the light changes on its slopes, least and most.
    """

    def __init__(self, radius: Shares = (0.05, 0.15), contrast: Shares = (0.2, 0.5)) -> None:
        self.radius, self.contrast = radius, contrast

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Shade a hollow, and show through its slope what lies a little beside."""
        painting = Painting(image)
        radius = max(2.0, drawn_by_factor(self.radius, rng) * painting.scale)
        spot = draw_spot(painting.place(rng), radius, rng, rng.uniform(0, 0.35), 2)
        hollow = ndimage.gaussian_filter(spot.fading(radius), radius / 7)
        shade = _lit(-hollow, rng.uniform(0, 2 * np.pi))
        shade *= drawn_from(self.contrast, rng) / max(float(np.abs(shade).max()), 1e-6)
        down, across = (0.15 * radius**2 * slope for slope in np.gradient(hollow))
        rows, columns = np.indices(hollow.shape, np.float32)
        under = painting.cut(spot.corner, hollow.shape)
        seen = seen_from(under, rows + down, columns + across)
        paint = seen * (1 + shade[..., None]) + 20 * shade[..., None]
        opacity = np.clip(hollow * 12, 0, 1) * painting.on_product(spot.corner, hollow.shape)
        painting.lay(paint, opacity, spot.corner)
        return painting.drawn()


class Foreign:
    """A small body that does not belong there: of another material, lit, with a shadow.

    Args:
        radius: least and most, as shares of the image's size.
    """

    def __init__(self, radius: Shares = (0.02, 0.075)) -> None:
        self.radius = radius

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Lay a chip, a bead or a ring down, after its shadow."""
        painting = Painting(image)
        radius = max(2.0, drawn_by_factor(self.radius, rng) * painting.scale)
        spot = _body(draw_spot(painting.place(rng), radius, rng, rng.uniform(0, 0.5), 2), rng)
        shape, light = spot.depth.shape, rng.uniform(0, 2 * np.pi)
        away = -0.2 * radius * np.array([np.sin(light), np.cos(light)])
        thrown = ndimage.shift(spot.opacity, away, order=1)
        shadow = ndimage.gaussian_filter(thrown, 0.12 * radius)[..., None] * 0.6
        shadow[shadow < 0.04] = 0
        shaded = painting.cut(spot.corner, shape) * (1 - 0.8 * shadow)
        height = np.clip(spot.depth, 0, rng.uniform(0.25, 0.9) * radius)
        lit = _lit(ndimage.gaussian_filter(height, radius / 12), light)[..., None]
        material = draw_texture(shape, rng) * (1 + 0.45 * lit) + 150 * np.clip(lit - 0.5, 0, 1) ** 2
        paint = shaded + spot.opacity[..., None] * (material - shaded)
        painting.lay(paint, np.maximum(spot.opacity, shadow[..., 0]) > 0, spot.corner)
        return painting.drawn()


def _body(spot: Spot, rng: np.random.Generator) -> Spot:
    """Make a ring of a spot, or cut straight edges into it, or leave it round."""
    form = rng.integers(3)
    if form == 0:
        thick = spot.radius * rng.uniform(0.25, 0.45)
        return spot._replace(depth=np.minimum(spot.depth, 2 * thick - spot.depth))
    if form == 1:
        depth, middle = spot.depth, (np.array(spot.depth.shape) - 1) / 2
        rows, columns = np.indices(depth.shape, np.float32)
        for angle in rng.uniform(0, 2 * np.pi, rng.integers(3, 6)):
            along = np.sin(angle) * (rows - middle[0]) + np.cos(angle) * (columns - middle[1])
            depth = np.minimum(depth, rng.uniform(0.3, 0.8) * spot.radius - along)
        return spot._replace(depth=depth)
    return spot
