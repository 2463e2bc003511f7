"""How stored pixels are turned, wherever a file says it, and turning them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Pixels = TypeVar("Pixels", Image.Image, np.ndarray[Any, Any])
ORIENTATION = 0x0112
SIDEWAYS = range(5, 9)
"""The orientations under which width and height change places."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings pixels upright, by their orientation."""
PROFILES = ("Raw profile type exif", "Raw profile type APP1")
"""Texts of a PNG in which ImageMagick keeps the EXIF of a photograph."""
XMP = re.compile(r"""tiff:Orientation\s*(?:=\s*["']|>\s*)([1-8])\b""")


def orientation_of(info: Mapping[Any, Any], tags: Mapping[int, Any] | None = None) -> int:
    """Return the orientation by EXIF's numbers: the first that is stated; 1 if none can be read.

    Args:
        info: the metadata of a file, as Pillow has them.
        tags: those of a TIFF.
    """
    if tags is not None and tags.get(ORIENTATION) in UPRIGHT:
        return int(tags[ORIENTATION])
    for stated in _exifs(info):
        with suppress(Exception):  # metadata that cannot be read are none
            exif = Image.Exif()
            exif.load(stated)
            if exif.get(ORIENTATION) in range(1, 9):
                return int(exif[ORIENTATION])
    for name in ("XML:com.adobe.xmp", "xmp"):
        text = info.get(name, "")
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        if found := XMP.search(text):
            return int(found[1])
    return 1


def _exifs(info: Mapping[Any, Any]) -> Iterator[bytes]:
    if isinstance(info.get("exif"), bytes):
        yield info["exif"]
    for name in PROFILES:
        with suppress(Exception):
            yield bytes.fromhex("".join(info[name].split("\n")[3:]))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return an image or array (h, w, ...) upright whose stored pixels are turned."""
    if orientation not in UPRIGHT:
        return pixels
    if isinstance(pixels, Image.Image):
        return pixels.transpose(UPRIGHT[orientation])
    turned = pixels.swapaxes(0, 1) if orientation in SIDEWAYS else pixels
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    return turned[::rows, :: -1 if orientation in (2, 3, 6, 7) else 1]
