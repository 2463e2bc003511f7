"""Bringing images to a model's size, and maps back to the size and place of the original."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.types import Preprocessing, Resize, View

OVERLAP = 0.25
"""The share of a tile's side that its neighbour covers too."""
DEFAULT_TILES, MOST_TILES = 2, 24
"""Tiles along the shorter side where none are given, and the most along either."""
LONG = 2
"""From which ratio of its sides on a format is long: squashed, it would lose too much."""
SMALLEST_TILE = 16
"""Pixels of the original; in less there is nothing to see."""


class Box(NamedTuple):
    """A rectangle in pixels of an original; it may reach beyond the image."""

    left: float
    top: float
    right: float
    bottom: float


class Placement(Protocol):
    """Where an image lies, seen from the frame of a fixture."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of it, such as why the image is left as it is."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image."""

    def to_frame(self, image: Image.Image) -> Image.Image:
        """Return the RGB image as the frame has it."""

    def to_image(self, heat: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "H W"]:
        """Return a map of the frame as the image has it."""

    def around(self, box: Box) -> Box:
        """Return the smallest upright box in the image around a box in the frame."""


class Fixture(Protocol):
    """What brings images of a part to one place, before anything else looks at them."""

    @property
    def digest(self) -> str:
        """What tells it from any that places images elsewhere."""

    def place(self, image: Image.Image) -> Placement:
        """Find an RGB image."""


@dataclass(frozen=True, slots=True)
class Resizing:
    """How an image becomes one or several of the model's squares."""

    mode: Literal["squash", "pad", "tiles", "auto"] = "squash"
    """`squash` ignores the format, `pad` keeps it, `tiles` cuts the image into squares; `auto`
    does so with long formats and squashes others."""
    tiles: int = 0
    """Along the shorter side of the image."""

    def __str__(self) -> str:
        return f"{self.mode}:{self.tiles}" if self.mode == "tiles" else self.mode

    def places(self, size: tuple[int, int]) -> list[Box]:
        """Return the squares to cut from an image of this width and height; none if it is whole."""
        if self.mode == "auto":
            return tile_places(size, 1) if max(size) >= LONG * min(size) else []
        return tile_places(size, self.tiles) if self.mode == "tiles" else []

    @property
    def of_each(self) -> Resize:
        """How each of the squares is filled."""
        return "pad" if self.mode == "pad" else "squash"


def parse_resizing(text: str) -> Resizing:
    """Read ``squash``, ``pad``, ``auto``, ``tiles`` or ``tiles:N``, as a user writes it.

    Raises:
        InputError: it is something else.

    >>> str(parse_resizing("tiles"))
    'tiles:2'
    """
    mode, colon, count = text.partition(":")
    if mode == "tiles" and (not colon or (count.isdecimal() and 1 <= int(count) <= MOST_TILES)):
        return Resizing("tiles", int(count) if colon else DEFAULT_TILES)
    if mode in ("squash", "pad", "auto") and not colon:
        return Resizing(mode)  # type: ignore[arg-type]
    raise InputError(
        "resizing takes squash, pad, auto, tiles or tiles:N "
        f"(N from 1 to {MOST_TILES}), not '{text}'"
    )


def frame(size: tuple[int, int], target: tuple[int, int], resize: Resize) -> Box:
    """Return the part of an original that fills the model's image.

    Args:
        size: width and height of the original.
        target: height and width of the model's image.
        resize: `squash` fills it with the whole image, `pad` adds margins.
    """
    width, height = size
    if resize == "squash":
        return Box(0, 0, width, height)
    scale = max(width / target[1], height / target[0])
    # not below 0, where rounding would put a whole side a hair inside the image
    margin_x = max(0.0, (target[1] * scale - width) / 2)
    margin_y = max(0.0, (target[0] * scale - height) / 2)
    return Box(-margin_x, -margin_y, width + margin_x, height + margin_y)


def part_of(whole: Box, share: Sequence[float]) -> Box:
    """Return the box at these shares (top, left, bottom, right; 0 to 1) of another."""
    width, height = whole.right - whole.left, whole.bottom - whole.top
    top, left, bottom, right = share
    return Box(
        whole.left + left * width,
        whole.top + top * height,
        whole.left + right * width,
        whole.top + bottom * height,
    )


