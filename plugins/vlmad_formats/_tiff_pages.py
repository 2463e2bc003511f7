"""One page of a TIFF: what its tags state, and its values."""

from __future__ import annotations

import io
import math
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from vlmad.errors import InputError
from vlmad_formats.orientation import ORIENTATION, SIDEWAYS, upright
from vlmad_formats.stored_values import ImageFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Shaped

    from vlmad_formats.reading import Reading

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS = 256, 257, 258, 259, 262
SAMPLES, PLANES, EXTRA, SAMPLE_FORMAT, PROFILE = 277, 284, 338, 339, 34675
LOWEST, HIGHEST = (340, 280), (341, 281)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
ORDINARY = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
"""The kinds of colour that Pillow reads, and the samples of a pixel, alpha aside."""
LOSSY = frozenset({6, 7, 33003, 33005, 33007, 34712, 34892, 50001, 50002})
"""Compressions that lose precision, most of the time: JPEG and its successors."""
KINDS: dict[int, Literal["unsigned", "signed", "float"]] = {1: "unsigned", 2: "signed", 3: "float"}
OLD_JPEG = 6
PREMULTIPLIED, UNASSOCIATED = 1, 2
BY_PILLOW = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34925, 50000})
"""Compressions of which Pillow has the decoder."""
DEFLATED = (8, 32946)
PARTS = ((273, 279), (324, 325))
"""Tags of where strips and tiles begin and how long they are."""
KIND, REDUCED = 254, 1
"""A tag of the kind of a page, and its bit for a smaller copy of another."""
BIG_AND_REVERSED = b"MM\0+"
"""The start of a kind of file that Pillow does not open."""
CONTAINERS = (8, 16, 32, 64)
"""Bits that say nothing of how many are used."""
SIGNIFICANT = re.compile(r'SignificantBits="(\d+)"')
"""In the description of an OME-TIFF."""


