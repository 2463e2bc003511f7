"""The chunks of a PNG: what belongs to its pixels, checked, and what is said beside them."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL.PngImagePlugin import PngImageFile

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

START = b"\x89PNG\r\n\x1a\n"
OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
SAID = (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""What may say how the pixels are turned, or what their colours are."""
SRGB, ALIKE = 0.45455, 0.05
"""The gamma that stands for sRGB, and by which share another may differ."""
PASSES = (
    *((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4)),
    *((2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)),
)
"""First row, step, first column, step of what an interlaced file holds one after the other."""
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel, by the type of colour."""


@dataclass(frozen=True, slots=True)
class PngChunks:
    """A PNG taken apart."""

    pixels: bytes
    """A PNG of nothing but the pixels: what else stands in a file cannot spoil them."""
    info: dict[str, Any]
    """What is said beside them, wherever it stands, as Pillow reads it."""
    stated: tuple[float, float] | None
    """Black and white of 16 bits."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, content: bytes) -> PngChunks:
        """Take a file apart.

        Raises:
            InputError: a checksum of what the pixels need is wrong, or the end is missing.
        """
        kept, info, notes, stated, gamma = [START], dict[str, Any](), list[str](), None, SRGB
        for kind, chunk, sound in _chunks(content):
            if kind in OF_PIXELS:
                if not sound:
                    raise InputError(f"damaged image: a wrong checksum in its {kind.decode()}")
                kept.append(chunk)
            elif not sound:
                notes.append(f"a wrong checksum in its {kind.decode('latin-1')}, which is ignored")
            elif kind in SAID:
                info |= _said(kept[1], chunk)
            elif kind == b"sBIT":
                stated = (0.0, 65535.0)  # fewer bits are stored scaled up, by the standard
            elif kind == b"acTL":
                notes.append("an animation, of which one picture is read")
            elif kind == b"gAMA":
                gamma = int.from_bytes(chunk[8:12], "big") / 100_000
        if abs(gamma / SRGB - 1) > ALIKE and "icc_profile" not in info:
            notes.append(f"its gamma of {gamma:.3g} is not applied; give it a colour profile")
        return cls(b"".join(kept), info, stated, tuple(notes))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as they are stored."""
        width, height = struct.unpack(">II", self.pixels[16:24])
        return width, height

    def check_rows(self, image: Image.Image) -> None:
        """Do nothing if a decoded file held all rows.

        Raises:
            InputError: it ended before them; what it did not hold Pillow leaves black.
        """
        width, height = self.size
        bits, colour, interlaced = self.pixels[24], self.pixels[25], self.pixels[28]
        last = image.crop((0, height - 1, width, height))
        if not interlaced and any(last.tobytes()):
            return
        depth = bits * SAMPLES[colour]
        passes = PASSES if interlaced else ((0, 1, 0, 1),)
        expected = sum(_bytes_of(width, height, depth, each) for each in passes)
        data = b"".join(c[8:-4] for kind, c, _ in _chunks(self.pixels) if kind == b"IDAT")
        held = len(zlib.decompressobj().decompress(data, expected))
        if held < expected:
            raise InputError("damaged image: it has fewer rows than it states")


def _bytes_of(width: int, height: int, depth: int, part: tuple[int, int, int, int]) -> int:
    rows, columns = range(part[0], height, part[1]), range(part[2], width, part[3])
    return len(rows) * (1 + (len(columns) * depth + 7) // 8) if columns else 0


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield kind, whole chunk, and whether its checksum is right, up to the end."""
    place, kind = len(START), b""
    view = memoryview(content)
    while kind != b"IEND":
        if place + 12 > len(content):
            raise InputError("damaged image: it ends before its end chunk")
        length = int.from_bytes(view[place : place + 4], "big")
        stop = place + 12 + length
        if stop > len(content):
            raise InputError("damaged image: it ends within a chunk")
        kind = bytes(view[place + 4 : place + 8])
        stated = int.from_bytes(view[stop - 4 : stop], "big")
        sound = zlib.crc32(view[place + 4 : stop - 4]) == stated
        yield kind, bytes(view[place:stop]), sound
        place = stop


def _said(header: bytes, chunk: bytes) -> dict[str, Any]:
    """Return what Pillow reads in a chunk, nothing if that cannot be read."""
    empty = b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    try:
        image = PngImageFile(io.BytesIO(START + header + chunk + empty))
        return {str(key): value for key, value in image.info.items()}
    except Exception:  # metadata that cannot be read are none
        return {}
