"""What can be known of an image file without decoding its pixels.

Where a header leaves a doubt, the file is decoded after all, so that what is found here is
never less true than what `vlmad.images.decode` would find of a file that ends too early.
"""

from __future__ import annotations

import os
import stat
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from vlmad.errors import InputError
from vlmad.images import FORMATS, decode, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORIENTATION = 0x0112
SWAPPING = range(5, 9)
"""The EXIF orientations under which width and height change places."""
ENDS = {"PNG": b"\0\0\0\0IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
"""The last bytes of a whole file, of formats that have such."""


class Header(NamedTuple):
    """Width and height of an image, upright, and how its stored pixels are turned."""

    size: tuple[int, int]
    orientation: int = 1
    """1 to 8, as EXIF numbers them; 1 is upright."""


def read_header(path: Path) -> Header:
    """Return size and orientation of an image file.

    Args:
        path: the file; it must end as its format demands, or be decodable all the same.

    Raises:
        InputError: it is no usable image.
    """
    with opened(path) as image:
        orientation = _orientation(image)
        width, height = image.size
        end = ENDS.get(image.format or "")
    if end is None or _last_bytes(path, len(end)) != end:
        return Header(decode(path).size, orientation)
    return Header((height, width) if orientation in SWAPPING else (width, height), orientation)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file, and make an `InputError` of whatever it does to the decoder.

    Raises:
        InputError: the file cannot be read, is no image, damaged or absurdly large.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe could wait for ever
            raise InputError(f"{path}: is no regular file")
    except (OSError, ValueError) as error:  # also for names that no file can have
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        refused = error.strerror if isinstance(error, OSError) else None
        what = refused or why_unreadable(error, _last_bytes(path, 1))
        raise InputError(f"{path}: {what}") from error


def _orientation(image: Image.Image) -> int:
    # the EXIF of a PNG is found by decoding it, unless there is a chunk before the pixels
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    found = image.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) and found in range(1, 9) else 1


def _last_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - count))
        return file.read(count)
