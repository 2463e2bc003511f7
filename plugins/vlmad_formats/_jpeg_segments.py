"""The segments of a JPEG: what its frame states, and whether its compressed data are whole.

libjpeg makes up what is missing and skips what is left over, and Pillow keeps its warnings to
itself. So the decoder is watched as it takes the data: it gets the compressed data of one segment
with a few bytes of padding behind them. Of whole data it needs all but the padding, of which it
takes what fits into its register. If it wants more, some are missing; if it is done before the end,
some do not belong there.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.JpegImagePlugin import JpegImageFile

FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
HUFFMAN = (0, 1, 2)
"""Frames whose data a decoder takes in pieces; those of arithmetic coding it wants at once."""
PROGRESSIVE = 2
SCAN, END = 0xDA, 0xD9
RESTARTS = range(0xD0, 0xD8)
MARKER = re.compile(rb"\xff[\x01-\xfe]")
REGISTER = 8
"""Bytes that a decoder takes ahead."""
TABLES = 0xC4
ZEROS, MIXED, ONES = b"\0", b"U", b"\xff\0"
"""Bytes of padding: the one to take is no code that ends a block, so that it completes none."""
LEFT_OVER = 5
"""Bytes too many at the end of a segment that are let pass: cameras write some."""
ZRL = 0xF0
"""The code of 16 zeros; others of size 0 end a block."""
MOST_LOOKS = 4
"""Times that a decoder that seems to be done early is tried with another one on padding."""


class Frame(NamedTuple):
    """What a JPEG states of its image."""

    kind: int
    """0 baseline, 1 extended, 2 progressive, 3 lossless, others of arithmetic coding."""
    bits: int
    size: tuple[int, int]


def frame_of(content: bytes) -> Frame | None:
    """Return the frame, None if there is none."""
    for marker, place in _markers(content):
        if marker in FRAMES and place + 9 <= len(content):
            height = int.from_bytes(content[place + 5 : place + 7], "big")
            width = int.from_bytes(content[place + 7 : place + 9], "big")
            return Frame(marker - 0xC0, content[place + 4], (width, height))
    return None


def _markers(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker with its place; in compressed data those that interrupt or end them."""
    place = 2
    while found := MARKER.search(content, place):
        marker, place = content[found.end() - 1], found.start()
        yield marker, place
        place += 2
        if marker != 0x01 and not 0xD0 <= marker <= 0xD9:
            place += int.from_bytes(content[place : place + 2], "big")


def _compressed(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of compressed data.

    Raises:
        InputError: the markers that interrupt them do not count from 0 to 7, again and again.
    """
    start, restarts = 0, 0
    for marker, place in _markers(content):
        if start:
            yield start, place
        if marker in RESTARTS and start:
            if marker - RESTARTS[0] != restarts % 8:
                raise InputError("damaged image: compressed data are missing")
            start, restarts = place + 2, restarts + 1
        elif marker == SCAN:
            start, restarts = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big"), 0
        else:
            start = 0
        if marker == END:
            return
    if start:
        yield start, len(content)


def _padding(content: bytes) -> bytes:
    """Return padding that completes no block by the tables of codes in a file."""
    worst = ZEROS
    for marker, place in _markers(content):
        if marker == SCAN:
            break
        if marker != TABLES:
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        at, stop = place + 4, place + 2 + length
        while at + 17 < stop:
            counts = content[at + 1 : at + 17]
            shortest, ends = counts[0] == 0, content[at + 17] & 15 == 0
            if content[at] >> 4 and ends and content[at + 17] != ZRL:
                worst = MIXED if shortest and worst != ONES else ONES
            at += 17 + sum(counts)
    return worst


class _Watched:
    """A decoder of Pillow, and what it has not taken yet."""

    def __init__(self, image: JpegImageFile, padding: bytes) -> None:
        self.padding = padding
        (name, extents, _, arguments) = image.tile[0]
        self.decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)
        image.load_prepare()
        self.decoder.setimage(image.im, extents)
        self.left, self.done = b"", False

    def feed(self, data: bytes) -> bool:
        """Give it more; tell whether it has taken all, be it to skip them."""
        if self.done:
            return True
        self.left += data
        taken, problem = self.decoder.decode(self.left)
        if taken < 0:
            self.done = True
            if problem < 0:
                raise OSError("broken data stream")
        self.left = self.left[max(taken, 0) :]
        return self.done or not self.left

    def skips(self) -> bool:
        """Tell whether it looks for the next marker rather than for codes."""
        return all(self.feed(self.padding) for _ in range(3))


def load_whole(image: JpegImageFile, content: bytes) -> None:
    """Decode a JPEG and do nothing else if its compressed data are whole.

    Raises:
        InputError: some are missing, or belong to no pixel.
    """
    frame = frame_of(content)
    if frame is None or frame.kind not in HUFFMAN or len(image.tile) != 1:
        image.load()
        return
    padding = ONES if frame.kind == PROGRESSIVE else _padding(content)
    given, looks = 0, MOST_LOOKS
    watched = _Watched(image, padding)
    for start, stop in _compressed(content):
        rest = max(start, stop - LEFT_OVER)
        watched.feed(content[given:rest])
        idle = [watched.feed(content[at : at + 1]) for at in range(rest, stop)]
        if len(idle) == LEFT_OVER and all(idle) and looks:
            looks -= 1
            again = _Watched(type(image)(io.BytesIO(content)), padding)
            again.feed(content[:rest])
            if watched.done or again.skips():
                raise InputError("damaged image: compressed data are left over")
        watched.feed(padding * REGISTER)
        if not watched.skips():
            raise InputError("damaged image: compressed data are missing")
        given = stop
    watched.feed(content[given:])
    if not watched.done:
        raise InputError("damaged image: it ends too early")
    watched.decoder.cleanup()
    image.tile = []
