"""Lines: scratches, cracks and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le
from scipy import ndimage

from vlmad_synthesis.colours import drawn_colour
from vlmad_synthesis.spans import Shares, Span, drawn_by_factor, drawn_from
from vlmad_synthesis.spots import draw_stroke
from vlmad_synthesis.surface import Painting

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from vlmad_synthesis.synthetic import Drawn

DARK = 70
"""Levels below which a surface is dark, so that damage to it is lighter."""


class Scratch:
    """Thin, nearly straight lines, light on the one side and dark on the other like a groove.

    Args:
        length: least and most, as shares of the image's size.
        width: least and most, likewise.
        most: lines beside each other, at most.
        contrast: levels by which a line differs from the surface, least and most.
    """

    def __init__(
        self,
        length: Shares = (0.12, 0.55),
        width: Shares = (0.0025, 0.007),
        most: Annotated[int, Ge(1), Le(20)] = 3,
        contrast: Span = (50, 120),
    ) -> None:
        self.length, self.width, self.most, self.contrast = length, width, most, contrast

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Draw lines of nearly one direction."""
        painting = Painting(image)
        start, angle = painting.place(rng), rng.uniform(0, np.pi)
        level = painting.image[start].mean()
        lighter = rng.random() < 0.5 + (128 - level) / 160
        contrast = drawn_from(self.contrast, rng) * (1 if lighter else -1)
        for _ in range(rng.integers(1, self.most + 1)):
            middle = start + rng.normal(0, 0.02 * painting.scale, 2)
            length = drawn_from(self.length, rng) * painting.scale
            line = _bent(middle, length, angle + rng.normal(0, 0.05), rng.normal(0, 0.12))
            width = max(0.8, drawn_by_factor(self.width, rng) * painting.scale)
            _groove(painting, line, width, contrast, rng)
        return painting.drawn()


def _groove(
    painting: Painting,
    line: Float[np.ndarray, "n 2"],
    width: float,
    contrast: float,
    rng: np.random.Generator,
) -> None:
    """Draw one line: its pressure wavers, its ends are thin, and beside it lies a shadow."""
    ends = np.sin(np.linspace(0, np.pi, len(line))) ** 0.4
    pressure = np.clip(ends * (0.8 + 0.25 * _waver(len(line), rng, 5)), 0, 1)
    beside = np.array([0.8, 0.6]) * max(1, width)
    for offset, strength in ((beside, -0.35), (0, 1.0)):
        opacity, corner = draw_stroke(line + offset, width * (0.3 + 0.7 * ends), pressure)
        paint = painting.cut(corner, opacity.shape) + strength * contrast
        painting.lay(paint, opacity * painting.on_product(corner, opacity.shape), corner)


