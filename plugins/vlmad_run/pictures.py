"""Pictures for people: the image with its hottest region outlined, and the heat map beside it."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from vlmad.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Bool, Float, UInt8, UInt16

LONGEST_SIDE, ENLARGED = 640, 256
"""Of the image in the picture; a smaller one is enlarged by a whole factor to at least that."""
CAPTION_HEIGHT = 28
GAP = 8
BAR_WIDTH, BAR_LABELS = 12, 72
LETTER = 14
LEAST_CLOSE_UP = 48
"""Pixels of an image that a close-up shows at least, across and down."""
STRENGTH = 0.75
"""How opaque the heat map is at its hottest; where it is cold the image shows, in grey."""
PALETTE = Path(__file__).parent / "inferno.png"
"""The 256 colours of that colour map of matplotlib (CC0), which need no matplotlib to be read."""
OUTLINED = 0.5
"""Where on the colour scale the outline of the hottest region runs."""
DIMMED, STRIPES = 0.35, 8
"""How bright what does not count still is, and how far apart its stripes are in pixels."""
LINE = 2
"""How wide its dark and its light line are in pixels: one of them shows on any background."""


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


def shared_range(ranges: Iterable[tuple[float, float]]) -> Range:
    """Return the values that the colours of several pictures span, of the ranges of their maps.

    From the median of the lowest values to the highest of all: the noise of a good part stays dark
    beside a defect.
    """
    lows, highs = zip(*ranges, strict=True)
    return Range(float(np.median(lows)), max(highs))


def draw_overlay(
    image: Image.Image,
    heat: Float[np.ndarray, "H W"],
    scale: Range,
    caption: str,
    name: str = "",
    inside: Bool[np.ndarray, "H W"] | None = None,
) -> Image.Image:
    """Return the image (RGB) and, beside it, the image under its heat map, with a caption.

    Where it is not `inside`, it is dark and hatched.

    On the image an outline runs where the map passes the middle of the colour scale. The
    beginning of `name`, which ends the caption, is cut off where it is too long.
    """
    small = _fit(image)
    width, height = small.size
    full_width = 2 * (width + GAP) + BAR_WIDTH + BAR_LABELS
    picture = Image.new("RGB", (full_width, height + CAPTION_HEIGHT), "white")
    hot = _shrink(heat, small.size, scale)
    shown = (outline(small, hot), _blend(small, hot))
    if inside is not None:
        shown = (hatch(shown[0], inside), hatch(shown[1], inside))
    picture.paste(shown[0], (0, CAPTION_HEIGHT))
    picture.paste(shown[1], (width + GAP, CAPTION_HEIGHT))
    _draw_bar(picture, 2 * (width + GAP), scale)
    _write(picture, (4, 6), caption, name)
    return picture


def _fit(image: Image.Image) -> Image.Image:
    """Return an image at the size that it has in a picture."""
    factor = -(-ENLARGED // max(image.size))
    if factor > 1:
        return ImageOps.scale(image, factor, Image.Resampling.NEAREST)
    small = image.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return small


def paint(image: Image.Image, heat: Float[np.ndarray, "H W"], scale: Range) -> Image.Image:
    """Return an image in grey under its heat map, which is brought to the image's size."""
    return _blend(image, _shrink(heat, image.size, scale))


def outline(image: Image.Image, hot: Float[np.ndarray, "h w"]) -> Image.Image:
    """Return an image with an outline around what lies above the middle of the colour scale.

    `hot` is where on the scale each pixel lies, 0 to 1.
    """
    inside = hot >= OUTLINED
    outlined = image.copy()
    outlined.paste("black", mask=Image.fromarray(_grown(inside) & ~inside))
    outlined.paste("white", mask=Image.fromarray(inside & _grown(~inside)))
    return outlined


