"""Changes of colour, as augmentations have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8


def jitter(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast, saturation (times 1 ± amount) and hue (a turn of ± amount)."""
    factors = 1 + rng.uniform(-amount, amount, 3)
    for enhance, factor in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
    ):
        image = enhance(image).enhance(float(factor))
    return turn_hue(image, float(rng.uniform(-amount, amount)))


def turn_hue(image: Image.Image, by: float, saturation: float = 1) -> Image.Image:
    """Turn the hue by a share of the circle, and multiply the saturation."""
    values = np.array(image.convert("HSV"))
    values[..., 0] = (values[..., 0].astype(int) + round(by * 256)) % 256
    values[..., 1] = np.clip(values[..., 1] * saturation, 0, 255)
    return Image.fromarray(values, "HSV").convert("RGB")


def to_levels(values: Float[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s"]:
    """Round to levels from 0 to 255."""
    levels: UInt8[np.ndarray, "*s"] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


def drawn_colour(rng: np.random.Generator, dull: float = 0.4) -> Float[np.ndarray, 3]:
    """Draw a colour, in levels; most are not as bright and pure as they could be."""
    grey = rng.uniform(25, 230)
    pure = rng.uniform(0, 255, 3)
    share = rng.beta(1.2, 1.6) * (1 - dull / 2)
    colour: Float[np.ndarray, 3] = grey + share * (pure - grey)
    return colour