def is_ordinary(content: bytes) -> bool:
    """Tell whether the first page is one that Pillow reads right, or no page at all."""
    if content.startswith(BIG_AND_REVERSED):
        return False
    try:
        tags = ImageFileDirectory_v2(content[: 16 if b"+" in content[2:4] else 8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        while tags.get(KIND, 0) & REDUCED and tags.next > file.tell():
            file.seek(tags.next)
            tags.load(file)
        return _is_ordinary(tags)
    except KeyError:
        return tags.get(COMPRESSION) == OLD_JPEG
    except Exception:  # Pillow says what is wrong
        return True


def _is_ordinary(tags: ImageFileDirectory_v2) -> bool:
    colours, extra = tags.get(COLOURS, WHITE_IS_ZERO), _several(tags.get(EXTRA, ()))
    plain_alpha = colours == BLACK_IS_ZERO and extra == (UNASSOCIATED,)
    return (
        {*_several(tags.get(BITS, 1))} <= {1, 2, 4, 8}
        and {*_several(tags.get(SAMPLE_FORMAT, 1))} == {1}
        and (tags.get(PLANES, 1) == 1 or tags.get(SAMPLES, 1) == 1)
        and tags.get(SAMPLES, 1) - len(extra) == ORDINARY[colours]
        and (not extra or colours not in (WHITE_IS_ZERO, BLACK_IS_ZERO) or plain_alpha)
        and tags.get(COMPRESSION, 1) in BY_PILLOW
    )


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def skip_previews(reading: Reading, pages: int, kind_of: Callable[[int], int]) -> Reading:
    """Return a reading of the first page that is no smaller copy of another, unless it has a page.

    Args:
        reading: what the user decided.
        pages: how many there are.
        kind_of: returns the tag of a page's kind, of the first for 0.
    """
    if reading.page > 1:
        return reading
    whole = (page for page in range(pages) if not kind_of(page) & REDUCED)
    return replace(reading, page=1 + next(whole, 0))


def check_strips(tags: ImageFileDirectory_v2, content: bytes) -> None:
    """Do nothing if the checksums of deflated parts of a page are right: Pillow never looks.

    Raises:
        zlib.error: one is not.
    """
    if tags.get(COMPRESSION) not in DEFLATED:
        return
    most = 8 * (tags[WIDTH] + 1024) * (tags[HEIGHT] + 1024)  # of any part, tiles with their margin
    for starts, counts in PARTS:
        for start, count in zip(tags.get(starts, ()), tags.get(counts, ()), strict=False):
            zlib.decompressobj().decompress(content[start : start + count], most)


def page_facts(page: Any, pages: int, reading: Reading) -> ImageFacts:
    """Return what the tags of a page state.

    Raises:
        InputError: it is of a kind that is not read right.
    """
    notes = reading.choose_page(pages)
    stored = page.imagewidth, page.imagelength
    reading.refuse_large(stored)
    _refuse_strange(page)
    orientation = page.tags.valueof(ORIENTATION, 1)
    bits, colours = page.bitspersample, int(page.photometric)
    return ImageFacts(
        stored[::-1] if orientation in SIDEWAYS else stored,
        orientation if orientation in range(1, 9) else 1,
        bits,
        KINDS[int(page.sampleformat)],
        _stated(page, bits),
        colours == WHITE_IS_ZERO,
        pages,
        int(page.compression) in LOSSY,
        notes,
    )


def _refuse_strange(page: Any) -> None:
    colours, extra = int(page.photometric), page.extrasamples
    what = ""
    if int(page.sampleformat) not in KINDS or isinstance(page.bitspersample, tuple):
        what = "values of such a kind"
    elif colours not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        what = f"colours of {page.bitspersample} bits as {page.photometric!r}"
    elif page.samplesperpixel - len(extra) != ORDINARY[colours]:
        what = f"{page.samplesperpixel} values of a pixel that are neither grey nor RGB"
    elif colours != RGB and len(extra) > sum(map(_is_alpha, extra)):
        what = f"{page.samplesperpixel} channels that are neither grey nor RGB"
    elif page.imagedepth > 1:
        what = "volumes"
    if what:
        raise InputError(f"{what} are not read; convert it to grey or RGB")


def _is_alpha(kind: int) -> bool:
    return kind in (PREMULTIPLIED, UNASSOCIATED)


def _stated(page: Any, bits: int) -> tuple[float, float] | None:
    """Return which values the tags call black and white.

    What they call lowest and highest is often but what the image happens to hold; so of integers
    it counts where it is a whole number of bits.
    """
    sample = int(page.sampleformat)
    if significant := SIGNIFICANT.search(page.description or ""):
        return 0.0, 2.0 ** int(significant[1]) - 1
    if sample == 1 and bits not in CONTAINERS:
        return 0.0, 2.0**bits - 1
    highest, lowest = (
        next((max(_several(v)) for tag in tags if (v := page.tags.valueof(tag)) is not None), None)
        for tags in (HIGHEST, LOWEST)
    )
    if highest is None or (bits == 8 and sample == 1):
        return None
    low, high = float(lowest or 0), float(highest)
    if sample == 3 or math.log2(high + 1) in range(8, 33):
        return (low, high) if low < high else None
    return None


def page_values(page: Any, facts: ImageFacts) -> Shaped[np.ndarray, "h w c"]:
    """Return the values of a page, upright, colours first and alpha last."""
    planes = page.asarray(squeeze=False)[:, 0]  # planes, rows, columns, samples
    values = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], -1)
    count = ORDINARY[int(page.photometric)]
    alpha = [count + i for i, kind in enumerate(page.extrasamples) if _is_alpha(kind)][:1]
    chosen = values[..., [*range(count), *alpha]]
    if alpha and page.extrasamples[alpha[0] - count] == PREMULTIPLIED:
        chosen = _unmultiplied(chosen, facts)
    return upright(chosen.astype(np.uint8) if chosen.dtype == bool else chosen, facts.orientation)


def _unmultiplied(
    values: Shaped[np.ndarray, "h w c"], facts: ImageFacts
) -> Shaped[np.ndarray, "h w c"]:
    """Return colours as they are where nothing is transparent, of such as are stored dimmed."""
    opaque = 1.0 if facts.sample == "float" else 2.0**facts.bits - 1
    alpha = values[..., -1:]
    colours = np.minimum(values[..., :-1] * (opaque / np.maximum(alpha, opaque / 65536)), opaque)
    return np.dstack([np.where(alpha > 0, colours, 0), alpha]).astype(values.dtype)
