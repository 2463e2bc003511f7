"""Woven cloth: two sets of threads, each over and under the other in turn."""

from __future__ import annotations

import numpy as np

from drawing.surface import (
    COLUMNS,
    ROWS,
    SIZE,
    Array,
    Mask,
    blob,
    colour,
    fill,
    grain,
    light,
    strokes,
    wander,
)

DEFECTS = ("hole", "loose_thread", "stain")
PITCH = 14.0
"""Pixels from one thread to the next."""
DYES = (colour(0.33, 0.42, 0.56), colour(0.36, 0.44, 0.55))


def draw(rng: np.random.Generator, defect: str | None) -> tuple[Array, Mask]:
    """Draw a piece of cloth, with a defect or without."""
    image = weave(rng)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if defect == "hole":
        image, mask = hole(rng, image)
    if defect == "loose_thread":
        image, mask = loose_thread(rng, image)
    if defect == "stain":
        image, mask = stain(rng, image)
    return image * light(rng, 0.3), mask


def weave(rng: np.random.Generator) -> Array:
    """Return a plain weave whose threads are not quite straight and not all of one thickness."""
    across = (COLUMNS + 1.1 * grain(rng, 40) + 0.5 * grain(rng, 9)) / PITCH + rng.uniform(0, 2)
    down = (ROWS + 1.1 * grain(rng, 40) + 0.5 * grain(rng, 9)) / PITCH + rng.uniform(0, 2)
    warp_on_top = (np.floor(across) + np.floor(down)) % 2 == 0
    warp = thread(rng, across, down)
    weft = thread(rng, down, across)
    height = np.where(warp_on_top, warp, weft)
    dyes = (dye * rng.uniform(0.97, 1.03) for dye in DYES)
    shade = np.where(warp_on_top[..., None], *dyes)
    folds = 1 + 0.05 * grain(rng, 110)
    return shade * ((0.25 + 0.95 * height) * folds + 0.02 * grain(rng, 0.8))[..., None] * 1.35


def thread(rng: np.random.Generator, side: Array, along: Array) -> Array:
    """Return the brightness of threads: round in section, highest midway over a crossing."""
    middle = 2 * (side - np.floor(side)) - 1
    section = np.sqrt(np.clip(1 - 0.92 * middle**2, 0, 1))
    bulge = 0.72 + 0.28 * np.sin(np.pi * (along - np.floor(along)))
    thickness = 1 + 0.06 * rng.standard_normal(200)
    fibres = 1 + 0.05 * np.sin(2 * np.pi * (3 * side + 1.5 * along))
    return np.asarray(section * bulge * fibres * thickness[np.floor(side).astype(int)])


def hole(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the cloth with a hole, threads hanging into it."""
    row, column, radius = rng.uniform(150, 360), rng.uniform(150, 360), rng.uniform(26, 36)
    opening = blob(rng, row, column, radius)
    below = (0.05 + 0.015 * grain(rng, 6))[..., None] * colour(1, 0.95, 0.9)
    ends = []
    for angle in rng.uniform(0, 2 * np.pi, 12):
        start = (column + radius * np.cos(angle), row + radius * np.sin(angle))
        ends.append(wander(rng, start, angle + np.pi, rng.uniform(12, 26), 0.3))
    fringe = strokes(ends, 3.2) * opening
    image = fill(image, opening, below)
    return fill(image, 0.85 * fringe, 1.25 * DYES[0]), opening > 0.5


def loose_thread(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the cloth with a thread that was pulled out and lies in a loop on top."""
    start = (rng.uniform(110, 220), rng.uniform(160, 350))
    line = wander(rng, start, rng.uniform(-0.6, 0.6), rng.uniform(190, 260), 0.22)
    shadow = strokes([[(x + 5, y + 6) for x, y in line]], 9)
    yarn, ridge = strokes([line], 8), strokes([[(x - 1, y - 1.5) for x, y in line]], 3)
    image = fill(image, 0.5 * shadow, image * 0.35)
    image = fill(image, yarn, 1.25 * DYES[0] * (1 + 0.1 * grain(rng, 2))[..., None])
    return fill(image, 0.6 * ridge, 1.9 * DYES[1]), (yarn > 0.5) | (shadow > 0.5)


def stain(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the cloth with a dried stain, darker at its rim."""
    row, column, radius = rng.uniform(150, 360), rng.uniform(150, 360), rng.uniform(42, 62)
    spot = blob(rng, row, column, radius)
    depth = 0.75 + 0.25 * np.clip(np.hypot(ROWS - row, COLUMNS - column) / radius, 0, 1) ** 3
    return fill(image, 0.85 * spot * depth, image * colour(0.72, 0.58, 0.36)), spot > 0.5
