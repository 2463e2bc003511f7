"""What lies on a surface or colours it: stains, specks and discolouration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le
from PIL import Image

from vlmad_synthesis.colours import drawn_colour, turn_hue
from vlmad_synthesis.noise_fields import rough_noise
from vlmad_synthesis.spans import Shares, drawn_by_factor, drawn_from
from vlmad_synthesis.spots import draw_spot
from vlmad_synthesis.surface import Painting, cut_out

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from vlmad_synthesis.synthetic import Drawn


class Stain:
    """A spot of a dried liquid: the surface shows through, and the rim is darker.

    Args:
        radius: least and most, as shares of the image's size.
        opacity: least and most.
    """

    def __init__(self, radius: Shares = (0.04, 0.15), opacity: Shares = (0.5, 0.95)) -> None:
        self.radius, self.opacity = radius, opacity

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Tint a spot: a dark surface gets lighter, a light one darker."""
        painting = Painting(image)
        radius = max(1.5, drawn_by_factor(self.radius, rng) * painting.scale)
        spot = draw_spot(painting.place(rng), radius, rng, rng.uniform(0.2, 0.9), 3)
        shape = spot.depth.shape
        under, tint = painting.cut(spot.corner, shape), drawn_colour(rng, dull=1) / 255
        if under.mean() < 80:
            paint = under + (255 - under) * (0.2 + 0.4 * tint)
        else:
            paint = under * np.clip(tint, 0.1, 0.75)
        rim = np.exp(-np.square((spot.depth / radius - 0.08) / 0.07))
        uneven = 1 + 0.18 * rough_noise(shape, radius / 2, rng)
        opacity = spot.fading(0.1 * radius) * (0.7 * uneven + 0.45 * rim)
        opacity = opacity * drawn_from(self.opacity, rng) * painting.on_product(spot.corner, shape)
        painting.lay(paint, opacity, spot.corner)
        return painting.drawn()


class Specks:
    """Many small grains, scattered about a place.

    Args:
        most: grains, at most.
        radius: least and most, as shares of the image's size.
        spread: of the places, least and most, likewise.
    """

    def __init__(
        self,
        most: Annotated[int, Ge(1), Le(1000)] = 60,
        radius: Shares = (0.002, 0.009),
        spread: Shares = (0.03, 0.2),
    ) -> None:
        self.most, self.radius, self.spread = most, radius, spread

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Scatter grains of one colour and many sizes."""
        painting = Painting(image)
        middle, spread = painting.place(rng), drawn_by_factor(self.spread, rng) * painting.scale
        colour = _standing_out(image[painting.product][::7].mean(0), rng)
        for _ in range(int(drawn_by_factor((min(8, self.most), self.most), rng))):
            row, column = np.rint(rng.normal(middle, spread)).astype(int)
            radius = max(0.7, drawn_by_factor(self.radius, rng) * painting.scale)
            spot = draw_spot((int(row), int(column)), radius, rng, 0.6)
            opacity = spot.opacity * rng.uniform(0.6, 1)
            opacity = opacity * painting.on_product(spot.corner, opacity.shape)
            painting.lay(colour * rng.uniform(0.75, 1.25), opacity, spot.corner)
        return painting.drawn()


def _standing_out(
    surface: Float[np.ndarray, " 3"], rng: np.random.Generator
) -> Float[np.ndarray, " 3"]:
    """Draw a colour that is much darker or lighter than the surface."""
    light, most = float(surface.mean()), rng.uniform(0.55, 1)
    darker = light > 60 and rng.random() < light / 255 + 0.2
    level = light * rng.uniform(0.05, 0.45) if darker else light + (255 - light) * most
    colour: Float[np.ndarray, " 3"] = level + 0.25 * (drawn_colour(rng) - 128)
    return colour


class Colour:
    """A part of the surface in another colour; its structure stays.

    Args:
        radius: least and most, as shares of the image's size.
        hue: share of the circle by which it turns, least and most.
        brightness: share by which it is darker or lighter, least and most.
    """

    def __init__(
        self,
        radius: Shares = (0.07, 0.25),
        hue: Shares = (0.05, 0.5),
        brightness: Shares = (0.1, 0.4),
    ) -> None:
        self.radius, self.hue, self.brightness = radius, hue, brightness

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Turn the hue of a spot, and give what has none a tinge."""
        painting = Painting(image)
        radius = max(1.5, drawn_by_factor(self.radius, rng) * painting.scale)
        spot = draw_spot(painting.place(rng), radius, rng, rng.uniform(0.2, 0.8), 3)
        under = Image.fromarray(cut_out(image, spot.corner, spot.depth.shape))
        turn, factor = (
            drawn_from(span, rng) * float(rng.choice([-1, 1]))
            for span in (self.hue, self.brightness)
        )
        other = np.asarray(turn_hue(under, turn, float(rng.uniform(0.5, 1.6))), np.float32)
        paint = other * (1 + factor + rng.uniform(-0.18, 0.18, 3))
        opacity = spot.fading(rng.uniform(0.1, 0.6) * radius)
        painting.lay(paint, opacity * painting.on_product(spot.corner, opacity.shape), spot.corner)
        return painting.drawn()
