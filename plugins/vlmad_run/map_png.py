"""Maps as PNG files of 16 bits, written as what they are: smooth.

Pillow tries five filters on each row. A map's rows are smallest as differences from the pixel to
the left, which needs no trying: half the time, and files of six tenths the size.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import UInt8, UInt16

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTH, GREY = 16, 0
LEFT = 1
"""The filter's number; a row begins with it."""
LEVEL = 1
"""Of compression; 2 takes .7 ms more for 512 x 512 pixels, and leaves 97 % of the bytes."""
ROWS = 256
"""Compressed at once, so that large maps are not there twice."""


def map_png(values: UInt16[np.ndarray, "H W"]) -> bytes:
    """Return a map as the bytes of a PNG file."""
    height, width = values.shape
    header = struct.pack(">2I5B", width, height, DEPTH, GREY, 0, 0, 0)
    body = b"".join(_chunk(b"IDAT", part) for part in _packed(values) if part)
    return SIGNATURE + _chunk(b"IHDR", header) + body + _chunk(b"IEND", b"")


def _packed(values: UInt16[np.ndarray, "H W"]) -> Iterator[bytes]:
    packer = zlib.compressobj(LEVEL)
    for top in range(0, len(values), ROWS):
        yield packer.compress(_filtered(values[top : top + ROWS]).data)
    yield packer.flush()


def _filtered(values: UInt16[np.ndarray, "h W"]) -> UInt8[np.ndarray, "h 2W+1"]:
    """Return each byte less that of the pixel to the left; there is none beside the first."""
    own = values.astype(">u2", order="C").view(np.uint8)
    rows = np.empty((len(own), own.shape[1] + 1), np.uint8)
    rows[:, 0], rows[:, 1:3] = LEFT, own[:, :2]
    np.subtract(own[:, 2:], own[:, :-2], out=rows[:, 3:])
    return rows


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + _checked(kind + content)


def _checked(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))
