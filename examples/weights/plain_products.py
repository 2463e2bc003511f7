"""Plain products: textures, surfaces with a print, bodies on plain ground; drawn quickly.

Each is a function that draws another piece, alike but for its place, its light and its noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from vlmad_synthesis._textures import draw_texture

SIDE = 320
Rng: TypeAlias = np.random.Generator
Levels: TypeAlias = npt.NDArray[np.floating[Any]]
Pixels: TypeAlias = npt.NDArray[np.uint8]
DrawPiece: TypeAlias = Callable[[Rng], Pixels]
Outline: TypeAlias = Callable[[Levels, Levels], Levels]
"""How deep places (down, across, from the middle) lie inside, in pixels."""
DOWN, ACROSS = np.indices((SIDE, SIDE), np.float32)


def plain_product(rng: Rng) -> DrawPiece:
    """Draw a product: four of ten are textures, three have a print, three are bodies."""
    sort, texture = rng.integers(10), _texture(rng)
    if sort < 4:
        return lambda piece: _photograph(_cut(texture, piece), piece, 0.08)
    return _printed(texture, rng) if sort < 7 else _body(texture, rng)


def _texture(rng: Rng) -> Levels:
    """Draw a texture, fine or enlarged, some of them faint."""
    if rng.random() < 0.5:
        texture = draw_texture((SIDE, SIDE), rng)
    else:
        small = Image.fromarray(draw_texture((SIDE, SIDE), rng).astype(np.uint8))
        texture = np.asarray(small.resize((480, 480)), np.float32)
    if rng.random() < 0.35:
        mean = texture.mean((0, 1))
        texture = mean + (texture - mean) * rng.uniform(0.05, 0.35)
    return texture


def _cut(texture: Levels, piece: Rng) -> Levels:
    row, column = piece.integers(0, max(1, texture.shape[0] - SIDE + 1), 2)
    return texture[row : row + SIDE, column : column + SIDE]


def _photograph(levels: Levels, piece: Rng, unsteady: float) -> Pixels:
    lit = levels * piece.uniform(1 - unsteady, 1 + unsteady)
    return np.clip(lit + piece.normal(0, 2, levels.shape), 0, 255).astype(np.uint8)


def _printed(texture: Levels, rng: Rng) -> DrawPiece:
    """Print shapes of three colours on a texture; the print moves a little."""
    seed, count = int(rng.integers(1 << 30)), int(rng.integers(3, 40))
    surface = Image.fromarray(np.clip(texture[:SIDE, :SIDE], 0, 255).astype(np.uint8))

    def draw(piece: Rng) -> Pixels:
        shapes, image = np.random.default_rng(seed), surface.copy()
        colours = [tuple(map(int, shapes.integers(0, 256, 3))) for _ in range(3)]
        moved = piece.normal(0, 2, 2)
        for _ in range(count):
            _print_shape(ImageDraw.Draw(image), moved, colours, shapes)
        soft = ndimage.gaussian_filter(np.asarray(image, np.float32), (0.6, 0.6, 0))
        return _photograph(soft, piece, 0.06)

    return draw


def _print_shape(
    canvas: ImageDraw.ImageDraw,
    moved: npt.NDArray[np.float64],
    colours: list[tuple[int, ...]],
    shapes: Rng,
) -> None:
    x, y = shapes.uniform(0, SIDE, 2) + moved
    width, height = shapes.uniform(4, 50, 2)
    colour, form = colours[shapes.integers(3)], shapes.integers(4)
    if form == 0:
        canvas.rectangle((x, y, x + width, y + height), fill=colour)
    elif form == 1:
        canvas.ellipse((x, y, x + width, y + width), fill=colour)
    elif form == 2:
        end = x + shapes.normal(0, 80), y + shapes.normal(0, 80)
        canvas.line((x, y, *end), fill=colour, width=int(shapes.integers(1, 6)))
    else:
        thick = int(shapes.integers(1, 5))
        canvas.ellipse((x, y, x + width, y + height), outline=colour, width=thick)


def _body(texture: Levels, rng: Rng) -> DrawPiece:
    """Lay a round, straight or irregular body on plain ground; it moves and turns a little."""
    ground = rng.uniform(10, 245) + rng.normal(0, 12, 3)
    form, radius = rng.integers(3), rng.uniform(0.25, 0.42) * SIDE
    seed, pierced = int(rng.integers(1 << 30)), rng.random() < 0.3
    flat = rng.uniform(0.5, 1)
    outlines: tuple[Outline, ...] = (
        lambda y, x: radius - np.hypot(y / flat, x),
        lambda y, x: np.minimum(radius * flat - np.abs(y), radius - np.abs(x)),
        lambda y, x: _irregular(y, x, radius, np.random.default_rng(seed)),
    )

    def draw(piece: Rng) -> Pixels:
        y, x = _places(piece)
        depth = outlines[form](y, x)
        if pierced:
            depth = np.minimum(depth, np.hypot(y, x) - radius * 0.3)
        cover = np.clip(depth + 0.5, 0, 1)[..., None]
        below = ground + piece.normal(0, 3, (SIDE, SIDE, 3))
        below = below + (ACROSS * piece.normal(0, 0.03))[..., None]
        above = np.roll(texture[:SIDE, :SIDE], piece.integers(-5, 5, 2), (0, 1))
        round_off = 1 - 0.25 * np.exp(-np.clip(depth, 0, None) / (radius * 0.12))
        image = below * (1 - cover) + above * round_off[..., None] * cover
        soft = ndimage.gaussian_filter(image, (0.6, 0.6, 0))
        seen: Pixels = np.clip(soft, 0, 255).astype(np.uint8)
        return seen

    return draw


def _places(piece: Rng) -> tuple[Levels, Levels]:
    """Return how far down and across pixels lie from the middle of a piece, as it lies."""
    down, across = piece.normal(0, 6, 2)
    angle = piece.normal(0, 0.06)
    y, x = DOWN - SIDE / 2 - down, ACROSS - SIDE / 2 - across
    return np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y


def _irregular(y: Levels, x: Levels, radius: float, waves: Rng) -> Levels:
    angle = np.arctan2(y, x)
    wave = sum(
        waves.normal(0, 0.12 / k) * np.cos(k * angle + waves.uniform(0, 6.3)) for k in range(2, 6)
    )
    depth: Levels = radius * (1 + wave) - np.hypot(y, x)
    return depth