def _grown(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return a mask with the pixels that are up to `LINE` steps along rows and columns away."""
    for _ in range(LINE):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def close_up(mask: Bool[np.ndarray, "H W"]) -> tuple[int, int, int, int]:
    """Return a box (left, top, right, bottom): a square around what is marked, within the image."""
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    height, width = mask.shape
    side = max(LEAST_CLOSE_UP, 3 * (int(max(np.ptp(rows), np.ptp(columns))) + 1) // 2)
    left = max(0, min(int(columns[0] + columns[-1] - side) // 2, width - side))
    top = max(0, min(int(rows[0] + rows[-1] - side) // 2, height - side))
    return left, top, min(width, left + side), min(height, top + side)


def hatch(image: Image.Image, inside: Bool[np.ndarray, "H W"]) -> Image.Image:
    """Return an image that is dark and hatched where it does not count."""
    outside = Image.fromarray(~inside).resize(image.size, Image.Resampling.NEAREST)
    rows, columns = np.indices((image.height, image.width))
    stripes = Image.fromarray((rows + columns) % STRIPES == 0)
    dark = image.point([round(DIMMED * level) for level in range(256)] * 3)
    dark.paste("grey", mask=stripes)
    return Image.composite(dark, image, outside)


def _shrink(
    heat: Float[np.ndarray, "H W"], size: tuple[int, int], scale: Range
) -> Float[np.ndarray, "h w"]:
    """Return a map at a picture's size, as shares of the colour scale."""
    shrunk = Image.fromarray(heat.astype(np.float32, copy=False)).resize(size)
    return scale.share(np.asarray(shrunk))


def _blend(image: Image.Image, hot: Float[np.ndarray, "h w"]) -> Image.Image:
    opacity = Image.fromarray((hot * 255).astype(np.uint8))
    opacity = opacity.point([round(STRENGTH * level) for level in range(256)])
    return Image.composite(_coloured(hot), image.convert("L").convert("RGB"), opacity)


@functools.cache
def _palette() -> UInt8[np.ndarray, "256 3"]:
    with Image.open(PALETTE) as colours:
        palette: UInt8[np.ndarray, "256 3"] = np.asarray(colours.convert("RGB"))[0]
    return palette


def _coloured(hot: Float[np.ndarray, "h w"]) -> Image.Image:
    return Image.fromarray(_palette()[(hot * 255).astype(np.uint8)])


def _draw_bar(picture: Image.Image, left: int, scale: Range) -> None:
    """Draw the colours from high to low with the values at both ends and of the outline."""
    top, height = CAPTION_HEIGHT, picture.height - CAPTION_HEIGHT
    falling = np.linspace(1, 0, height)[:, None].repeat(BAR_WIDTH, axis=1)
    picture.paste(_coloured(falling), (left, top))
    beside, end = left + BAR_WIDTH + 4, picture.height - LETTER - 4
    _write(picture, (beside, top), f"{scale.high:.3g}")
    if height < 4 * LETTER:
        return
    _write(picture, (beside, end), f"{scale.low:.3g}")
    middle = top + round((1 - OUTLINED) * (height - 1))
    line = Image.new("RGB", (BAR_WIDTH + 3, 2 * LINE), "black")
    line.paste("white", (0, 0, BAR_WIDTH, LINE))
    picture.paste(line, (left, middle - LINE))
    value = scale.low + OUTLINED * (scale.high - scale.low)
    _write(picture, (beside, middle - LETTER // 2 - 2), f"{value:.3g}")


def _write(picture: Image.Image, place: tuple[int, int], line: str, name: str = "") -> None:
    """Write a line and a name, of which as much as fits is shown, its end rather than its start."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(LETTER)
    text, room = f"{line}  {name}" if name else line, picture.width - place[0]
    while name and draw.textlength(_printed(text), font) > room:
        name = name[1:]
        text = f"{line}  …{name}"
    draw.text(place, _printed(text), fill="black", font=font)


def _printed(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def jpeg(picture: Image.Image) -> bytes:
    """Return a picture for people as the bytes of a JPEG file, its colours as sharp as its greys.

    As PNG a photograph takes twenty times as long, and seven times the room.
    """
    return _saved(picture, "JPEG", quality=90, subsampling="4:4:4")


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    return _saved(image, "PNG", compress_level=1)  # twice as fast as 3, and hardly larger


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def to_16_bits(heat: Float[np.ndarray, "H W"]) -> tuple[UInt16[np.ndarray, "H W"], Range]:
    """Return a map as 16-bit numbers and the values that 0 and 65535 stand for."""
    scale = Range(float(heat.min()), float(heat.max()))
    return np.rint(scale.share(heat) * 65535).astype(np.uint16), scale


def read_map(path: Path, scale: Range) -> Float[np.ndarray, "H W"]:
    """Return the map that `to_16_bits` made and a run stored in a file.

    Raises:
        OutputError: the file is not there, damaged, or of something else.
    """
    try:
        with Image.open(path, formats=["PNG"]) as stored:
            if not stored.mode.startswith("I"):
                raise ValueError("it has no 16 bits")
            levels = np.asarray(stored).astype(np.uint16)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        run = path.parent.parent
        raise OutputError(f"{path} is damaged, or no map; delete {run} and go on") from error
    return from_16_bits(levels, scale)


def from_16_bits(stored: UInt16[np.ndarray, "H W"], scale: Range) -> Float[np.ndarray, "H W"]:
    """Return the map that `to_16_bits` stored, to a 65535th of its range."""
    heat: Float[np.ndarray, "H W"] = stored * np.float32((scale.high - scale.low) / 65535)
    heat += np.float32(scale.low)
    return heat
