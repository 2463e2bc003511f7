"""A brushed steel plate with drilled and countersunk holes."""

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
    disc,
    fill,
    grain,
    light,
    strokes,
    wander,
)

DEFECTS = ("missing_hole", "rust", "scratch")
HOLES = ((110, 110), (110, 402), (402, 110), (402, 402), (256, 256))
RADIUS, COUNTERSINK = 27.0, 12.0


def draw(rng: np.random.Generator, defect: str | None) -> tuple[Array, Mask]:
    """Draw a plate, with a defect or without."""
    image, mask = plate(rng), np.zeros((SIZE, SIZE), dtype=bool)
    if defect == "scratch":
        image, mask = scratch(rng, image)
    if defect == "rust":
        image, mask = rust(rng, image)
    shift = rng.normal(0, 4, 2)
    missing = int(rng.integers(4)) if defect == "missing_hole" else -1
    for index, hole in enumerate(HOLES):
        row, column = np.add(hole, shift)
        place = disc(row, column, RADIUS + COUNTERSINK) > 0.5
        if index == missing:
            mask = place
        else:
            image, mask = drill(image, row, column), mask & ~place
    return image * light(rng, 0.35), mask


def plate(rng: np.random.Generator) -> Array:
    """Return brushed steel under a broad highlight."""
    streaks = 0.6 * grain(rng, 0.7, 90) + 0.5 * grain(rng, 1.4, 40) + 0.3 * grain(rng, 4, 160)
    place, width = rng.uniform(0.25, 0.75) * SIZE, 0.3 * SIZE
    highlight = np.exp(-(((ROWS + 0.25 * COLUMNS - place - 64) / width) ** 2))
    shade = 0.47 + 0.15 * highlight + 0.035 * streaks * (1 + highlight)
    steel: Array = shade[..., None] * colour(1, 1.005, 1.02 + rng.uniform(-0.01, 0.02))
    return steel


def drill(image: Array, row: float, column: float) -> Array:
    """Return the plate with a hole: a bevelled ring around a dark bore."""
    angle = np.arctan2(ROWS - row, COLUMNS - column)
    facing = np.cos(angle + 0.75 * np.pi)[..., None]
    ring = disc(row, column, RADIUS + COUNTERSINK)
    image = fill(image, ring, 0.5 * image + 0.2 - 0.24 * facing)
    distance = np.hypot(ROWS - row, COLUMNS - column)[..., None]
    wall = 0.05 + 0.16 * np.clip((distance / RADIUS) ** 6 * -facing, 0, 1)
    return fill(image, disc(row, column, RADIUS), wall * colour(1, 1, 1.05))


def scratch(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the plate with a scratch across the brushing: a bright groove with a dark side."""
    start = (rng.uniform(150, 360), rng.uniform(140, 200))
    line = wander(rng, start, rng.uniform(0.9, 2.2), rng.uniform(130, 210), 0.06)
    groove = strokes([line], 2.6)
    shadow = strokes([[(x + 2, y + 1.5) for x, y in line]], 2.4)
    image = fill(image, 0.75 * shadow, image * 0.45)
    return fill(image, 0.85 * groove, 0.4 * image + 0.62), (groove > 0.3) | (shadow > 0.3)


def rust(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the plate with a spot of rust."""
    row, column = rng.uniform(170, 340), rng.choice([rng.uniform(150, 200), rng.uniform(310, 360)])
    spot = blob(rng, row, column, rng.uniform(26, 38))
    crust = (
        colour(0.62, 0.36, 0.18) * (0.55 + 0.12 * grain(rng, 2) + 0.08 * grain(rng, 6))[..., None]
    )
    return fill(image, 0.85 * spot, 0.35 * image * colour(1, 0.7, 0.45) + 0.75 * crust), spot > 0.5
