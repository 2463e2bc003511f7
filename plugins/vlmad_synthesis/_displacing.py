"""What is there, in the wrong place: warps and shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_synthesis.spans import Shares, drawn_by_factor, drawn_from
from vlmad_synthesis.surface import Painting, cut_out, seen_from

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from vlmad_synthesis.synthetic import Drawn

PLACES = 12
"""Of so many the one is taken where the image has most structure to displace."""


def _structured(painting: Painting, radius: float, rng: np.random.Generator) -> tuple[int, int]:
    """Return a place on the product about which there is something to displace."""
    places, reach = [painting.place(rng) for _ in range(PLACES)], max(1, round(radius / 2))
    spreads = []
    for row, column in places:
        rows, columns = (slice(max(0, at - reach), at + reach + 1) for at in (row, column))
        spreads.append(float(painting.image[rows, columns, 1].std()))
    return places[int(np.argmax(spreads))]


class Warp:
    """The structure of a round piece pushed aside, turned, or pulled together.

    Args:
        radius: least and most, as shares of the image's size.
        strength: how far, least and most, as shares of the radius.
    """

    def __init__(self, radius: Shares = (0.06, 0.2), strength: Shares = (0.2, 0.5)) -> None:
        self.radius, self.strength = radius, strength

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Displace within a circle, most in its middle and nothing at its edge."""
        painting = Painting(image)
        radius = max(2.0, drawn_by_factor(self.radius, rng) * painting.scale)
        middle, reach = _structured(painting, radius, rng), int(np.ceil(radius))
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        window = np.clip(1 - (rows**2 + columns**2) / radius**2, 0, 1) ** 2
        by = drawn_from(self.strength, rng) * float(rng.choice([-1, 1]))
        down, across = _displacement(rows, columns, radius, by, rng)
        corner = middle[0] - reach, middle[1] - reach
        places = rows + reach + window * down, columns + reach + window * across
        painting.lay(seen_from(painting.cut(corner, window.shape), *places), window > 0, corner)
        return painting.drawn()


def _displacement(
    rows: Float[np.ndarray, "a b"],
    columns: Float[np.ndarray, "a b"],
    radius: float,
    by: float,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "a b"], Float[np.ndarray, "a b"]]:
    """Return how far down and across: a push, a turn, or a pull to the middle."""
    form = rng.integers(3)
    if form == 0:
        angle, push = rng.uniform(0, 2 * np.pi), by * radius
        return np.full_like(rows, push * np.sin(angle)), np.full_like(rows, push * np.cos(angle))
    if form == 1:
        return by * 2.5 * columns, -by * 2.5 * rows
    return by * 1.6 * rows, by * 1.6 * columns


class Shift:
    """A strip of the image moved along itself, as where a weave or an assembly is out of line.

    Args:
        width: of the strip, least and most, as shares of the image's size.
        length: likewise.
        by: how far it is moved, likewise.
    """

    def __init__(
        self, width: Shares = (0.04, 0.16), length: Shares = (0.25, 0.8), by: Shares = (0.015, 0.06)
    ) -> None:
        self.width, self.length, self.by = width, length, by

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Move a strip of the product along rows or columns."""
        painting, turned = Painting(image), rng.random() < 0.5
        size, by = (
            [max(1, round(drawn_from(span, rng) * painting.scale)) for span in spans]
            for spans in ((self.width, self.length), (self.by,))
        )
        row, column = _structured(painting, painting.scale / 10, rng)
        way = np.array([0, by[0] * int(rng.choice([-1, 1]))])
        if turned:
            size, way = size[::-1], way[::-1]
        corner = row - size[0] // 2, column - size[1] // 2
        moved = cut_out(image, (corner[0] - int(way[0]), corner[1] - int(way[1])), tuple(size))
        painting.lay(moved.astype(np.float32), np.ones(tuple(size), np.float32), corner)
        return painting.drawn()
