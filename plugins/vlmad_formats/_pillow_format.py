"""Files that Pillow reads right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from vlmad_formats._jpeg_segments import load_whole
from vlmad_formats._png_chunks import PngChunks
from vlmad_formats._tiff_pages import HEIGHT, KIND, TIFF, WIDTH, check_strips, skip_previews
from vlmad_formats.orientation import SIDEWAYS, orientation_of, upright
from vlmad_formats.rendering import Rendered, raster_of
from vlmad_formats.stored_values import ImageFacts, Raster

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from vlmad_formats.reading import Reading

OPENERS: dict[bytes, Any] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"GIF87a": GifImageFile,
    b"GIF89a": GifImageFile,
    **dict.fromkeys(TIFF, TiffImageFile),
    **dict.fromkeys((b"P%d" % kind for kind in range(1, 7)), PpmImageFile),
    b"Pf": PpmImageFile,
    b"RIFF": WebPImageFile,
}
"""By the first bytes of a file; not `Image.open`, whose limit is one of the whole process."""
ENDINGS = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .bmp .dib .tif .tiff .webp .gif .pbm .pgm .ppm .pnm .pfm"
)
LOSSY, LOSSLESS_WEBP = ("JPEG", "WEBP"), b"VP8L"


class PillowFormat(Rendered):
    """PNG, JPEG, BMP, GIF, WebP, PNM, and TIFF of 8 bits."""

    endings = frozenset(ENDINGS.split())

    def recognises(self, content: bytes) -> bool:
        """Tell by its first bytes whether a file is one of these."""
        return _opener(content) is not None

    def size(self, content: bytes, reading: Reading) -> tuple[int, int]:
        """Return what the header states of the size."""
        return _open(content, reading)[1].size

    def facts(self, content: bytes, reading: Reading) -> ImageFacts:
        """Return what the header states, if the file ends as its format demands."""
        image, facts, _ = _open(content, reading)
        whole = image.format == "PNG" or (image.format == "JPEG" and content.endswith(b"\xff\xd9"))
        return facts if whole else self.raster(content, reading).facts

    def raster(self, content: bytes, reading: Reading) -> Raster:
        """Return the pixels of one page."""
        image, facts, chunks = _open(content, reading)
        if isinstance(image, JpegImageFile):
            load_whole(image, content)
        elif isinstance(image, TiffImageFile):
            check_strips(image.tag_v2, content)
        image.load()
        profile = image.info.get("icc_profile")
        if chunks is not None:
            chunks.check_rows(image)
            profile = chunks.info.get("icc_profile")
        # Pillow turns a TIFF when it decodes it
        turned = image if image.format == "TIFF" else upright(image, facts.orientation)
        return Raster(raster_of(turned).pixels, facts, profile)


def _opener(content: bytes) -> Any:
    if content.startswith(b"RIFF") and content[8:12] != b"WEBP":
        return None
    return next((OPENERS[start] for start in OPENERS if content.startswith(start)), None)


def _open(content: bytes, reading: Reading) -> tuple[ImageFile, ImageFacts, PngChunks | None]:
    """Open a file, not decoded yet, of a size that is allowed."""
    opener, chunks = _opener(content), None
    if opener is PngImageFile:
        chunks = PngChunks.of(content)
        content = chunks.pixels
    image = opener(io.BytesIO(content), "")
    reading.refuse_large(image.size)
    pages = getattr(image, "n_frames", 1)
    if image.format == "TIFF":
        reading = skip_previews(reading, pages, lambda page: _kind_of(image, page))
    notes = (*(chunks.notes if chunks else ()), *reading.choose_page(pages))
    if pages > 1:
        image.seek(reading.page - 1)
    stored = image.size
    if image.format == "TIFF":
        stored = image.tag_v2[WIDTH], image.tag_v2[HEIGHT]
    reading.refuse_large(stored)
    lossy = image.format in LOSSY and LOSSLESS_WEBP not in content
    return image, _facts(image, stored, pages, lossy, chunks, notes), chunks


def _kind_of(image: Any, page: int) -> int:
    if page or image.tell():
        image.seek(page)
    return int(image.tag_v2.get(KIND, 0))


def _facts(
    image: ImageFile,
    stored: tuple[int, int],
    pages: int,
    lossy: bool,
    chunks: PngChunks | None,
    notes: tuple[str, ...],
) -> ImageFacts:
    orientation = orientation_of(
        chunks.info if chunks else image.info, getattr(image, "tag_v2", None)
    )
    bits, stated = {"1": 1, "F": 32}.get(image.mode, 16 if image.mode[0] == "I" else 8), None
    if image.mode == "I":  # Pillow brings what a PGM states to 16 bits
        stated = (0.0, 65535.0)
    elif image.mode.startswith("I;16") and chunks is not None:
        stated = chunks.stated
    return ImageFacts(
        stored[::-1] if orientation in SIDEWAYS else stored,
        orientation,
        bits,
        "float" if image.mode == "F" else "unsigned",
        stated,
        pages=pages,
        lossy=lossy,
        notes=notes,
    )
