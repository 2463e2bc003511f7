"""What surfaces have in common: irregularity, light, and the camera that looks at them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

SIZE = 512
"""Pixels to a side of the canvas; photographs have half as many."""
ROWS: Array = np.arange(SIZE, dtype=np.float64)[:, None].repeat(SIZE, axis=1)
COLUMNS: Array = ROWS.T


def grain(rng: np.random.Generator, *sigma: float) -> Array:
    """Return smooth noise of mean 0 and deviation 1, of the given lengths down and across."""
    down, across = sigma if len(sigma) == 2 else sigma * 2
    step = max(1, int(min(down, across) // 3))
    small = gaussian_filter(
        rng.standard_normal((SIZE // step + 1, SIZE // step + 1)),
        (down / step, across / step),
        mode="wrap",
    )
    noise = zoom(small, step, order=1)[:SIZE, :SIZE] if step > 1 else small[:SIZE, :SIZE]
    return np.asarray((noise - noise.mean()) / noise.std())


def colour(red: float, green: float, blue: float) -> Array:
    """Return a colour that multiplies or fills (h, w, 1) shades."""
    return np.array([red, green, blue])


def fill(image: Array, where: Array, shade: Array) -> Array:
    """Lay a shade over an image where a coverage (h, w) from 0 to 1 says so."""
    cover = np.clip(where, 0, 1)[..., None]
    filled: Array = image * (1 - cover) + shade * cover
    return filled


def disc(row: float, column: float, radius: float) -> Array:
    """Return the coverage of a disc, soft over one pixel."""
    return np.clip(radius + 0.5 - np.hypot(ROWS - row, COLUMNS - column), 0, 1)


def blob(rng: np.random.Generator, row: float, column: float, radius: float) -> Array:
    """Return the coverage of an irregular spot."""
    edge = radius * (1 + 0.28 * grain(rng, radius / 2) + 0.08 * grain(rng, radius / 7))
    return np.clip((edge - np.hypot(ROWS - row, COLUMNS - column)) / 3 + 0.5, 0, 1)


def strokes(lines: list[list[tuple[float, float]]], width: float) -> Array:
    """Return the coverage of polylines of (column, row) points."""
    scale = 2
    canvas = Image.new("L", (SIZE * scale, SIZE * scale))
    draw = ImageDraw.Draw(canvas)
    for line in lines:
        points = [(x * scale, y * scale) for x, y in line]
        draw.line(points, fill=255, width=max(1, round(width * scale)), joint="curve")
    return np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255


def wander(
    rng: np.random.Generator, start: tuple[float, float], angle: float, length: float, turn: float
) -> list[tuple[float, float]]:
    """Return a polyline of (column, row) points that turns a little at every step."""
    points = [start]
    for _ in range(int(length / 6)):
        angle += rng.normal(0, turn)
        column, row = points[-1]
        points.append((column + 6 * np.cos(angle), row + 6 * np.sin(angle)))
    return points


def light(rng: np.random.Generator, strength: float) -> Array:
    """Return the brightness (h, w, 1) of a lamp at one side, about 1."""
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * COLUMNS + np.sin(angle) * ROWS) / SIZE
    return np.asarray(1 + strength * (slope - slope.mean()))[..., None]


def photograph(rng: np.random.Generator, image: Array) -> Image.Image:
    """Return what a camera sees: softened, half as large, darker at the corners, a little noisy."""
    soft = gaussian_filter(image, (0.7, 0.7, 0))
    small = soft.reshape(SIZE // 2, 2, SIZE // 2, 2, -1).mean((1, 3))
    half = np.linspace(-1, 1, SIZE // 2)
    corners = 1 - 0.1 * (half[:, None] ** 2 + half[None] ** 2)[..., None]
    seen = small * corners * rng.uniform(0.95, 1.05) + rng.normal(0, 0.006, small.shape)
    # two levels fewer bits than a file has: nobody sees it, and the file is half as large
    levels = np.rint(np.clip(seen, 0, 1) ** (1 / 1.25) * 127) * 2
    return Image.fromarray(levels.astype(np.uint8).squeeze())


def mask_image(mask: Mask) -> Image.Image:
    """Return a mask at the size of the photograph: white where half of a pixel is defective."""
    share = mask.reshape(SIZE // 2, 2, SIZE // 2, 2).mean((1, 3))
    return Image.fromarray(np.where(share >= 0.5, 255, 0).astype(np.uint8))
