"""A glazed tile with a printed ornament."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

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

DEFECTS = ("chip", "crack", "missing_print")
MARGIN, BEVEL = 26, 16
INK = colour(0.10, 0.22, 0.42)


def draw(rng: np.random.Generator, defect: str | None) -> tuple[Array, Mask]:
    """Draw a tile on a dark table, with a defect or without."""
    shift = rng.normal(0, 3, 2)
    inside = np.minimum.reduce(
        [
            ROWS - MARGIN - shift[0],
            SIZE - MARGIN - ROWS + shift[0],
            COLUMNS - MARGIN - shift[1],
            SIZE - MARGIN - COLUMNS + shift[1],
        ]
    )
    image, print_ = glaze(rng, inside), ornament(shift)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if defect == "missing_print":
        row, column = np.add(rng.choice([168.0, 344.0], 2), shift)
        lost = blob(rng, row, column, 58)
        mask = print_ * lost > 0.4
        print_ = print_ * (1 - lost)
    image = fill(image, 0.86 * print_, INK * (1 + 0.1 * grain(rng, 5))[..., None])
    if defect == "crack":
        image, mask = crack(rng, image)
    image = shine(rng, image)
    if defect == "chip":
        image, mask = chip(rng, image, inside)
    table = (0.07 + 0.01 * grain(rng, 1.5) + 0.012 * grain(rng, 30))[..., None] * colour(
        1, 0.9, 0.8
    )
    return fill(table, inside, image) * light(rng, 0.2), mask & (inside > 0)


def glaze(rng: np.random.Generator, inside: Array) -> Array:
    """Return uneven glaze with specks, rounded off towards the edges."""
    shade = 0.74 + 0.018 * grain(rng, 60) + 0.012 * grain(rng, 14)
    specks = np.clip(grain(rng, 1.5) - 2.9, 0, 1)
    slope = np.clip(1 - inside / BEVEL, 0, 1) ** 2
    up = np.where(ROWS + COLUMNS < SIZE, 0.10, -0.28)
    body = (shade - 0.25 * specks + slope * up)[..., None]
    return body * colour(1, 0.975, 0.9 + rng.uniform(-0.02, 0.02))


def ornament(shift: Array) -> Array:
    """Return the coverage of the print: a ring, four petals, and corner quarter rings."""
    row, column = 256 + shift[0], 256 + shift[1]
    ring = disc(row, column, 148) - disc(row, column, 138)
    petals = np.zeros((SIZE, SIZE))
    for angle in np.arange(8) * np.pi / 4:
        down, across = np.sin(angle), np.cos(angle)
        one = disc(row + 62 * down - 34 * across, column + 62 * across + 34 * down, 62)
        other = disc(row + 62 * down + 34 * across, column + 62 * across - 34 * down, 62)
        petals = np.maximum(petals, one * other)
    centre = disc(row, column, 22) - disc(row, column, 12)
    corners = np.zeros((SIZE, SIZE))
    for down in (46, 466):
        for across in (46, 466):
            outer = disc(down + shift[0], across + shift[1], 92)
            corners = np.maximum(corners, outer - disc(down + shift[0], across + shift[1], 80))
    frame = np.minimum(np.minimum(ROWS, SIZE - ROWS), np.minimum(COLUMNS, SIZE - COLUMNS)) > 52
    petals = petals * (1 - disc(row, column, 26))
    printed: Array = np.maximum.reduce([ring, petals, centre, corners * frame])
    return printed


def shine(rng: np.random.Generator, image: Array) -> Array:
    """Return the tile under the soft reflection of a window."""
    row, column = rng.uniform(60, 200), rng.uniform(80, 430)
    spot = np.exp(-(((ROWS - row) / 130) ** 2) - ((COLUMNS - column) / 95) ** 2)
    return image + 0.13 * spot[..., None]


def crack(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the tile with a branching crack from one edge."""
    start = (rng.uniform(130, 380), MARGIN + 6.0)
    trunk = wander(rng, start, rng.uniform(1.2, 1.9), rng.uniform(230, 330), 0.16)
    lines = [trunk]
    for _ in range(2):
        point = trunk[int(rng.uniform(0.3, 0.8) * len(trunk))]
        lines.append(wander(rng, point, rng.choice([0.6, 2.5]), rng.uniform(50, 90), 0.2))
    gap, edge = strokes(lines, 2.4), strokes([[(x + 2, y + 1) for x, y in p] for p in lines], 1.8)
    image = fill(image, 0.4 * edge, image + 0.2)
    return fill(image, 0.85 * gap, 0.12 * colour(1, 0.85, 0.7)), (gap > 0.3) | (edge > 0.4)


def chip(rng: np.random.Generator, image: Array, inside: Array) -> tuple[Array, Mask]:
    """Return the tile with a piece broken off its edge, clay showing."""
    along, radius = rng.uniform(150, 360), rng.uniform(32, 44)
    edge = float(rng.choice([MARGIN, SIZE - MARGIN]))
    place = (along, edge) if rng.random() < 0.5 else (edge, along)
    broken = blob(rng, *place, radius) * (inside > 0)
    rim = np.clip(3 * gaussian_filter(broken, 3), 0, 1) * (1 - broken)
    clay = colour(0.50, 0.33, 0.24) * (1 + 0.12 * grain(rng, 3) + 0.12 * grain(rng, 9))[..., None]
    image = fill(image, 0.35 * rim, image * 0.6)
    return fill(image, broken, clay), (broken > 0.5) | (0.35 * rim > 0.2)
