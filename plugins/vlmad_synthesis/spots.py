"""Spots and strokes: the outlines of what is drawn, as fields on a piece of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from vlmad_synthesis.noise_fields import rough_noise

if TYPE_CHECKING:
    from jaxtyping import Float

FINER = 4
"""So many times finer than pixels are strokes drawn, before they are averaged."""
MARGIN = 1.5
"""How far the field of a spot goes beyond its outline, in radii."""


class Spot(NamedTuple):
    """What is inside of an outline and how deep, on a piece of an image."""

    depth: Float[np.ndarray, "a b"]
    """How far inside of the outline a pixel lies, in pixels; negative outside."""
    corner: tuple[int, int]
    """Row and column of the image at which the field begins."""
    radius: float

    @property
    def opacity(self) -> Float[np.ndarray, "a b"]:
        """1 inside, 0 outside, between them on the outline."""
        return self.fading(1)

    def fading(self, over: float) -> Float[np.ndarray, "a b"]:
        """Return an opacity that rises from the outline inwards over so many pixels, smoothly."""
        share = np.clip(self.depth / max(over, 1) + (0.5 if over <= 1 else 0), 0, 1)
        smooth: Float[np.ndarray, "a b"] = share * share * (3 - 2 * share)
        return smooth


def draw_spot(
    centre: tuple[int, int],
    radius: float,
    rng: np.random.Generator,
    rough: float = 0.3,
    octaves: int = 4,
) -> Spot:
    """Draw a spot that is longer than wide and whose outline is irregular.

    Args:
        centre: row and column in the image.
        radius: pixels, on average over directions.
        rng: where all chance comes from.
        rough: how irregular the outline is; 0 is an ellipse.
        octaves: how fine its irregularities are: 1 is a smooth outline, 4 a frayed one.
    """
    reach = max(2, int(np.ceil(radius * MARGIN * 1.3)) + 1)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    turn, longer = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 0.4))
    along = np.cos(turn) * columns + np.sin(turn) * rows
    across = np.cos(turn) * rows - np.sin(turn) * columns
    away = np.hypot(along / longer, across * longer)
    if rough:
        away = away + radius * rough * 0.35 * rough_noise(away.shape, max(radius, 2), rng, octaves)
    return Spot(radius - away, (centre[0] - reach, centre[1] - reach), radius)


def draw_stroke(
    points: Float[np.ndarray, "n 2"],
    widths: Float[np.ndarray, " n"],
    strength: Float[np.ndarray, " n"] | None = None,
) -> tuple[Float[np.ndarray, "a b"], tuple[int, int]]:
    """Draw a line through points (row, column); return its opacity and where that begins.

    Args:
        points: close to each other.
        widths: pixels, at each point.
        strength: opacity at each point.
    """
    least = np.floor(points.min(0) - widths.max() - 2).astype(int)
    most = np.ceil(points.max(0) + widths.max() + 2).astype(int)
    height, width = (most - least).tolist()
    canvas = Image.new("L", (width * FINER, height * FINER))
    draw, fine = ImageDraw.Draw(canvas), ((points - least + 0.5) * FINER)[:, ::-1]
    levels = np.full(len(points), 255) if strength is None else np.rint(255 * strength)
    for index in range(len(points) - 1):
        (x, y), thick = fine[index], max(1.0, widths[index] * FINER)
        fill = int(levels[index])
        draw.line([x, y, *fine[index + 1]], fill=fill, width=round(thick))
        if thick > 2:
            draw.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=fill)
    thin = canvas.reduce(FINER)
    return np.asarray(thin, np.float32) / 255, (int(least[0]), int(least[1]))