def _visible(size: tuple[int, int], box: Box, target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom, in target pixels, of what the image covers of a box."""
    sides = []
    for low, high, length, pixels in (
        (box.left, box.right, size[0], target[1]),
        (box.top, box.bottom, size[1], target[0]),
    ):
        start = round((max(low, 0) - low) / (high - low) * pixels)
        stop = round((min(high, length) - low) / (high - low) * pixels)
        start = min(start, pixels - 1)
        sides.append((start, max(stop, start + 1)))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def look(image: Image.Image, view: View) -> Image.Image:
    """Return an image mirrored and turned about its middle, in a frame of the same size.

    Quarter turns exchange width and height instead. What other turns bring into the frame is
    mirrored at its border.
    """
    if view.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    quarters, rest = divmod(view.degrees, 90)
    if not rest:
        turns = (None, *(Image.Transpose[f"ROTATE_{degrees}"] for degrees in (90, 180, 270)))
        turn = turns[int(quarters) % 4]
        return image if turn is None else image.transpose(turn)
    width, height = image.size
    margin = max(image.size)  # more than any corner moves
    wide = Image.fromarray(
        np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    ).rotate(view.degrees, Image.Resampling.BICUBIC)
    return wide.crop((margin, margin, margin + width, margin + height))


def resample(image: Image.Image, box: Box, preprocessing: Preprocessing) -> Float[Tensor, "3 h w"]:
    """Resample a box of an image to the model's size; margins get the mean colour."""
    import torch

    resample = Image.Resampling[preprocessing.interpolation.upper()]
    height, width = preprocessing.size
    left, top, right, bottom = _visible(image.size, box, preprocessing.size)
    inside = Box(
        max(box.left, 0),
        max(box.top, 0),
        max(min(box.right, image.width), 1),
        max(min(box.bottom, image.height), 1),
    )
    scaled = image.resize((right - left, bottom - top), resample, box=inside)
    if scaled.size != (width, height):
        margin = tuple(round(255 * value) for value in preprocessing.mean)
        canvas = Image.new("RGB", (width, height), margin)
        canvas.paste(scaled, (left, top))
        scaled = canvas
    levels = _normalised_levels(preprocessing)
    bands = [level[np.asarray(band)] for level, band in zip(levels, scaled.split(), strict=True)]
    return torch.from_numpy(np.stack(bands))


@functools.cache
def _normalised_levels(preprocessing: Preprocessing) -> Float[np.ndarray, "3 256"]:
    """Return what the levels of an 8-bit image become, for each colour."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    mean = np.array(preprocessing.mean, np.float32)[:, None]
    normalised: Float[np.ndarray, "3 256"] = levels - mean
    return normalised / np.array(preprocessing.std, np.float32)[:, None]


def restore_map(
    image: Float[Tensor, "h w"], size: tuple[int, int], resize: Resize
) -> Float[np.ndarray, "H W"]:
    """Bring a map at the model's size to an original of `size` (width, height)."""
    import torch.nn.functional as F

    target = (image.shape[0], image.shape[1])
    left, top, right, bottom = _visible(size, frame(size, target, resize), target)
    seen = image[None, None, top:bottom, left:right].float().cpu()
    restored = F.interpolate(seen, (size[1], size[0]), mode="bilinear")[0, 0]
    return restored.numpy()


def tile_places(size: tuple[int, int], tiles: int) -> list[Box]:
    """Return overlapping squares that together cover an image, row by row, in whole pixels.

    Args:
        size: width and height of the image.
        tiles: squares along its shorter side, fewer where they would have less than
            `SMALLEST_TILE` pixels to a side; as many more along the longer one as its format
            asks for, up to `MOST_TILES`, beyond which they grow longer.
    """
    tiles = min(tiles, max(1, min(size) // SMALLEST_TILE))
    side = min(size) / (tiles - (tiles - 1) * OVERLAP)
    columns, rows = (_intervals(length, side) for length in size)
    return [Box(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _intervals(length: int, side: float) -> list[tuple[int, int]]:
    count = math.ceil(round((length / side - OVERLAP) / (1 - OVERLAP), 6))
    count = min(max(count, 1), MOST_TILES)
    side = max(side, length / (count - (count - 1) * OVERLAP))
    starts = np.linspace(0, max(length - side, 0), count)
    return [(int(start), min(length, math.ceil(start + side))) for start in starts]


def join_maps(
    size: tuple[int, int], places: Sequence[Box], maps: Sequence[Float[np.ndarray, "h w"]]
) -> Float[np.ndarray, "H W"]:
    """Join the maps of overlapping tiles; where they overlap the nearer tile weighs more.

    Args:
        size: width and height of the whole.
        places: of the tiles, in whole pixels.
        maps: each of the size of its tile.
    """
    width, height = size
    total = np.zeros((height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    for place, heat in zip(places, maps, strict=True):
        left, top, right, bottom = map(int, place)
        near = _nearness(bottom - top)[:, None] * _nearness(right - left)
        total[top:bottom, left:right] += near * heat
        weight[top:bottom, left:right] += near
    joined: Float[np.ndarray, "H W"] = total / weight
    return joined


def _nearness(length: int) -> Float[np.ndarray, " n"]:
    """Return weights that fall from the middle of a tile towards its ends, never to zero."""
    steps = np.arange(length, dtype=np.float32) + 0.5
    nearness: Float[np.ndarray, " n"] = np.minimum(steps, length - steps)
    return nearness
