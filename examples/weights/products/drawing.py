"""Products and their pictures: the entrance is `draw_set`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from products import assemblies, cloths, goods, objects, textures
from products.camera import Camera, draw_camera
from products.covering import Draw
from products.fields import SIZE, Array, Mask, Pixels, Rng
from products.flaws import Flaw, draw_flaw
from products.materials import plain_ground
from products.scene import Habits, Piece, Scene, draw_habits, finished
from vlmad_synthesis.synthetic import GOOD, seeded

SURFACES = textures.FAMILIES | cloths.FAMILIES
THINGS = objects.FAMILIES | goods.FAMILIES | assemblies.FAMILIES
FAMILIES = SURFACES | THINGS
"""By name: what draws a product of the family, and what it may be called."""
GROUNDS = ("weave", "wood", "brushed", "stone", "paper", "stripes", "glaze")
"""Families that a thing may lie on."""
THING_SHARE, PATTERNED = 0.55, 0.12
"""Shares of things among products, and of patterned grounds among theirs."""
EMPTY: Array = np.zeros((3, 1, 1), np.float32)


class Picture(NamedTuple):
    """What a camera took of a piece."""

    image: Pixels
    """(320, 320, 3)."""
    mask: Mask
    """Where the defect is; empty for a good piece."""
    kind: str
    """Of the defect, one of `products.flaws.KINDS`, or "good"."""
    product: Mask
    """Where the product is."""


@dataclass(frozen=True)
class Product:
    """Something that pieces are made of, alike but for what is allowed."""

    name: str
    family: str
    draw: Draw
    ground: Draw
    habits: Habits
    camera: Camera

    def piece(self, rng: Rng, scale: float = 1, turn: float = 0) -> Piece:
        """Draw another good piece; its `render()` and `product()` are what is to be seen.

        Args:
            rng: where all chance comes from.
            scale: how much larger it is than usual.
            turn: by how much it is turned, in radians.
        """
        scene = Scene(rng, self.habits, EMPTY)
        self.ground(scene)
        scene = Scene(rng, self.habits, scene.ground)
        scene.zoom, scene.angle = scene.zoom * scale, scene.angle + turn
        self.draw(scene)
        return finished(scene)


def draw_product(seed: int, number: int, family: str = "") -> Product:
    """Draw a product, the same for the same seed and number in any order and process.

    Args:
        seed: of all products.
        number: of this one.
        family: one of `FAMILIES`; empty means any.
    """
    rng = seeded(seed, "product", number, family)
    kinds = THINGS if rng.random() < THING_SHARE else SURFACES
    family = family or str(rng.choice([*kinds]))
    return _of_family(family, rng)


def _of_family(family: str, rng: Rng) -> Product:
    make, names = FAMILIES[family]
    return Product(
        str(rng.choice(names)), family, make(rng), _ground(rng), draw_habits(rng), draw_camera(rng)
    )


def _ground(rng: Rng) -> Draw:
    """Draw what things lie on."""
    if rng.random() < PATTERNED:
        return SURFACES[str(rng.choice(GROUNDS))][0](rng)
    material, slope = plain_ground(rng), rng.exponential(0.06)

    def draw(scene: Scene) -> None:
        x, y = scene.everywhere
        lit = 1 + np.float32(slope / SIZE) * (math.cos(scene.lamp.angle) * x)
        scene.ground = lit * material.paint(x, y, x, scene.lamp, scene.rng, scene.vary / 2)

    return draw


def draw_set(seed: int, number: int) -> list[Picture]:
    """Return six pictures of a product: two good ones, two more, and those two with defects.

    The last two are the two before them, changed only inside of the mask before the camera took
    both in the same light.
    """
    product = draw_product(seed, number)
    rngs = [seeded(seed, "piece", number, index) for index in range(4)]
    pieces = [product.piece(rng) for rng in rngs]
    nothing = np.zeros((SIZE, SIZE), bool)
    seen = [(piece, Flaw(piece.render(), nothing, GOOD), index)
            for index, piece in enumerate(pieces)]  # fmt: skip
    first = flawed(product, pieces[2], rngs[2])
    second = flawed(product, pieces[3], rngs[3])
    while second.kind == first.kind:
        second = flawed(product, pieces[3], rngs[3])
    seen += [(pieces[2], first, 2), (pieces[3], second, 3)]
    return [
        Picture(
            product.camera.take(flaw.image, seeded(seed, "camera", number, index)),
            flaw.mask,
            flaw.kind,
            piece.product() | flaw.mask,
        )
        for piece, flaw, index in seen
    ]


def flawed(product: Product, piece: Piece, rng: Rng, kind: str = "") -> Flaw:
    """Draw a defect in a piece of a product, of some kind or of any."""
    return draw_flaw(piece, rng, lambda other: another(product, piece, other), kind)


def another(product: Product, piece: Piece, rng: Rng) -> Piece:
    """Draw a piece that is no piece of the product: another one, or of another size, turn, tint."""
    sort = rng.integers(4)
    if sort == 0:
        scale = float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.2, 0.5)))
        other = product.piece(rng, scale, rng.uniform(0.3, 1.5) if piece.whole else 0)
    elif sort == 1:
        other = _tinted(product.piece(rng), rng)
    elif sort == 2:
        other = replace(product, draw=FAMILIES[product.family][0](rng)).piece(rng)
    else:
        kinds = SURFACES if piece.whole else THINGS
        other = replace(product, draw=kinds[str(rng.choice([*kinds]))][0](rng)).piece(rng)
    return other if piece.whole else replace(other, ground=piece.ground)


def _tinted(piece: Piece, rng: Rng) -> Piece:
    """Return a piece in another tint."""
    by = rng.choice([-1, 1], (3, 1, 1)) * rng.uniform(0.1, 0.4, (3, 1, 1))
    tint = np.exp(by).astype(np.float32)
    layers = [layer._replace(paint=layer.paint * tint) for layer in piece.layers]
    return replace(piece, ground=piece.ground * tint, layers=tuple(layers))
