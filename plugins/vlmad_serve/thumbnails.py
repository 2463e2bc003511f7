"""Small pictures of kept images: each decoded once, one at a time, and none that is too large."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image
from starlette.concurrency import run_in_threadpool

from vlmad.images import decode
from vlmad_formats.reading import Reading
from vlmad_serve.recent import LONGEST_SIDE

if TYPE_CHECKING:
    from vlmad_serve.recent import KeptImage

KEPT = 64
"""So many are remembered: some megabytes."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture, and how large the image is."""

    jpeg: bytes
    width: int
    height: int


class Thumbnails:
    """Makes small pictures, and remembers the latest.

    Args:
        most_pixels: of an image; a larger one is not decoded.
    """

    def __init__(self, most_pixels: int) -> None:
        self._most, self._turn = most_pixels, asyncio.Lock()
        self._made: OrderedDict[str, Thumbnail] = OrderedDict()

    async def of(self, name: str, kept: KeptImage) -> Thumbnail:
        """Return the picture of a judgement's image.

        Raises:
            InputError: it cannot be read, or is too large.
        """
        if name not in self._made:
            async with self._turn:  # who waits here holds up no thread
                if name not in self._made:
                    self._made[name] = await run_in_threadpool(self._make, kept)
                if len(self._made) > KEPT:
                    self._made.popitem(last=False)
        return self._made[name]

    def _make(self, kept: KeptImage) -> Thumbnail:
        own = kept.reading or Reading()
        reading = replace(own, most_pixels=min(own.most_pixels, self._most))
        picture = decode(kept.path, reading=reading)
        width, height = picture.size
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        return Thumbnail(file.getvalue(), width, height)
