"""Files whose values Pillow would lose or mistake: read by tifffile and imagecodecs."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_formats._jpeg_segments import frame_of
from vlmad_formats._png_chunks import START as PNG
from vlmad_formats._png_chunks import PngChunks
from vlmad_formats._tiff_pages import (
    PROFILE,
    TIFF,
    is_ordinary,
    page_facts,
    page_values,
    skip_previews,
)
from vlmad_formats.orientation import SIDEWAYS, orientation_of, upright
from vlmad_formats.rendering import Rendered
from vlmad_formats.stored_values import ImageFacts, Raster

if TYPE_CHECKING:
    from vlmad_formats.reading import Reading

REMEDY = 'images of this kind need tifffile and imagecodecs: pip install "vlmad[formats]"'
NOTHING = np.zeros((0, 0, 1), np.uint8)
"""The values of a file of which only the header is read."""
PILLOWS = (0, 3)
"""Grey, and a palette: the colours of a PNG of which Pillow loses no bits."""


class WideFormat(Rendered):
    """TIFF of more than 8 bits, floats, planes; PNG in colour of 16 bits; JPEG of 12 bits."""

    endings = frozenset({".tif", ".tiff", ".btf", ".png", ".jpg", ".jpeg"})

    def recognises(self, content: bytes) -> bool:
        """Tell whether it is a file that Pillow does not read right."""
        if content.startswith(PNG):
            return len(content) > 25 and content[24] == 16 and content[25] not in PILLOWS
        if content.startswith(b"\xff\xd8"):
            frame = frame_of(content)
            return frame is not None and frame.bits != 8
        return content.startswith(TIFF) and not is_ordinary(content)

    def facts(self, content: bytes, reading: Reading) -> ImageFacts:
        """Return what the header states."""
        return self._read(content, reading, decode=False).facts

    def raster(self, content: bytes, reading: Reading) -> Raster:
        """Return the values of one page."""
        return self._read(content, reading, decode=True)

    def _read(self, content: bytes, reading: Reading, decode: bool) -> Raster:
        try:
            import imagecodecs  # noqa: F401 (tifffile asks for it)
            import tifffile  # noqa: F401
        except ImportError as error:
            raise InputError(REMEDY) from error
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # odd tags disturb nobody
        if content.startswith(TIFF):
            return _read_tiff(content, reading, decode)
        read = _read_png if content.startswith(PNG) else _read_jpeg
        return read(content, reading, decode)


def _read_tiff(content: bytes, reading: Reading, decode: bool) -> Raster:
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(content)) as file:
        pages = len(file.pages)
        reading = skip_previews(reading, pages, lambda at: int(file.pages[at].aspage().subfiletype))
        page = file.pages[min(reading.page, pages) - 1].aspage()
        facts = page_facts(page, pages, reading)
        values = page_values(page, facts) if decode else NOTHING
        return Raster(values, facts, page.tags.valueof(PROFILE))


def _read_png(content: bytes, reading: Reading, decode: bool) -> Raster:
    import imagecodecs

    chunks = PngChunks.of(content)
    orientation = orientation_of(chunks.info)
    facts = _facts(chunks.size, orientation, 16, chunks.stated, chunks.notes, reading)
    values = imagecodecs.png_decode(chunks.pixels) if decode else NOTHING
    return Raster(upright(values, orientation), facts, chunks.info.get("icc_profile"))


def _read_jpeg(content: bytes, reading: Reading, decode: bool) -> Raster:
    import imagecodecs

    frame = frame_of(content)
    assert frame is not None
    facts = _facts(frame.size, 1, frame.bits, (0.0, 2.0**frame.bits - 1), (), reading, True)
    values = imagecodecs.jpeg_decode(content) if decode else NOTHING
    return Raster(np.atleast_3d(values), facts)


def _facts(
    stored: tuple[int, int],
    orientation: int,
    bits: int,
    stated: tuple[float, float] | None,
    notes: tuple[str, ...],
    reading: Reading,
    lossy: bool = False,
) -> ImageFacts:
    reading.refuse_large(stored)
    reading.choose_page(1)
    size = stored[::-1] if orientation in SIDEWAYS else stored
    return ImageFacts(size, orientation, bits, range=stated, lossy=lossy, notes=notes)
