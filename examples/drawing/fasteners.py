"""A kit of fasteners that lie anywhere on a mat, as a camera without colours sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter

from drawing.surface import COLUMNS, ROWS, SIZE, Array, Mask, fill, grain, light, strokes

DEFECTS = ("missing_nut", "swarf", "washer_for_nut")
Places: TypeAlias = list[tuple[float, float]]
"""Row and column of the middle of each part."""
KIT = ("nut", "nut", "nut", "screw", "screw", "washer", "washer", "washer")
REACH = {"nut": 50.0, "screw": 88.0, "washer": 50.0}
"""Pixels from the middle of a part within which no other lies."""
LAMP = (-0.7, -0.7)
"""Where the light comes from, down and across."""


def draw(rng: np.random.Generator, defect: str | None) -> tuple[Array, Mask]:
    """Draw a kit that lies anywhere, of one channel, with a defect or without."""
    return kit(rng, defect, anywhere, 2 * np.pi)


def kit(
    rng: np.random.Generator,
    defect: str | None,
    places: Callable[[np.random.Generator], Places],
    turned: float,
) -> tuple[Array, Mask]:
    """Draw a kit whose parts lie where `places` says, turned by up to an angle."""
    image = mat(rng)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    for index, (part, (row, column)) in enumerate(zip(KIT, places(rng), strict=True)):
        turn = rng.uniform(0, turned)
        if index or defect not in ("missing_nut", "washer_for_nut"):
            image = lay(rng, image, depth_of(part, row, column, turn))
            continue
        mask = depth_of("nut", row, column, turn) > 0
        if defect == "washer_for_nut":
            washer = depth_of("washer", row, column, turn)
            image, mask = lay(rng, image, washer), mask | (washer > 0)
    if defect == "swarf":
        image, mask = swarf(rng, image)
    return image * light(rng, 0.25), mask


def mat(rng: np.random.Generator) -> Array:
    """Return a mat of dark rubber."""
    return (0.17 + 0.008 * grain(rng, 1.3) + 0.008 * grain(rng, 40))[..., None]


def anywhere(rng: np.random.Generator) -> Places:
    """Draw where the parts of a kit lie, no two of them on each other."""
    found: Places = []
    tries = 0
    while len(found) < len(KIT):
        reach = REACH[KIT[len(found)]]
        row, column = rng.uniform(reach, SIZE - reach, 2)
        apart = (np.hypot(row - y, column - x) - REACH[KIT[i]] for i, (y, x) in enumerate(found))
        if all(distance > reach for distance in apart):
            found.append((row, column))
        tries += 1
        if tries % 200 == 0:
            found.clear()
    return found


def depth_of(part: str, row: float, column: float, turn: float) -> Array:
    """Return how many pixels each pixel lies inside of a part's outline, outside below zero."""
    down, across = ROWS - row, COLUMNS - column
    along = np.cos(turn) * across + np.sin(turn) * down
    aside = np.cos(turn) * down - np.sin(turn) * across
    radius = np.hypot(down, across)
    if part == "washer":
        return np.asarray(np.minimum(43 - radius, radius - 22))
    if part == "nut":
        sides = [np.cos(a) * along + np.sin(a) * aside for a in np.arange(6) * np.pi / 3]
        return np.asarray(np.minimum(38 - np.maximum.reduce(sides), radius - 20))
    thread = 12 + 1.5 * np.sin(along * 2 * np.pi / 9)
    shank = np.minimum(68 - np.abs(along - 12), thread - np.abs(aside))
    head = np.minimum(13 - np.abs(along + 66), 25 - np.abs(aside))
    return np.asarray(np.maximum(shank, head))


def lay(rng: np.random.Generator, image: Array, depth: Array) -> Array:
    """Return the mat with a part on it: steel with bevelled edges, and its shadow."""
    cover = np.clip(depth + 0.5, 0, 1)
    shadow = gaussian_filter(np.roll(cover, (7, 7), (0, 1)), 4)
    slope = np.gradient(gaussian_filter(np.clip(depth / 7, 0, 1), 1.2))
    facing = slope[0] * LAMP[0] + slope[1] * LAMP[1]
    steel = 0.52 - 1.6 * facing + 0.015 * grain(rng, 1.5) + 0.02 * grain(rng, 25)
    return fill(fill(image, 0.6 * shadow, image * 0.3), cover, steel[..., None])


def swarf(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the kit with a curl of swarf on it."""
    start = (rng.uniform(150, 360), rng.uniform(150, 360))
    line, turn = [start], rng.uniform(0, 2 * np.pi)
    for bend in np.linspace(0.55, 0.05, 32) + rng.normal(0, 0.03, 32):
        turn += bend
        column, row = line[-1]
        line.append((column + 8 * np.cos(turn), row + 8 * np.sin(turn)))
    shadow = strokes([[(x + 3, y + 4) for x, y in line]], 5)
    curl, edge = strokes([line], 5), strokes([[(x - 1, y - 1) for x, y in line]], 2)
    image = fill(fill(image, 0.6 * shadow, image * 0.3), curl, np.array([0.45]))
    return fill(image, edge, np.array([0.85])), (curl > 0.5) | (shadow > 0.5)
