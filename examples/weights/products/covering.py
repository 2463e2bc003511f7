"""How a pattern becomes a surface that fills the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from products.fields import Array, Rng, any_colour, beside, mix, noise, shaded
from products.scene import Scene

Draw: TypeAlias = Callable[[Scene], None]
Family: TypeAlias = tuple[Callable[[Rng], Draw], tuple[str, ...]]
"""Draws a product; the names that one may have."""
Pattern: TypeAlias = Callable[[Array, Array, Scene], tuple[Array, Array]]
"""Returns the share of the second colour and the height, both about 0 to 1, at places x and y."""


class Finish(NamedTuple):
    """What a pattern looks like."""

    one: Array
    other: Array
    relief: float
    """Height in pixels."""
    cloud: float
    """Unevenness of the light that it sends back, as a share."""
    cloud_size: float
    grain: float
    gloss: float
    warp: float
    """Pixels by which it is out of line."""
    free: bool
    """Whether each piece shows another place of it."""


def draw_finish(rng: Rng, one: Array | None = None, other: Array | None = None) -> Finish:
    """Draw colours and how even they are; those given stay."""
    first = any_colour(rng) if one is None else one
    second = other if other is not None else beside(first, rng)
    if other is None and rng.random() < 0.15:
        second = any_colour(rng)
    return Finish(
        first, second, rng.choice([0, 1]) * rng.uniform(0.5, 4), rng.exponential(0.05),
        rng.uniform(20, 200), rng.exponential(4), rng.choice([0, 1]) * rng.uniform(0, 90),
        rng.exponential(1.5), bool(rng.random() < 0.8),
    )  # fmt: skip


def covered(pattern: Pattern, finish: Finish) -> Draw:
    """Return what covers the whole picture with a pattern."""
    f = finish

    def draw(scene: Scene) -> None:
        rng, (x, y) = scene.rng, scene.everywhere
        if f.free:
            x, y = (at + np.float32(rng.uniform(-4000, 4000)) for at in (x, y))
        if f.warp:
            warp = np.float32(scene.about(f.warp, 0.4))
            x, y = x + warp * noise(x.shape, 70, rng), y + warp * noise(x.shape, 70, rng)
        share, height = pattern(x, y, scene)
        tint = 1 + 0.012 * scene.vary * rng.normal(0, 1, (3, 1, 1)).astype(np.float32)
        cloud = np.float32(scene.about(f.cloud, 0.3)) * noise(x.shape, f.cloud_size, rng, octaves=2)
        paint = mix(f.one * tint, f.other * tint, share) * (1 + cloud)
        paint += np.float32(f.grain) * rng.standard_normal(x.shape, np.float32)
        if f.relief:
            paint = shaded(paint, height * np.float32(f.relief), scene.lamp, f.gloss)
        scene.ground, scene.whole = paint.astype(np.float32), True

    return draw
