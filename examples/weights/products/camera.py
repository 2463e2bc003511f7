"""The camera and its lamp: what differs between pictures and is no defect."""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from products.fields import SIZE, Array, Pixels, Rng, noise, step

ACROSS: Array = np.linspace(-1, 1, SIZE, dtype=np.float32)[None]
DOWN: Array = ACROSS.T


class Camera(NamedTuple):
    """How the pictures of a product are taken."""

    unsteady: float
    """How much the light differs between pictures, about 1."""
    shadowed: float
    """Share of pictures that a shadow falls into."""
    gleaming: float
    """Share of pictures with a reflection."""
    blur: float
    """Pixels at most."""
    grain: float
    """Levels of noise at most."""
    compressed: float
    """Share of pictures that were JPEG."""
    grey: bool
    """Whether it sees no colours."""

    def take(self, image: Array, rng: Rng) -> Pixels:
        """Return the picture (h, w, 3) of what is seen (3, h, w)."""
        if self.grey:
            image = np.repeat(image.mean(0, keepdims=True), 3, 0)
        lit = softened(image * self._light(rng), rng.uniform(0, self.blur))
        if rng.random() < self.gleaming:
            lit += np.float32(rng.uniform(10, 60)) * _band(rng, rng.uniform(0.05, 0.5))
        grain = rng.uniform(0, self.grain)
        if grain > 0.3:
            lit += np.float32(grain) * rng.standard_normal(lit.shape, np.float32)
        pixels = levels(lit)
        if rng.random() < self.compressed:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(60, 96)))
            pixels = np.asarray(Image.open(buffer))
        return pixels

    def _light(self, rng: Rng) -> Array:
        """Return by how much everything is lighter or darker, (3, h, w)."""
        much = self.unsteady * rng.normal(0, 1, 4) * (0.04, 0.06, 0.05, 0.03)
        angle = rng.uniform(0, 2 * math.pi)
        slope = np.float32(math.cos(angle)) * ACROSS + np.float32(math.sin(angle)) * DOWN
        light = 1 + np.float32(much[0]) + np.float32(much[1]) * slope
        light = light + np.float32(much[2]) * (ACROSS * ACROSS + DOWN * DOWN - np.float32(0.7))
        if rng.random() < self.shadowed:
            light = light * (1 - np.float32(rng.uniform(0.08, 0.4)) * _shade(rng))
        tint = 1 + 0.3 * much[3] * rng.normal(0, 1, (3, 1, 1))
        lit: Array = np.clip(light, 0.3, 1.6) * tint.astype(np.float32)
        return lit


def draw_camera(rng: Rng) -> Camera:
    """Draw how the pictures of a product are taken."""
    return Camera(
        float(np.clip(np.exp(rng.normal(-0.2, 0.7)), 0.1, 3)),
        float(rng.choice([0, 0.1, 0.4])), float(rng.choice([0, 0.1, 0.3])),
        rng.uniform(0, 1.2), float(np.clip(rng.exponential(2.5), 0, 9)),
        float(rng.choice([0, 0.3, 1])), bool(rng.random() < 0.15),
    )  # fmt: skip


def softened(image: Array, blur: float) -> Array:
    """Return a picture with a spread of so many pixels, up to 1.1, by weights of neighbours."""
    share = np.float32(min(blur * blur / 4, 0.3))
    if share < 0.02:
        return image
    for _ in range(2):
        for axis in (1, 2):
            before, after = np.roll(image, 1, axis), np.roll(image, -1, axis)
            image = image + share * (before + after - 2 * image)
    return image


def levels(image: Array) -> Pixels:
    """Return the pixels (h, w, 3) of a picture in the making."""
    rounded = np.clip(image + np.float32(0.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0))


def _band(rng: Rng, wide: float) -> Array:
    """Return a soft band across the picture, 0 to 1."""
    angle, at = rng.uniform(0, math.pi), rng.uniform(-0.9, 0.9)
    away = np.float32(math.cos(angle)) * ACROSS + np.float32(math.sin(angle)) * DOWN
    band: Array = np.exp(-np.square((away - np.float32(at)) / np.float32(wide)))
    return band


def _shade(rng: Rng) -> Array:
    """Return where a shadow falls, 0 to 1: of an edge, a bar or something irregular."""
    soft = float(np.exp(rng.uniform(-3.5, -0.7)))
    sort = rng.integers(3)
    if sort == 0:
        return step(noise((SIZE, SIZE), 110, rng) - np.float32(0.4), 6 * soft)
    if sort == 1:
        return _band(rng, rng.uniform(0.1, 0.5))
    angle, at = rng.uniform(0, 2 * math.pi), rng.uniform(-0.2, 0.9)
    away = np.float32(math.cos(angle)) * ACROSS + np.float32(math.sin(angle)) * DOWN
    return step(away - np.float32(at), soft)
