"""What is not there any more: a part of an object, a flake of a texture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from vlmad_synthesis.noise_fields import rough_noise
from vlmad_synthesis.spans import Shares, drawn_by_factor
from vlmad_synthesis.spots import draw_spot
from vlmad_synthesis.surface import Painting

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

    from vlmad_synthesis.synthetic import Drawn

BLURRED = 0.02
"""Share of the image's size by which the outline of a product is not known exactly."""


class Missing:
    """A part broken off an object, so that its ground shows; of a texture, a flake that is gone.

    Args:
        radius: least and most, as shares of the image's size; of a flake two thirds of that.
    """

    def __init__(self, radius: Shares = (0.06, 0.17)) -> None:
        self.radius = radius

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Break a part off at the edge of the object, or flake a texture."""
        painting = Painting(image)
        radius = max(2.0, drawn_by_factor(self.radius, rng) * painting.scale)
        if painting.product.all():
            _flake(painting, radius * 2 / 3, rng)
        else:
            _break_off(painting, radius, rng)
        return painting.drawn()


def _break_off(painting: Painting, radius: float, rng: np.random.Generator) -> None:
    """Show the ground in place of a part at the edge, and a broken face along the fracture."""
    rows, columns = np.nonzero(painting.product & ~ndimage.binary_erosion(painting.product))
    place = int(rng.integers(len(rows)))
    centre = int(rows[place]), int(columns[place])
    spot = draw_spot(centre, radius, rng, rng.uniform(0.2, 0.6), 3)
    shape, near = spot.depth.shape, max(2, round(BLURRED * painting.scale))
    body = painting.on_product(spot.corner, shape)
    around = ndimage.maximum_filter(body, 2 * near + 1)
    under = painting.cut(spot.corner, shape)
    inner = np.median(under[body], axis=0)
    face = inner * (rng.uniform(0.5, 1.05) + 0.1 * rough_noise(shape, radius / 5, rng))[..., None]
    deep = spot.depth > rng.uniform(0.05, 0.2) * radius * (
        1 + 0.3 * rough_noise(shape, radius, rng)
    )
    within = ndimage.minimum_filter(body, near + 1)
    ground = _ground(under, ~around, rng)
    paint = np.where((within & ~deep)[..., None], face, ground)
    painting.lay(paint, spot.opacity * around, spot.corner)


def _ground(
    under: Float[np.ndarray, "a b 3"], clear: Bool[np.ndarray, "a b"], rng: np.random.Generator
) -> Float[np.ndarray, "a b 3"]:
    """Continue the ground, where it is `clear`, over a whole piece: evenly, with its own grain."""
    if not clear.any():
        return np.broadcast_to(under.min((0, 1)), under.shape)
    rows, columns = np.indices(clear.shape, np.float32)
    terms = np.stack([np.ones_like(rows), rows, columns], -1)
    fit = np.linalg.lstsq(terms[clear], under[clear], rcond=None)[0]
    usual = np.percentile(under[clear], (10, 90), axis=0)
    grain = (under - ndimage.uniform_filter(under, (5, 5, 1)))[clear]
    even = np.clip(terms @ fit, usual[0], usual[1])
    ground: Float[np.ndarray, "a b 3"] = even + grain[rng.integers(len(grain), size=clear.shape)]
    return ground


def _flake(painting: Painting, radius: float, rng: np.random.Generator) -> None:
    """Take the structure away: what lies below is plain, and its edge throws a shadow."""
    spot = draw_spot(painting.place(rng), radius, rng, rng.uniform(0.3, 0.8), 3)
    under = painting.cut(spot.corner, spot.depth.shape)
    level = np.percentile(under.reshape(-1, 3), rng.choice([8, 92]), axis=0)
    level = level * rng.uniform(0.6, 0.95) if level.mean() > 60 else level + rng.uniform(20, 60)
    plain = level * (1 + 0.04 * rough_noise(spot.depth.shape, radius / 3, rng))[..., None]
    light = rng.uniform(0, 2 * np.pi)
    down, across = np.gradient(ndimage.gaussian_filter(spot.depth, radius / 15))
    beside = np.exp(-np.clip(spot.depth, 0, None) / (0.08 * radius + 0.7))
    shadow = beside * (np.sin(light) * down + np.cos(light) * across)
    painting.lay(plain * (1 - 0.5 * shadow[..., None]), spot.opacity, spot.corner)
