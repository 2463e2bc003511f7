"""What people draw over images, as exact sets of pixels.

Coordinates are those of the plane that the pixels tile: pixel (x, y) is the square from there to
(x + 1, y + 1), so that the whole image reaches from (0, 0) to its width and height. A pixel is
marked where its centre lies inside, by the even-odd rule; so a polygon marks as many pixels as
its area, on average, and one drawn along the edges of pixels exactly as many. What has no area,
or too little to reach a centre, marks the pixels that its line runs through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal, TypeAlias

    from jaxtyping import Bool, Float

    Point: TypeAlias = tuple[float, float]
    """x from the left and y from the top, in pixels."""
    Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """One thing drawn over an image."""

    place: str
    """Where it stands in its file."""
    label: str
    draw: Callable[[Canvas], None]
    coarse: str = ""
    """What it is, where that says less than an outline: a box, a line, a point."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that a label file says of one image."""

    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    """Width and height that the file states for its image."""

    def mask(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """Return the pixels that any shape marks.

        Args:
            size: width and height of the image; the file may state it on its side.

        Raises:
            InputError: the file is for another size, or a shape makes no sense.
        """
        stated = self.size or size
        if stated not in (size, size[::-1]):
            width, height = stated
            what = f"drawn over {width} x {height} pixels, its image has {size[0]} x {size[1]}"
            raise InputError(what)
        canvas = Canvas(stated)
        for shape in self.shapes:
            try:
                shape.draw(canvas)
            except InputError as error:
                raise InputError(f"{shape.place} '{one_line(shape.label)}' {error}") from error
        return canvas.marked


class Canvas:
    """The pixels of one image, and which of them are marked.

    Args:
        size: width and height.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.marked: Bool[np.ndarray, "H W"] = np.zeros((self.height, self.width), bool)

    def polygon(self, points: Sequence[Point]) -> None:
        """Mark what lies inside of a closed line."""
        corners = self._checked(points)
        left, top = (max(0, _first(value)) for value in corners.min(axis=0))
        right = min(self.width, _first(corners[:, 0].max()))
        bottom = min(self.height, _first(corners[:, 1].max()))
        width, height = max(0, right - left), max(0, bottom - top)
        crossed = np.zeros((height, width + 1), bool)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            rows = np.arange(max(top, _first(min(y0, y1))), min(bottom, _first(max(y0, y1))))
            if rows.size:
                x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
                columns = np.clip(np.ceil(x - 0.5) - left, 0, width).astype(int)
                crossed[rows - top, columns] ^= True
        inside = np.logical_xor.accumulate(crossed[:, :-1], axis=1)
        if inside.any():
            self.marked[top : top + height, left : left + width] |= inside
        else:
            self.line([*points, points[0]])

    def box(self, one: Point, other: Point, degrees: float = 0) -> None:
        """Mark a rectangle between two corners, turned clockwise around its middle."""
        (x0, y0), (x1, y1) = self._checked([one, other])
        across, down = _turned(degrees)
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        sides = across * ((x1 - x0) / 2), down * ((y1 - y0) / 2)
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        corners = [middle + a * sides[0] + b * sides[1] for a, b in signs]
        self.polygon([(float(x), float(y)) for x, y in corners])

    def ellipse(self, middle: Point, radii: Point, degrees: float = 0) -> None:
        """Mark an ellipse, turned clockwise; its radii are half of its axes."""
        (cx, cy), (rx, ry) = self._checked([middle, radii])
        if not min(rx, ry) > 0:
            raise InputError("has no area")
        reach = max(rx, ry)
        x = np.arange(max(0, _first(cx - reach)), min(self.width, _first(cx + reach)))
        y = np.arange(max(0, _first(cy - reach)), min(self.height, _first(cy + reach)))
        across, down = _turned(degrees)
        dx, dy = (x + 0.5 - cx)[None, :], (y + 0.5 - cy)[:, None]
        along, beside = dx * across[0] + dy * across[1], dx * down[0] + dy * down[1]
        inside = (along / rx) ** 2 + (beside / ry) ** 2 <= 1
        if not inside.any():
            return self.line([middle])
        self.marked[y[0] : y[-1] + 1, x[0] : x[-1] + 1] |= inside

    def line(self, points: Sequence[Point]) -> None:
        """Mark the pixels that a line from point to point runs through, or a single point's."""
        corners = self._checked(points)
        steps = [corners[:1]]
        for start, end in pairwise(corners):
            count = 4 * math.ceil(np.abs(end - start).max()) + 1
            steps.append(np.linspace(start, end, count + 1))
        walked = np.concatenate(steps)
        size = np.array([self.width, self.height])
        walked = walked[((walked >= 0) & (walked <= size)).all(axis=1)]
        if not len(walked):
            raise self._outside()
        x, y = np.minimum(np.floor(walked), size - 1).astype(int).T
        self.marked[y, x] = True

    def runs(self, lengths: Sequence[int], box: Box, order: Literal["C", "F"]) -> None:
        """Mark every second run of pixels, the first being unmarked.

        Args:
            lengths: of the runs; together all pixels of the box.
            box: left, top, width and height of what the runs fill.
            order: "C" where they go along rows, "F" along columns.
        """
        left, top, width, height = box
        if min(lengths, default=0) < 0 or sum(lengths) != width * height:
            raise InputError(f"has runs that do not fill {width} x {height} pixels")
        self.check_inside(left, top, width, height)
        flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        self.paste(flat.reshape((height, width), order=order), left, top)

    def paste(self, marked: Bool[np.ndarray, "h w"], left: int, top: int) -> None:
        """Mark what another mask marks, of which the upper left pixel lies there."""
        height, width = marked.shape
        self.check_inside(left, top, width, height)
        self.marked[top : top + height, left : left + width] |= marked

    def _checked(self, points: Sequence[Point]) -> Float[np.ndarray, "n 2"]:
        """Return points as an array.

        Raises:
            InputError: there are none, or they lie far away from the image.
        """
        if not points:
            raise InputError("has no points")
        corners = np.array(points, float)
        size = np.array([self.width, self.height])
        if not ((corners >= -size) & (corners <= 2 * size)).all():  # nor where one is not a number
            raise self._outside()
        return corners

    def check_inside(self, left: int, top: int, width: int, height: int) -> None:
        """Raise an `InputError` if a box of pixels is empty or not all within the image."""
        right, bottom = left + width, top + height
        if not (0 <= left < right <= self.width and 0 <= top < bottom <= self.height):
            raise self._outside()

    def _outside(self) -> InputError:
        return InputError(f"lies outside of the image of {self.width} x {self.height} pixels")


def _first(position: float) -> int:
    """Return the first pixel whose centre is at or beyond a position."""
    return math.ceil(position - 0.5)


def _turned(degrees: float) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Return the directions of a shape's width and height once it was turned clockwise."""
    if not math.isfinite(degrees):
        raise InputError("is turned by no number")
    angle = math.radians(degrees)
    across = np.array([math.cos(angle), math.sin(angle)])
    return across, np.array([-across[1], across[0]])