class Crack:
    """A dark jagged line that branches and gets thinner.

    Args:
        length: least and most, as shares of the image's size.
        width: at its widest, least and most, likewise.
        branching: how many branches leave it, on average.
    """

    def __init__(
        self,
        length: Shares = (0.2, 0.7),
        width: Shares = (0.0035, 0.011),
        branching: Annotated[float, Ge(0), Le(20)] = 2.5,
    ) -> None:
        self.length, self.width, self.branching = length, width, branching

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Let a crack run across the product."""
        painting = Painting(image)
        length = drawn_from(self.length, rng) * painting.scale
        width = max(1.0, drawn_by_factor(self.width, rng) * painting.scale)
        middle, angle = painting.place(rng), rng.uniform(0, 2 * np.pi)
        start = np.array(middle) - length / 2 * np.array([np.sin(angle), np.cos(angle)])
        depth, dark = float(rng.uniform(0.08, 0.3)), painting.image[middle].mean() < DARK
        for line, widest in self._branches(start, angle, length, width, rng):
            widths = widest * np.linspace(1, 0.25, len(line)) * rng.uniform(0.6, 1.2, len(line))
            opacity, corner = draw_stroke(line, widths)
            under = painting.cut(corner, opacity.shape)
            paint = under + 70 if dark else under * depth
            painting.lay(paint, opacity * painting.on_product(corner, opacity.shape), corner)
        return painting.drawn()

    def _branches(
        self,
        start: Float[np.ndarray, " 2"],
        angle: float,
        length: float,
        width: float,
        rng: np.random.Generator,
    ) -> list[tuple[Float[np.ndarray, "n 2"], float]]:
        """Return the points of the crack and its branches, each with its width."""
        main = _jagged(start, angle, length, width, rng)
        lines = [(main, width)]
        for _ in range(rng.poisson(self.branching)):
            place = int(rng.integers(len(main)))
            off = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
            branch = _jagged(main[place], off, length * rng.uniform(0.1, 0.4), width, rng)
            lines.append((branch, width * float(rng.uniform(0.4, 0.75))))
        return lines


class Thread:
    """A fibre of a colour of its own that lies on the product and casts a shadow.

    Args:
        length: least and most, as shares of the image's size.
        width: least and most, likewise.
    """

    def __init__(self, length: Shares = (0.25, 0.9), width: Shares = (0.004, 0.011)) -> None:
        self.length, self.width = length, width

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Lay the thread down: first its shadow, then itself, then the light on it."""
        painting = Painting(image)
        width = max(1.0, drawn_by_factor(self.width, rng) * painting.scale)
        line = _curled(painting.place(rng), drawn_from(self.length, rng) * painting.scale, rng)
        widths, beside = np.full(len(line), width), np.array([0.7, 0.7]) * width
        colour = _far_from(image, rng)
        opacity, corner = draw_stroke(line + beside, widths * 1.2)
        soft = ndimage.gaussian_filter(opacity, width / 2) * 0.55
        soft[soft < 0.03] = 0
        painting.lay(painting.cut(corner, soft.shape) * 0.35, soft, corner)
        opacity, corner = draw_stroke(line, widths)
        twist = 1 + 0.12 * rng.standard_normal((*opacity.shape, 1))
        painting.lay(colour * twist, opacity, corner)
        opacity, corner = draw_stroke(line - beside * 0.3, widths * 0.35)
        painting.lay(colour + 0.45 * (255 - colour), opacity * 0.8, corner)
        return painting.drawn()


def _bent(
    middle: Float[np.ndarray, " 2"], length: float, angle: float, bend: float, steps: int = 60
) -> Float[np.ndarray, "n 2"]:
    """Return the points of a slightly bent line about a middle."""
    along = np.linspace(-0.5, 0.5, steps)[:, None]
    way = np.array([np.sin(angle), np.cos(angle)])
    aside = bend * (0.25 - along**2) * np.array([way[1], -way[0]])
    points: Float[np.ndarray, "n 2"] = middle + length * (along * way + aside)
    return points


def _jagged(
    start: Float[np.ndarray, " 2"],
    angle: float,
    length: float,
    width: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n 2"]:
    """Return the points of a walk that keeps its direction on the whole, not at each step."""
    step = max(2.0, 2 * width, length / 60)
    count = max(2, round(length / step))
    headings = angle + rng.normal(0, 0.5, count) + 0.25 * _waver(count, rng, 4)
    ways = np.stack([np.sin(headings), np.cos(headings)], 1)
    steps = step * rng.uniform(0.4, 1.6, (count, 1)) * ways
    walk: Float[np.ndarray, "n 2"] = np.concatenate([start[None], start + np.cumsum(steps, 0)])
    return walk


def _curled(
    middle: tuple[int, int], length: float, rng: np.random.Generator
) -> Float[np.ndarray, "n 2"]:
    """Return the points of a line that bends this way and that."""
    count = max(8, int(length / 2))
    bends = rng.uniform(0.8, 2.5) * _waver(count, rng, count / 8) * 2 * np.pi / count
    headings = rng.uniform(0, 2 * np.pi) + np.cumsum(bends)
    ways = np.stack([np.sin(headings), np.cos(headings)], 1)
    walk = np.cumsum(ways * length / count, 0)
    points: Float[np.ndarray, "n 2"] = np.array(middle) + walk - walk[count // 2]
    return points


def _waver(count: int, rng: np.random.Generator, over: float) -> Float[np.ndarray, " n"]:
    """Return a line of smooth noise of spread about 1, smooth over so many points."""
    noise = ndimage.gaussian_filter1d(rng.standard_normal(count), over, mode="wrap")
    waver: Float[np.ndarray, " n"] = noise * np.sqrt(2 * over * np.sqrt(np.pi))
    return waver


def _far_from(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> Float[np.ndarray, " 3"]:
    """Draw a colour that stands out: of four, the one farthest from the image's."""
    mean = image[::4, ::4].reshape(-1, 3).mean(0)
    colours = [drawn_colour(rng) for _ in range(4)]
    return max(colours, key=lambda colour: float(np.abs(colour - mean).sum()))
