"""Files that stand for frames of a film that could not be had: they say why when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from vlmad.errors import InputError, one_line
from vlmad_video.film_frames import FAULT

if TYPE_CHECKING:
    from PIL.Image import Image


class FaultFormat:
    """No image: whatever is asked of such a file, it is refused with what it says."""

    endings = frozenset[str]()

    def recognises(self, content: bytes | Image) -> bool:
        """Tell by its first bytes whether a file is one of these."""
        return isinstance(content, bytes) and content.startswith(FAULT)

    def facts(self, content: bytes, reading: object) -> NoReturn:
        """Say why there is none."""
        raise InputError(one_line(content[len(FAULT) :].decode("utf-8", "replace")))

    raster = image = facts
