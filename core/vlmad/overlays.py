"""Pictures for people: the image, and beside it the image under its heat map."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8, UInt16

LONGEST_SIDE = 640
CAPTION_HEIGHT = 28
GAP = 8
BAR_WIDTH, BAR_LABELS = 12, 52
STRENGTH = 0.75
"""How opaque the heat map is at its hottest; where it is cold the image shows, in grey."""
COLOURS = "inferno"


class Range(NamedTuple):
    """The values of a map that its darkest and its brightest colour stand for."""

    low: float
    high: float

    def share(self, values: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
        """Return where in the range values lie, 0 to 1."""
        spread = self.high - self.low
        if not spread > 0:
            return np.zeros_like(values)
        return np.clip((values - self.low) / spread, 0, 1)


def draw_overlay(
    image: Image.Image, heat: Float[np.ndarray, "H W"], scale: Range, caption: str
) -> Image.Image:
    """Return the image and, beside it, the image under its heat map, with a caption.

    Args:
        image: RGB, of any size; the picture's longest side is bounded.
        heat: the map, of the same size.
        scale: the values that the colours span, the same for all images of a run.
        caption: one line.
    """
    small = image.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    width, height = small.size
    full_width = 2 * (width + GAP) + BAR_WIDTH + BAR_LABELS
    picture = Image.new("RGB", (full_width, height + CAPTION_HEIGHT), "white")
    picture.paste(small, (0, CAPTION_HEIGHT))
    picture.paste(paint(small, heat, scale), (width + GAP, CAPTION_HEIGHT))
    _draw_bar(picture, 2 * (width + GAP), scale)
    _write(picture, (4, 6), caption)
    return picture


def paint(
    image: Image.Image, heat: Float[np.ndarray, "H W"], scale: Range
) -> Image.Image:
    """Return an image in grey under its heat map, which is brought to the image's size."""
    hot = np.asarray(Image.fromarray(scale.share(heat).astype(np.float32)).resize(image.size))
    return _blend(np.asarray(image.convert("L")), hot)


def _blend(grey: UInt8[np.ndarray, "h w"], hot: Float[np.ndarray, "h w"]) -> Image.Image:
    opacity = (STRENGTH * hot)[..., None]
    blended = grey[..., None] * (1 - opacity) + _colours(hot) * opacity
    return Image.fromarray(blended.astype(np.uint8))


def _colours(hot: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s 3"]:
    from matplotlib import colormaps

    colours: Float[np.ndarray, "*s 3"] = colormaps[COLOURS](hot)[..., :3] * 255
    return colours


def _draw_bar(picture: Image.Image, left: int, scale: Range) -> None:
    """Draw the colours from high to low with the values at both ends."""
    height = picture.height - CAPTION_HEIGHT
    colours = _colours(np.linspace(1, 0, height)[:, None]).astype(np.uint8)
    bar = Image.fromarray(colours.repeat(BAR_WIDTH, axis=1))
    picture.paste(bar, (left, CAPTION_HEIGHT))
    beside = left + BAR_WIDTH + 4
    _write(picture, (beside, CAPTION_HEIGHT), f"{scale.high:.3g}")
    _write(picture, (beside, picture.height - 18), f"{scale.low:.3g}")


def _write(picture: Image.Image, place: tuple[int, int], line: str) -> None:
    """Write a line, its beginning cut off where it is too long."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    text = "".join(c if c.isprintable() else "?" for c in line)
    while len(text) > 1 and draw.textlength(text, font) > picture.width - place[0]:
        text = "…" + text[2:]
    draw.text(place, text, fill="black", font=font)


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def to_16_bits(heat: Float[np.ndarray, "H W"]) -> tuple[UInt16[np.ndarray, "H W"], Range]:
    """Return a map as 16-bit numbers and the values that 0 and 65535 stand for."""
    scale = Range(float(heat.min()), float(heat.max()))
    return np.rint(scale.share(heat) * 65535).astype(np.uint16), scale


def from_16_bits(stored: UInt16[np.ndarray, "H W"], scale: Range) -> Float[np.ndarray, "H W"]:
    """Return the map that `to_16_bits` stored, to a 65535th of its range."""
    return (scale.low + stored / 65535 * (scale.high - scale.low)).astype(np.float32)
