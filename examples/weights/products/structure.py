"""Defects that only a product's drawing knows: of its parts, its prints, its outline.

Each takes a piece and returns it with the defect, or None where it has nothing of the kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from products.fields import SIZE, Array, Rng, any_colour, noise
from products.outlines import wobbly
from products.scene import BODY, LOOSE, PART, PRINT, Layer, Piece

LEAST = 6
"""Levels by which a pixel of a defect differs at least."""
Change: TypeAlias = Callable[[Piece, Rng], Piece | None]


SAME = 0.12
"""Share of a part's area by which its outline differs from another's at least."""


def _one_part(piece: Piece, rng: Rng, *roles: str) -> list[int]:
    """Choose a part; return its place among the layers and those of what lies on it."""
    parts = piece.of_role(*(roles or (PART, LOOSE)))
    if not parts:
        return []
    chosen = parts[rng.integers(len(parts))]
    return [chosen, *(place for place in range(chosen + 1, len(piece.layers))
                      if _lies_on(piece.layers[place], piece.layers[chosen]))]  # fmt: skip


def _lies_on(upper: Layer, lower: Layer) -> bool:
    """Return whether nearly all of a layer is over another one."""
    inside = np.zeros((SIZE, SIZE), bool)
    inside[lower.window] = lower.opacity > 0.5
    covered = upper.opacity > 0.5
    return bool((covered & inside[upper.window]).sum() > 0.8 * covered.sum())


def _exchanged(piece: Piece, places: Iterable[int], other: Iterable[Layer]) -> Piece:
    """Return a piece with other layers in the places of some."""
    by_place = dict(zip(places, other, strict=True))
    return piece.with_layers([by_place.get(i, layer) for i, layer in enumerate(piece.layers)])


def _moved(layer: Layer, down: int, across: int) -> Layer:
    """Return a layer elsewhere, without what would lie beyond the picture."""
    row, column = layer.corner[0] + down, layer.corner[1] + across
    inside = tuple(
        slice(max(0, -start), max(0, min(size, SIZE - start)))
        for start, size in zip((row, column), layer.opacity.shape, strict=True)
    )
    corner = min(max(0, row), SIZE), min(max(0, column), SIZE)
    opacity, paint = layer.opacity[inside], layer.paint[:, *inside]
    return layer._replace(corner=corner, opacity=opacity, paint=paint)


def _middle(layer: Layer) -> tuple[int, int]:
    """Return the row and column about which a layer lies."""
    covered = np.nonzero(layer.opacity > 0.5)
    return (layer.corner[0] + round(float(covered[0].mean())),
            layer.corner[1] + round(float(covered[1].mean())))  # fmt: skip


def missing_part(piece: Piece, rng: Rng) -> Piece | None:
    """Leave out a part and what lies on it."""
    gone = _one_part(piece, rng)
    kept = [layer for place, layer in enumerate(piece.layers) if place not in gone]
    return piece.with_layers(kept) if gone else None


def wrong_colour(piece: Piece, rng: Rng) -> Piece | None:
    """Give a part another colour."""
    part = _one_part(piece, rng)
    if not part:
        return None
    layer, strength = piece.layers[part[0]], np.float32(rng.uniform(0.4, 1))
    by = strength * (any_colour(rng) - layer.paint.mean((1, 2), keepdims=True))
    return _exchanged(piece, part[:1], [layer._replace(paint=layer.paint + by)])


def wrong_part(piece: Piece, rng: Rng) -> Piece | None:
    """Put another part of the piece in the place of a part."""
    part, other = _one_part(piece, rng), _one_part(piece, rng)
    if not part or part[0] == other[0]:
        return None
    here, there = _middle(piece.layers[part[0]]), _middle(piece.layers[other[0]])
    way = here[0] - there[0], here[1] - there[1]
    put = [_moved(piece.layers[place], *way) for place in other]
    if not _differ(piece.layers[part[0]], put[0]):
        return None
    before = piece.layers[: part[0]]
    after = [layer for i, layer in enumerate(piece.layers) if i > part[0] and i not in part]
    return piece.with_layers([*before, *put, *after])


def _differ(one: Layer, other: Layer) -> bool:
    """Return whether two layers differ in outline or colour, not only in their surface."""
    covers = np.zeros((2, SIZE, SIZE), np.float32)
    for each, layer in zip(covers, (one, other), strict=True):
        each[layer.window] = layer.opacity
    by = np.abs(covers[0] - covers[1]).sum()
    colours = [layer.paint[:, layer.opacity > 0.5].mean(1) for layer in (one, other)]
    apart = np.abs(colours[0] - colours[1]).max()
    return bool(by > SAME * covers[0].sum() or apart > 2 * LEAST)


def displaced_part(piece: Piece, rng: Rng) -> Piece | None:
    """Move a part out of its place."""
    part = _one_part(piece, rng)
    if not part:
        return None
    angle, size = rng.uniform(0, 2 * math.pi), math.sqrt(piece.layers[part[0]].opacity.sum())
    by = max(3.0, size * rng.uniform(0.15, 0.8))
    way = round(by * math.sin(angle)), round(by * math.cos(angle))
    return _exchanged(piece, part, [_moved(piece.layers[place], *way) for place in part])


def turned_part(piece: Piece, rng: Rng) -> Piece | None:
    """Turn a part about its middle."""
    part = _one_part(piece, rng, PART)
    if not part:
        return None
    degrees = float(rng.choice([90, 180, rng.uniform(12, 168)]))
    middle = _middle(piece.layers[part[0]])
    turned = [_turned(piece.layers[place], degrees, middle) for place in part]
    differ = any(_differ(piece.layers[p], each) for p, each in zip(part, turned, strict=True))
    return _exchanged(piece, part, turned) if differ else None


def _turned(layer: Layer, degrees: float, about: tuple[int, int]) -> Layer:
    """Return a layer turned about a pixel of the picture."""
    sizes = zip(layer.corner, layer.opacity.shape, strict=True)
    ends = [(start, start + size) for start, size in sizes]
    far = [max(abs(end - middle) for end in both) for both, middle in zip(ends, about, strict=True)]
    reach = math.ceil(math.hypot(*far)) + 1
    around = [(reach - (middle - low), reach - (high - middle))
              for (low, high), middle in zip(ends, about, strict=True)]  # fmt: skip
    opacity = ndimage.rotate(np.pad(layer.opacity, around), degrees, reshape=False, order=1)
    paint = np.pad(layer.paint, [(0, 0), *around], mode="edge")
    turned = [ndimage.rotate(channel, degrees, reshape=False, order=1) for channel in paint]
    wide = layer._replace(corner=(0, 0), opacity=opacity, paint=np.stack(turned))
    return _moved(wide, about[0] - reach, about[1] - reach)


def part_too_many(piece: Piece, rng: Rng) -> Piece | None:
    """Put a second one of a part somewhere on the product."""
    part, places = _one_part(piece, rng), np.flatnonzero(piece.product())
    if not part:
        return None
    row, column = divmod(int(rng.choice(places)), SIZE)
    middle = _middle(piece.layers[part[0]])
    more = [_moved(piece.layers[p], row - middle[0], column - middle[1]) for p in part]
    return piece.with_layers([*piece.layers, *more])


def missing_print(piece: Piece, rng: Rng) -> Piece | None:
    """Leave out a print, or some of it."""
    prints = piece.of_role(PRINT)
    if not prints:
        return None
    chosen = prints[rng.integers(len(prints))]
    layer = piece.layers[chosen]
    faded = np.full_like(layer.opacity, rng.uniform(0, 0.4))
    if rng.random() < 0.6:
        spots = noise(layer.opacity.shape, rng.uniform(8, 60), rng)
        faded = np.clip(0.5 + (spots - rng.uniform(-0.5, 0.5)) * 3, 0, 1)
    return _exchanged(piece, [chosen], [layer._replace(opacity=layer.opacity * faded)])


def smeared_print(piece: Piece, rng: Rng) -> Piece | None:
    """Smear or double a print."""
    prints = piece.of_role(PRINT)
    if not prints:
        return None
    chosen = prints[rng.integers(len(prints))]
    layer, length = piece.layers[chosen], int(rng.integers(5, 24))
    smeared = ndimage.uniform_filter1d(layer.opacity, length, axis=int(rng.integers(2)))
    if rng.random() < 0.3:
        smeared = np.roll(layer.opacity, (length // 4, length // 3), (0, 1))
    both = np.maximum(layer.opacity * np.float32(rng.uniform(0.3, 1)), 1.2 * smeared)
    return _exchanged(piece, [chosen], [layer._replace(opacity=np.clip(both, 0, 1))])


def broken_off(piece: Piece, rng: Rng) -> Piece | None:
    """Break a piece off the outline; what lies under it shows."""
    bite = _bite(piece, rng)
    if bite is None:
        return None
    broken = [
        layer._replace(opacity=layer.opacity * (1 - bite[layer.window])) for layer in piece.layers
    ]
    return piece.with_layers(broken)


def surplus(piece: Piece, rng: Rng) -> Piece | None:
    """Add material at the outline: a burr, a drop, a crumb that stuck."""
    bodies, bite = piece.of_role(BODY), _bite(piece, rng, 0.5)
    if not bodies or bite is None:
        return None
    body = piece.layers[bodies[0]]
    colour = body.paint.mean((1, 2), keepdims=True) * np.float32(rng.uniform(0.8, 1.15))
    grain = 3 * rng.standard_normal(bite.shape, np.float32)
    return piece.with_layers([*piece.layers, Layer((0, 0), bite, colour + grain, BODY, body.thick)])


def _bite(piece: Piece, rng: Rng, most: float = 1) -> Array | None:
    """Return the opacity of an irregular spot at the outline of a piece."""
    product = piece.product()
    edge = np.flatnonzero(product & ~ndimage.binary_erosion(product))
    if piece.whole or not len(edge):
        return None
    row, column = divmod(int(rng.choice(edge)), SIZE)
    radius = math.sqrt(product.sum()) * most * np.exp(rng.uniform(math.log(0.03), math.log(0.35)))
    down = np.arange(SIZE, dtype=np.float32)[:, None] - row
    across = np.arange(SIZE, dtype=np.float32)[None] - column
    turn = rng.uniform(0, 7)
    x = math.cos(turn) * across + math.sin(turn) * down
    y = math.cos(turn) * down - math.sin(turn) * across
    outline = wobbly(float(radius), 0.15, rng, 20, float(np.exp(rng.uniform(0, 0.7))))
    bite: Array = np.clip(outline(x, y) + 0.5, 0, 1).astype(np.float32)
    return bite


OF_PARTS: dict[str, Change] = {
    "missing part": missing_part,
    "wrong colour": wrong_colour,
    "wrong part": wrong_part,
    "displaced part": displaced_part,
    "turned part": turned_part,
    "part too many": part_too_many,
}
OF_PRINTS: dict[str, Change] = {"missing print": missing_print, "smeared print": smeared_print}
OF_OUTLINES: dict[str, Change] = {"broken off": broken_off, "surplus": surplus}
CHANGES = OF_PARTS | OF_PRINTS | OF_OUTLINES
"""By its name, each defect of structure."""
