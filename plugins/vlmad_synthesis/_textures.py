"""Textures that nobody has to download: drawn by code, then changed as DRAEM changes its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from scipy.spatial import KDTree

from vlmad_synthesis.colours import drawn_colour, to_levels, turn_hue
from vlmad_synthesis.noise_fields import rough_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float

CHANGES_TAKEN = 3
"""Of the ten."""
LARGEST = 320
"""Pixels of the longer side that textures are drawn in."""


def draw_texture(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Draw a texture of its own colours and pattern, in levels; large ones are enlarged."""
    if max(shape) > LARGEST:
        height, width = (-(-n * LARGEST // max(shape)) for n in shape)
        small = draw_texture((height, width), rng)
        image = Image.fromarray(small.astype(np.uint8)).resize(
            shape[::-1], Image.Resampling.BICUBIC
        )
        return np.asarray(image, np.float32)
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    values = np.clip(pattern(shape, rng), 0, 1)[..., None]
    one, other = drawn_colour(rng), drawn_colour(rng)
    grain = rng.normal(0, rng.uniform(2, 12), (*shape, 1))
    texture: Float[np.ndarray, "h w 3"] = np.clip(one + values * (other - one) + grain, 0, 255)
    return texture.astype(np.float32)


def change_texture(
    texture: Float[np.ndarray, "h w 3"], rng: np.random.Generator
) -> Float[np.ndarray, "h w 3"]:
    """Change a texture in three of ten ways, as DRAEM (ICCV 2021) does."""
    image = Image.fromarray(texture.astype(np.uint8))
    for index in rng.choice(len(CHANGES), CHANGES_TAKEN, replace=False):
        image = CHANGES[index](image, rng)
    return np.asarray(image, np.float32)


def _turned(
    shape: tuple[int, int], rng: np.random.Generator, periods: tuple[float, float] = (4, 40)
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Return coordinates along two axes at right angles, counted in periods of a pattern."""
    length = max(3.0, max(shape) / np.exp(rng.uniform(*np.log(periods))))
    angle, (rows, columns) = rng.uniform(0, np.pi), np.indices(shape, np.float32)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    return along / length, (np.cos(angle) * rows - np.sin(angle) * columns) / length


def _stripes(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    along, _ = _turned(shape, rng)
    waves = 0.15 * rough_noise(shape, max(shape) / 3, rng)
    stripes: Float[np.ndarray, "h w"] = 0.5 + rng.uniform(0.5, 2) * np.sin(
        2 * np.pi * (along + waves)
    )
    return stripes


def _checks(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    along, across = _turned(shape, rng)
    checks: Float[np.ndarray, "h w"] = (np.floor(along) + np.floor(across)) % 2
    return checks


def _dots(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    along, across = _turned(shape, rng)
    away = np.hypot(along % 1 - 0.5, across % 1 - 0.5)
    dots: Float[np.ndarray, "h w"] = 8 * (rng.uniform(0.2, 0.42) - away)
    return dots


def _weave(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    along, across = _turned(shape, rng, (10, 60))
    over = np.floor(along) + np.floor(across)
    one, other = (np.abs(np.sin(np.pi * t)) for t in (along, across))
    return np.where(over % 2 == 0, one * (0.6 + 0.4 * other), other * (0.6 + 0.4 * one) * 0.7)


def _stones(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Cells about drawn points, dark where they meet."""
    points = rng.uniform(0, 1, (int(rng.integers(20, 200)), 2)) * shape
    places = np.indices(shape).reshape(2, -1).T
    near, which = KDTree(points).query(places, k=2)
    grey = rng.uniform(0.3, 1, len(points))[which[:, 0]]
    gap = np.clip((near[:, 1] - near[:, 0]) / (0.02 * max(shape) + 1), 0, 1)
    stones: Float[np.ndarray, "h w"] = (grey * gap).reshape(shape)
    return stones


def _clouds(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    spots = max(shape) / rng.uniform(3, 20)
    clouds: Float[np.ndarray, "h w"] = 0.5 + 0.4 * rough_noise(shape, spots, rng, 5)
    return clouds


def _fibres(shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Lines of noise, as of wood or brushed metal."""
    along, _ = _turned(shape, rng, (20, 80))
    lines = rng.standard_normal(4096)
    bent = (along + 0.5 * rough_noise(shape, max(shape) / 2, rng, 2)) * 4
    lower = np.floor(bent)
    share, index = bent - lower, lower.astype(int)
    fibres: Float[np.ndarray, "h w"] = 0.5 + 0.35 * (
        (1 - share) * lines[index % 4096] + share * lines[(index + 1) % 4096]
    )
    return fibres


PATTERNS: tuple[Callable[[tuple[int, int], np.random.Generator], Float[np.ndarray, "h w"]], ...] = (
    _stripes, _checks, _dots, _weave, _stones, _clouds, _fibres,
)  # fmt: skip


def _gamma(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    powers = np.exp(rng.uniform(np.log(0.5), np.log(2), 3))
    return Image.fromarray(np.rint(255 * (np.asarray(image) / 255) ** powers).astype(np.uint8))


def _brightness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(image) * rng.uniform(0.8, 1.2) + rng.uniform(-30, 30)
    return Image.fromarray(to_levels(values))


def _sharpness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(float(rng.uniform(1, 4)))


def _hue(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return turn_hue(image, float(rng.uniform(-50, 50)) / 255, float(rng.uniform(0.8, 1.2)))


def _solarise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.solarize(image, int(rng.integers(32, 129))) if rng.random() < 0.5 else image


def _posterise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.posterize(image, int(rng.integers(2, 7)))


def _invert(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.invert(image)


def _autocontrast(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.autocontrast(image)


def _equalise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.equalize(image)


def _turn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.rotate(float(rng.uniform(-45, 45)), Image.Resampling.BILINEAR)


CHANGES: tuple[Callable[[Image.Image, np.random.Generator], Image.Image], ...] = (
    _gamma, _brightness, _sharpness, _hue, _solarise, _posterise, _invert, _autocontrast,
    _equalise, _turn,
)  # fmt: skip
