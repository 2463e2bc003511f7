"""What everything is drawn with: places, noise, waves, cells, colour and light.

A field is an array over a piece of the picture; a place is in pixels from a middle, x to the right
and y down. Pictures in the making are (3, h, w) and colours (3, 1, 1), so that they broadcast with
fields, in levels.
"""

from __future__ import annotations

import colorsys
import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Array: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Numbers: TypeAlias = npt.NDArray[np.int32]
Rng: TypeAlias = np.random.Generator

SIZE = 320
TABLE = 64  # a power of two
"""Cells repeat after so many, and so do the values of `one_of_each`."""


def noise(
    shape: tuple[int, ...], across: float, rng: Rng, along: float | None = None, octaves: int = 1
) -> Array:
    """Return smooth noise of mean 0 and spread 1.

    Args:
        shape: rows and columns.
        across: pixels that a spot is high, and wide without `along`.
        rng: where all chance comes from.
        along: pixels that a spot is wide.
        octaves: layers, each half as fine and .6 times as strong as the one before.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        sizes = (across / 2**octave, (along or across) / 2**octave)
        total += 0.6**octave * _spots(shape, sizes, rng)
    strength: Array = total / math.sqrt(sum(0.36**octave for octave in range(octaves)))
    return strength


def _spots(shape: tuple[int, ...], sizes: tuple[float, float], rng: Rng) -> Array:
    height, width = (
        math.ceil(side / max(size, 1)) + 2 for side, size in zip(shape, sizes, strict=True)
    )
    coarse = rng.standard_normal((height, width), np.float32)
    box = (0.5, 0.5, 0.5 + shape[1] / max(sizes[1], 1), 0.5 + shape[0] / max(sizes[0], 1))
    resized = Image.fromarray(coarse).resize(
        (shape[1], shape[0]), Image.Resampling.BICUBIC, box, reducing_gap=None
    )
    # interpolation narrows what it widens
    return np.asarray(resized) * np.float32(1.4 if max(sizes) > 1.5 else 1)


def line_noise(at: Array, across: float, rng: Rng) -> Array:
    """Return noise of mean 0 and spread 1 that depends on one coordinate: streaks or rings."""
    knots = rng.standard_normal(int(2 * SIZE / across) + 2)
    places = (np.arange(len(knots)) - len(knots) / 2) * across
    return np.interp(at, places, knots).astype(np.float32)


def length(x: Array, y: Array) -> Array:
    """Return the distance from the middle, in a seventh of the time of `numpy.hypot`."""
    distance: Array = np.sqrt(x * x + y * y)
    return distance


def wave(at: Array, period: float) -> Array:
    """Return 0 to 1 to 0 over each period."""
    height: Array = 0.5 - 0.5 * np.cos(at * np.float32(2 * math.pi / period))
    return height


def step(at: Array, soft: float = 1.0) -> Array:
    """Return 0 below and 1 above 0, over so many pixels."""
    share: Array = np.clip(at / np.float32(max(soft, 1e-3)) + 0.5, 0, 1)
    return share


class Cells(NamedTuple):
    """What `cells` divides a surface into."""

    nearest: Array
    """Distance from the middle of the cell."""
    border: Array
    """Distance to the middle of the next cell less that; 0 at the border."""
    number: Numbers
    """Of the cell, below `TABLE` squared."""


def cells(x: Array, y: Array, period: float, jitter: float, rng: Rng) -> Cells:
    """Divide a surface into cells about the points of a disturbed grid (Worley, 1996).

    Args:
        x: places.
        y: places.
        period: pixels between points.
        jitter: 0 leaves them on the grid, 1 anywhere in their square.
        rng: where all chance comes from.
    """
    off = rng.uniform(-jitter / 2, jitter / 2, (2, TABLE * TABLE)).astype(np.float32)
    u, v = x / np.float32(period), y / np.float32(period)
    column, row = np.floor(u), np.floor(v)
    u, v = u - column - np.float32(0.5), v - row - np.float32(0.5)
    first = np.full(x.shape, 9, np.float32)
    second, number = first.copy(), np.zeros(x.shape, np.int32)
    columns, rows = column.astype(np.int32), row.astype(np.int32)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            index = ((rows + down) & (TABLE - 1)) * TABLE + ((columns + across) & (TABLE - 1))
            right, below = u - across - off[0].take(index), v - down - off[1].take(index)
            distance = right * right + below * below
            closer = distance < first
            second = np.where(closer, first, np.minimum(second, distance))
            number, first = np.where(closer, index, number), np.minimum(first, distance)
    first, scale = np.sqrt(first), np.float32(period)
    return Cells(first * scale, (np.sqrt(second) - first) * scale, number)


def one_of_each(number: Numbers, rng: Rng) -> Array:
    """Return a value of spread 1 for each cell."""
    return rng.standard_normal(TABLE * TABLE, np.float32).take(number & (TABLE * TABLE - 1))


def tone(
    rng: Rng,
    hue: tuple[float, float] = (0, 1),
    pure: tuple[float, float] = (0, 0.7),
    bright: tuple[float, float] = (0.15, 0.92),
) -> Array:
    """Draw a colour, in levels, from ranges of hue, purity and brightness, each 0 to 1."""
    values = (rng.uniform(*hue) % 1, rng.uniform(*pure), rng.uniform(*bright))
    return np.asarray(colorsys.hsv_to_rgb(*values), np.float32)[:, None, None] * 255


def any_colour(rng: Rng) -> Array:
    """Draw a colour: grey, dull or pure."""
    pure = ((0, 0.06), (0.05, 0.4), (0.3, 0.95))[rng.choice(3, p=(0.35, 0.35, 0.3))]
    return tone(rng, pure=pure)


def beside(colour: Array, rng: Rng, least: float = 20, most: float = 110) -> Array:
    """Draw a colour that is darker or lighter by so many levels, and of about the same hue."""
    by = rng.uniform(least, most)
    if not by < colour.mean() < 255 - by:
        by = -by if colour.mean() > 127 else by
    elif rng.random() < 0.5:
        by = -by
    shifted: Array = np.clip(colour + by + rng.normal(0, 8, (3, 1, 1)), 4, 250).astype(np.float32)
    return shifted


def mix(one: Array, other: Array, share: Array) -> Array:
    """Return colours between two, (3, h, w), other where `share` is 1."""
    return one + share * (other - one)


class Lamp(NamedTuple):
    """Where light comes from."""

    angle: float
    strength: float

    def on(self, height: Array) -> Array:
        """Return how much lighter, about 0, the slopes of a height in pixels are."""
        down, across = np.gradient(height)
        slope = across * np.float32(math.cos(self.angle)) + down * np.float32(math.sin(self.angle))
        lighter: Array = slope * np.float32(self.strength) / np.sqrt(1 + slope * slope)
        return lighter


def shaded(paint: Array, height: Array, lamp: Lamp, gloss: float = 0) -> Array:
    """Return paint on a relief: slopes towards the lamp lighter, and the steepest gleam.

    Args:
        paint: (3, h, w), or one colour.
        height: pixels, (h, w).
        lamp: where light comes from.
        gloss: levels of the gleam at most.
    """
    light = lamp.on(height)
    lit = paint * (1 + light)
    if gloss:
        lit += np.float32(gloss) * np.clip(light * np.float32(1.6), 0, 1) ** 3
    return lit
