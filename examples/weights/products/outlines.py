"""Outlines: how deep inside of a shape a place lies, in pixels; negative outside."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from products.fields import Array, Rng, length

Outline: TypeAlias = Callable[[Array, Array], Array]
FINER = 3
"""How many times finer than pixels a text is set."""


def disc(radius: float) -> Outline:
    """Outline a disc."""
    return lambda x, y: radius - length(x, y)


def ring(radius: float, hole: float) -> Outline:
    """Outline a disc with a round hole."""
    return without(disc(radius), disc(hole))


def box(width: float, height: float, corner: float = 0) -> Outline:
    """Outline a rectangle with round corners."""

    def depth(x: Array, y: Array) -> Array:
        over_x, over_y = abs(x) - (width / 2 - corner), abs(y) - (height / 2 - corner)
        outside = length(np.maximum(over_x, 0), np.maximum(over_y, 0))
        inside: Array = corner - outside - np.minimum(np.maximum(over_x, over_y), 0)
        return inside

    return depth


def bar(length: float, radius: float) -> Outline:
    """Outline a bar with round ends along x."""
    return box(length, 2 * radius, radius)


def bent(radius: float, thick: float, half: float) -> Outline:
    """Outline a bar bent along a circle, by an angle to either side of the right."""
    end_x, end_y = radius * math.cos(half), radius * math.sin(half)

    def depth(x: Array, y: Array) -> Array:
        on_circle, beside_end = abs(length(x, y) - radius), length(x - end_x, abs(y) - end_y)
        away = np.where(abs(np.arctan2(y, x)) < half, on_circle, beside_end)
        return (thick - away).astype(np.float32)

    return depth


def radial(radii: npt.ArrayLike) -> Outline:
    """Outline what has one radius in each direction, from the right turning down."""
    values = np.asarray(radii, np.float32)
    closed = np.append(values, values[0])
    angles = np.linspace(-math.pi, math.pi, len(closed))

    def depth(x: Array, y: Array) -> Array:
        inside: Array = np.interp(np.arctan2(y, x), angles, closed) - length(x, y)
        return inside.astype(np.float32)

    return depth


def polygon(corners: int, radius: float, round_by: float = 0) -> Outline:
    """Outline a regular polygon; `radius` is that of its corners."""
    inner = radius * math.cos(math.pi / corners)

    def depth(x: Array, y: Array) -> Array:
        sides = [2 * math.pi * (side + 0.5) / corners for side in range(corners)]
        reach = np.max([x * math.cos(angle) + y * math.sin(angle) for angle in sides], axis=0)
        inside: Array = inner - reach
        rounded = radius - round_by - length(x, y)
        return np.minimum(inside, rounded) if round_by else inside

    return depth


def wobbly(radius: float, rough: float, rng: Rng, waves: int = 12, longer: float = 1) -> Outline:
    """Outline an irregular disc.

    Args:
        radius: on average.
        rough: spread of the radius as a share of it.
        rng: where all chance comes from.
        waves: the finest irregularity, in waves about the outline.
        longer: how much longer along x than across.
    """
    angles = np.linspace(-math.pi, math.pi, 96, endpoint=False)
    orders = np.arange(2, waves + 1)[:, None]
    strengths = rng.normal(0, 1, (len(orders), 1)) / orders
    waving = (strengths * np.cos(orders * angles + rng.uniform(0, 7, strengths.shape))).sum(0)
    longish = 1 / np.hypot(np.cos(angles) / longer, np.sin(angles))
    return radial(radius * longish * (1 + 1.5 * rough * waving))


def without(whole: Outline, hole: Outline) -> Outline:
    """Outline what is left of a shape without another."""
    return lambda x, y: np.minimum(whole(x, y), -hole(x, y))


def both(one: Outline, other: Outline) -> Outline:
    """Outline what two shapes have in common."""
    return lambda x, y: np.minimum(one(x, y), other(x, y))


def joined(*shapes: Outline) -> Outline:
    """Outline several shapes as one."""
    return lambda x, y: np.maximum.reduce([shape(x, y) for shape in shapes])


def moved(shape: Outline, across: float, down: float, turn: float = 0) -> Outline:
    """Move an outline, after it was turned by an angle."""
    cosine, sine = math.cos(turn), math.sin(turn)

    def depth(x: Array, y: Array) -> Array:
        right, below = x - across, y - down
        return shape(cosine * right + sine * below, cosine * below - sine * right)

    return depth


def about(shape: Outline, times: int, radius: float, start: float = 0) -> Outline:
    """Repeat an outline about the middle, as in a bolt circle."""
    angles = [start + 2 * math.pi * each / times for each in range(times)]
    return joined(*(moved(shape, radius * math.cos(a), radius * math.sin(a), a) for a in angles))


def text(words: str, size: float) -> Outline:
    """Outline a text about its middle; `size` is that of its font in pixels."""
    font = ImageFont.load_default(size * FINER)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), words, font)
    canvas = Image.new("L", (math.ceil(right - left) + 8, math.ceil(bottom - top) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), words, 255, font)
    return stencil(np.asarray(canvas, np.float32) / np.float32(255), FINER)


def stencil(opacity: Array, finer: float) -> Outline:
    """Outline what is drawn in a bitmap about its middle.

    Args:
        opacity: 0 to 1.
        finer: pixels of the bitmap to a pixel.
    """
    soft = ndimage.uniform_filter(opacity, max(1, round(finer)))
    middle = (np.array(soft.shape) - 1) / 2

    def depth(x: Array, y: Array) -> Array:
        at = [y * finer + middle[0], x * finer + middle[1]]
        # twice, so that nothing is left outside where a piece is smaller than usual
        inside: Array = 2 * ndimage.map_coordinates(soft, at, order=1, mode="constant") - 1
        return inside

    return depth
