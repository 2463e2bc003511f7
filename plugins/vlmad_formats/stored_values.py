"""What a file states of its image and the values that it stores, and the kind of what reads them.

All formats say the same of a file's header, its values and its colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from vlmad.images import formats, read_by_format
from vlmad_formats.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from jaxtyping import Shaped
    from PIL import Image


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file states of its image."""

    size: tuple[int, int]
    """Width and height, upright."""
    orientation: int = 1
    """How the stored pixels are turned: 1 to 8, as EXIF numbers them; 1 is upright."""
    bits: int = 8
    """Of a stored value."""
    sample: Literal["unsigned", "signed", "float"] = "unsigned"
    range: tuple[float, float] | None = None
    """The values that are black and white, where the file states them."""
    white_is_zero: bool = False
    pages: int = 1
    lossy: bool = False
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read."""


@dataclass(frozen=True, slots=True)
class Raster:
    """An image's values as they are stored, upright."""

    pixels: Image.Image | Shaped[np.ndarray, "h w c"]
    """A PIL image, or an array of 1 or 3 colours, or 2 or 4 with alpha."""
    facts: ImageFacts
    profile: bytes | None = None
    """The ICC profile of its colours."""


class Format(Protocol):
    """Reads files of one family; whatever it raises means that the file is damaged."""

    endings: Collection[str]
    """Of its files, in lower case, with the dot."""

    def recognises(self, content: bytes | Image.Image) -> bool:
        """Tell by its first bytes whether a file is one of these; an image in memory is none."""

    def facts(self, content: bytes, reading: Reading) -> ImageFacts:
        """Return what a file states, without decoding its pixels if that is safe.

        Raises:
            InputError: it is refused.
        """

    def raster(self, content: bytes, reading: Reading) -> Raster:
        """Return the values of a file, and what `facts` returns.

        Raises:
            InputError: it is refused.
        """

    def image(self, content: bytes, reading: Reading | None) -> tuple[Image.Image, ImageFacts]:
        """Return a photograph in sRGB of 8 bits, as `vlmad_formats.rendering.Rendered` does.

        Raises:
            InputError: it is refused.
        """


@runtime_checkable
class StatesSize(Protocol):
    """A format whose files tell their size before it is known whether they are whole."""

    def size(self, content: bytes, reading: Reading) -> tuple[int, int]:
        """Return width and height as they are stored, without decoding any pixel.

        Raises:
            TooLarge: they are more than may be decoded.
        """


def read_size(path: Path, reading: Reading) -> tuple[int, int]:
    """Return what a file states of its size, which costs little memory whatever the size is."""

    def size(found: Format, content: bytes) -> tuple[int, int]:
        if isinstance(found, StatesSize):
            return found.size(content, reading)
        return found.facts(content, reading).size

    stated: tuple[int, int] = read_by_format(path, None, size)
    return stated


def read_facts(
    path: Path, content: bytes | None = None, reading: Reading | None = None
) -> ImageFacts:
    """Return what a file states, most of the time without decoding it; see `read_raster`."""
    how = reading or Reading()
    facts: ImageFacts = read_by_format(path, content, lambda f, data: f.facts(data, how))
    return facts


def read_raster(path: Path, content: bytes | None = None, reading: Reading | None = None) -> Raster:
    """Read a file's values as they are stored, upright; see `vlmad.images.decode`."""
    how = reading or Reading()
    raster: Raster = read_by_format(path, content, lambda f, data: f.raster(data, how))
    return raster


def endings() -> frozenset[str]:
    """Return the endings of all files that can be read: in lower case, with the dot."""
    return frozenset(ending for each in formats() for ending in each.endings)
