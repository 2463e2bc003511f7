"""From the values that a file holds to the 8-bit RGB that a model sees; see `Rendered`."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

from vlmad.errors import InputError
from vlmad_formats.reading import Reading
from vlmad_formats.stored_values import ImageFacts, Raster

if TYPE_CHECKING:
    from jaxtyping import Shaped, UInt8

WHITE = {"integer": (255, 1023, 4095, 16383, 65535), "float": (1, 255, 1023, 4095, 16383, 65535)}
"""What may be white where a file states nothing."""
OUTLIERS = 0.001
"""The share of pixels that may lie beyond it: hot pixels, reflections."""
ALIKE = 2
"""Levels by which the conversion of a profile may change a colour that is sRGB all the same."""


class Rendered(ABC):
    """What makes a format of something that gives rasters; to be derived from."""

    @abstractmethod
    def raster(self, content: Any, reading: Reading) -> Raster:
        """Return the values of a file; see `vlmad_formats.stored_values.Format`."""

    def image(self, content: Any, reading: Reading | None) -> tuple[Image.Image, ImageFacts]:
        """Return a photograph in sRGB of 8 bits, and its facts."""
        reading = reading or Reading()
        return to_rgb(self.raster(content, reading), reading)


class Memory(Rendered):
    """Pillow's images, as what a file of them would hold."""

    endings = frozenset[str]()

    def recognises(self, content: Any) -> bool:
        """Tell whether it is an image and no file."""
        return isinstance(content, Image.Image)

    def facts(self, content: Image.Image, reading: Reading) -> ImageFacts:
        """Return what is known of an image."""
        return raster_of(content).facts

    def raster(self, content: Image.Image, reading: Reading) -> Raster:
        """Return its values."""
        return raster_of(content)


def raster_of(image: Image.Image) -> Raster:
    """Return an image in memory as what a file of it would hold."""
    deep = image.mode.startswith("I") or image.mode == "F"
    if not deep:
        return Raster(image, ImageFacts(image.size))
    values = np.asarray(image)[..., None]
    if image.mode == "F":
        return Raster(values, ImageFacts(image.size, bits=32, sample="float"))
    # Pillow keeps 16 bits of any file in 32
    return Raster(values.clip(0, 65535).astype(np.uint16), ImageFacts(image.size, bits=16))


def to_rgb(raster: Raster, reading: Reading) -> tuple[Image.Image, ImageFacts]:
    """Return an image in sRGB of 8 bits, and its facts with what there is to say of it.

    What is partly transparent is laid on white; where all is transparent, the colours count.

    Raises:
        InputError: no range of values fits them.
    """
    notes = list(raster.facts.notes)
    image = raster.pixels
    if not isinstance(image, Image.Image):
        image = _to_8_bits(image, raster.facts, reading, notes)
    if raster.profile is not None:
        image = _to_srgb(image, raster.profile, notes)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() == (0, 0):
            notes.append("transparent throughout: its colours count")
        else:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB"), replace(raster.facts, notes=tuple(notes))


def white_of(values: Shaped[np.ndarray, "h w c"]) -> float:
    """Return the smallest usual white that hardly any value exceeds."""
    known = values[np.isfinite(values)]
    usual = WHITE["float" if values.dtype.kind == "f" else "integer"]
    fits = (white for white in usual if np.count_nonzero(known > white) <= OUTLIERS * known.size)
    return next(fits, float(known.max(initial=0)))


def range_of(facts: ImageFacts, reading: Reading) -> tuple[float, float] | None:
    """Return which values are black and white; None where neither file nor user says it."""
    given, _, found = reading.range.partition(":")
    if given == "auto" and facts.range is not None:
        return facts.range
    if given == "auto" and found:
        integer, _, decimal = found.partition("/")
        return 0, float(decimal or 1) if facts.sample == "float" else float(integer)
    if given == "full" and facts.sample == "signed":
        return -(2.0 ** (facts.bits - 1)), 2.0 ** (facts.bits - 1) - 1
    if given == "full":
        return 0, 1 if facts.sample == "float" else 2.0**facts.bits - 1
    if given != "auto":
        return (float(given), float(found)) if found else (0, 2.0 ** int(given) - 1)
    return None


def _to_8_bits(
    values: Shaped[np.ndarray, "h w c"], facts: ImageFacts, reading: Reading, notes: list[str]
) -> Image.Image:
    """Scale values so that black becomes 0 and white 255; what is beyond them is clipped."""
    if facts.bits != 8 or facts.sample != "unsigned":
        low, high = range_of(facts, reading) or _usual(values, facts)
        if reading.range.startswith("auto:") and facts.range is None:
            high = _of_another_depth(values, high, notes)
        known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
        values = np.clip(np.rint((known - low) * (255 / (high - low))), 0, 255)
    levels: UInt8[np.ndarray, "h w c"] = values.astype(np.uint8)
    if facts.white_is_zero:
        levels[..., : 1 if levels.shape[-1] < 3 else 3] ^= 255
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def _usual(values: Shaped[np.ndarray, "h w c"], facts: ImageFacts) -> tuple[float, float]:
    """Return black and white of numbers of which nothing is known: 16 bits, or floats of 0 to 1.

    Raises:
        InputError: they cannot be that.
    """
    white = 1.0
    if facts.sample != "float":
        white = 2.0 ** min(facts.bits - (facts.sample == "signed"), 16) - 1
    beyond = (np.isfinite(values) & ((values < 0) | (values > white))).mean()
    if beyond > OUTLIERS:
        raise InputError(
            f"values from {values.min():g} to {values.max():g}, and nothing says which of them "
            "are black and white; give the option range, such as 0:4095"
        )
    return 0, white


def _of_another_depth(values: Shaped[np.ndarray, "h w c"], high: float, notes: list[str]) -> float:
    """Return the white of a file in a run whose white was found; a doubt is said."""
    own = white_of(values)
    if (values < 0).mean() > OUTLIERS:
        notes.append("has negative values, which are taken for black")
    if own * 255 <= high:  # all of it would be black
        notes.append(f"its values end at {own:g} and those of the others at {high:g}: taken apart")
        return own
    if own * 16 <= high + 1 or own > high:
        notes.append(f"its values end at {own:g}, white is {high:g}: is it of another depth?")
    return high


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert colours by their profile, unless it says what sRGB says."""
    try:
        source, transform = _transform(profile)
        if transform is None:
            return image
        if (source == "CMYK") != (image.mode == "CMYK") or (source == "L") > _is_grey(image):
            raise ValueError("it is one of other colours")
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError) as error:
        notes.append(f"its colour profile is ignored: {error}")
        return image
    clear = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")
    alpha = image.convert("RGBA").getchannel("A") if clear else None
    converted = transform.apply(image.convert("RGB").convert(source) if source != "CMYK" else image)
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La")


@lru_cache(16)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Return what converts a profile's colours to sRGB, and their mode; None if nothing has to."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[source.profile.xcolor_space.strip()]
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,  # for several threads
    )
    if mode == "CMYK":
        return mode, transform
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 1, 3)
    colours = Image.fromarray(grid if mode == "RGB" else levels[None]).convert("RGB")
    changed = np.asarray(transform.apply(colours.convert(mode))).astype(int) - np.asarray(colours)
    return mode, transform if np.abs(changed).max() > ALIKE else None
