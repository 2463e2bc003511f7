"""A scene: one piece of a product as layers on a ground, in its place and light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from products.fields import SIZE, Array, Lamp, Mask, Rng
from products.materials import Material
from products.outlines import Outline

BODY, PART, LOOSE, PRINT, CRUMB = "body", "part", "loose part", "print", "crumb"
"""What a layer is: the product itself, a part that may be missing or turned wrongly, one that may
lie at any angle, what is printed, and what came off and lies on the ground, as on good pieces."""


WAVE = 35
"""Pixels over which a piece that is out of shape bends one way."""


class Layer(NamedTuple):
    """Paint that covers a piece of the picture."""

    corner: tuple[int, int]
    """Row and column where it begins; it never goes beyond the picture."""
    opacity: Array
    paint: Array
    role: str = BODY
    thick: float = 0
    """Pixels; what is thick casts a shadow."""

    @property
    def window(self) -> tuple[slice, slice]:
        """Where in the picture it lies."""
        row, column = self.corner
        return (slice(row, row + self.opacity.shape[0]),
                slice(column, column + self.opacity.shape[1]))  # fmt: skip


class Habits(NamedTuple):
    """How the pieces of a product differ from each other."""

    vary: float
    """How much they differ as such, about 1."""
    turn: float
    """Spread of their angles, in radians; what is above pi is any angle."""
    shift: float
    """Spread of their places, in pixels."""
    zoom: float
    """Spread of their sizes, as a share."""
    lamp: Lamp
    lamp_turn: float
    """Spread of the angle of light."""
    shadow: float
    """How dark a shadow is, 0 to 1."""
    size: float
    """How large they are, about 1."""
    bend: float
    """Pixels by which they are out of shape, as soft or grown things are."""


def draw_habits(rng: Rng) -> Habits:
    """Draw how the pieces of a product differ: most little, some much."""
    turn = (rng.uniform(0, 0.03), rng.uniform(0.03, 0.4), 9.0)[rng.choice(3, p=(0.6, 0.2, 0.2))]
    return Habits(
        float(np.clip(np.exp(rng.normal(-0.2, 0.8)), 0.1, 4)),
        turn,
        float(np.clip(np.exp(rng.normal(0.9, 0.8)), 0.3, 14)),
        float(np.clip(np.exp(rng.normal(-4.5, 0.7)), 0.002, 0.06)),
        Lamp(rng.uniform(-math.pi, math.pi), rng.uniform(0.2, 0.9)),
        float(rng.choice([0.03, 0.03, 0.4])),
        rng.uniform(0, 0.6) if rng.random() < 0.7 else 0.0,
        rng.uniform(0.8, 1.2),
        rng.choice([0, 0, 1]) * min(2, rng.exponential(0.8)),
    )


@dataclass
class Scene:
    """A piece while it is drawn.

    Args:
        rng: where all chance comes from.
        habits: of the product.
        ground: levels, (3, h, w).
    """

    rng: Rng
    habits: Habits
    ground: Array
    layers: list[Layer] = field(default_factory=list)
    whole: bool = False
    """Whether the product is the whole picture."""

    def __post_init__(self) -> None:
        """Draw where and how the piece lies."""
        rng, habits = self.rng, self.habits
        any_angle = habits.turn > math.pi
        self.vary = habits.vary
        self.angle = rng.uniform(0, 2 * math.pi) if any_angle else habits.turn * rng.normal()
        self.zoom = habits.size * float(np.exp(habits.zoom * rng.normal()))
        self.middle = SIZE / 2 + habits.shift * np.clip(rng.normal(0, 1, 2), -2.5, 2.5)
        lit = habits.lamp.strength * math.exp(0.08 * rng.normal())
        self.bends = np.append(rng.uniform(0, 7, 2), habits.bend * rng.uniform(-1.5, 1.5, 2))
        self.lamp = Lamp(habits.lamp.angle + habits.lamp_turn * rng.normal(), lit)

    @cached_property
    def everywhere(self) -> tuple[Array, Array]:
        """The places x and y of the whole picture in the frame of the piece."""
        return self._places((0, 0), (SIZE, SIZE), (0, 0), 0)

    def about(self, value: float, share: float = 0.02) -> float:
        """Return a measure as this piece has it: it differs by a share where pieces vary."""
        return float(value * math.exp(share * self.vary * float(np.clip(self.rng.normal(), -3, 3))))

    def off(self, spread: float) -> float:
        """Return by how much something lies elsewhere in this piece."""
        return float(spread * self.vary * np.clip(self.rng.normal(), -3, 3))

    def lay(
        self,
        outline: Outline,
        material: Material,
        role: str = BODY,
        at: tuple[float, float] = (0, 0),
        turn: float = 0,
        reach: float = 2.0 * SIZE,
        thick: float = 0,
    ) -> None:
        """Lay something with an outline on what is there.

        Args:
            outline: of the thing, about its own middle.
            material: of its surface.
            role: `BODY`, `PART`, `LOOSE`, `PRINT` or `CRUMB`.
            at: where its middle lies in the piece, x and y.
            turn: its angle in the piece.
            reach: no point of it is farther from its middle.
            thick: height over what it lies on, in pixels.
        """
        corner, shape = self._window(at, reach)
        if min(shape) < 3:
            return
        x, y = self._places(corner, shape, at, turn)
        depth = outline(x, y) * np.float32(self.zoom)
        opacity = np.clip(depth + 0.5, 0, 1).astype(np.float32)
        paint = material.paint(x, y, depth, self.lamp, self.rng, self.vary)
        self.layers.append(Layer(corner, opacity, paint, role, thick))

    def _seen_at(self, at: tuple[float, float]) -> tuple[float, float]:
        """Return the row and column of a place in the piece."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        across, down = (self.zoom * value for value in at)
        return (float(self.middle[0] + sine * across + cosine * down),
                float(self.middle[1] + cosine * across - sine * down))  # fmt: skip

    def _window(
        self, at: tuple[float, float], reach: float
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        first, last = (
            [int(np.clip(middle + sign * (reach * self.zoom + 2 + 1.5 * self.habits.bend), 0, SIZE))
             for middle in self._seen_at(at)] for sign in (-1, 1)
        )  # fmt: skip
        return (first[0], first[1]), (last[0] - first[0], last[1] - first[1])

    def _places(
        self, corner: tuple[int, int], shape: tuple[int, int], at: tuple[float, float], turn: float
    ) -> tuple[Array, Array]:
        row, column = self._seen_at(at)
        rows, columns = (
            np.arange(start, start + size, dtype=np.float32)
            for start, size in zip(corner, shape, strict=True)
        )
        phases, by = self.bends[:2], self.bends[2:]
        down = (rows - row)[:, None] + (by[0] * np.sin(columns / WAVE + phases[0]))[None]
        across = (columns - column)[None] + (by[1] * np.sin(rows / WAVE + phases[1]))[:, None]
        down, across = down / self.zoom, across / self.zoom
        angle = self.angle + turn
        cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        x, y = cosine * across + sine * down, cosine * down - sine * across
        return x.astype(np.float32), y.astype(np.float32)


@dataclass(frozen=True)
class Piece:
    """A piece as it was drawn: what a camera sees of it is made by `render`."""

    ground: Array
    layers: tuple[Layer, ...]
    whole: bool
    lamp: Lamp
    shadow: float

    def render(self) -> Array:
        """Return levels (3, h, w), not yet rounded."""
        image = self.ground.copy()  # (3, h, w)
        for layer in self.layers:
            if layer.thick and self.shadow:
                self._darken(image, layer)
            part = image[:, *layer.window]
            part += layer.opacity * (layer.paint - part)
        return image

    def _darken(self, image: Array, layer: Layer) -> None:
        """Cast the shadow of a layer, away from the lamp."""
        reach = math.ceil(2 * layer.thick) + 1
        covers = Image.fromarray((255 * np.pad(layer.opacity, reach)).astype(np.uint8))
        soft = np.asarray(covers.filter(ImageFilter.BoxBlur(layer.thick / 2)), np.float32)
        row = layer.corner[0] - reach + round(layer.thick * math.sin(self.lamp.angle))
        column = layer.corner[1] - reach + round(layer.thick * math.cos(self.lamp.angle))
        top, left = max(0, -row), max(0, -column)
        part = image[:, max(0, row) : row + soft.shape[0], max(0, column) : column + soft.shape[1]]
        soft = soft[top : top + part.shape[1], left : left + part.shape[2]]
        part *= 1 - np.float32(self.shadow / 255) * soft

    def product(self) -> Mask:
        """Return where the product is."""
        covered = np.full((SIZE, SIZE), self.whole)
        for layer in self.layers:
            covered[layer.window] |= (layer.opacity > 0.5) & (layer.role != CRUMB)
        return covered

    def of_role(self, *roles: str) -> list[int]:
        """Return the places of the layers that have one of some roles and can be seen."""
        return [
            place
            for place, layer in enumerate(self.layers)
            if layer.role in roles and layer.opacity.max(initial=0) > 0.5
        ]

    def with_layers(self, layers: Sequence[Layer]) -> Piece:
        """Return the piece with other layers."""
        return replace(self, layers=tuple(layers))


def finished(scene: Scene) -> Piece:
    """Return the piece that a scene has become."""
    return Piece(scene.ground, tuple(scene.layers), scene.whole, scene.lamp, scene.habits.shadow)
