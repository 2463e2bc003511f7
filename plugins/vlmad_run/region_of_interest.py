"""A region of interest: which part of each image counts, drawn as a mask."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad.resizing import Box, frame, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Int
    from torch import Tensor

    from vlmad.images import Source
    from vlmad.types import ImageBatch, Resize, View

ALIKE = 0.02
"""By how much of it the format of an image may differ from that of the mask."""


@dataclass(frozen=True, eq=False)
class RegionOfInterest:
    """Pixels that count, for all images of one format, whatever their size."""

    mask: Bool[np.ndarray, "H W"]
    file: Path | None = None
    """What it was drawn in, if it is known."""
    ignored: bool = False
    """Whether that file marks what does not count."""

    @property
    def sha256(self) -> str:
        """Of the mask's size and pixels."""
        shape = " ".join(map(str, self.mask.shape)).encode()
        return hashlib.sha256(shape + b"\n" + np.packbits(self.mask).tobytes()).hexdigest()

    def __call__(self, batch: ImageBatch, size: tuple[int, int]) -> Bool[Tensor, "b h w"]:
        """Return which pixels count of each image, or part of one, at the model's size.

        Raises:
            InputError: an image has another format than the mask.
        """
        import torch

        sources = cast("Sequence[Source]", batch.sources)
        seen = [self._of(source, size, batch.resize) for source in sources]
        return torch.from_numpy(np.stack(seen))

    def at(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """Return which pixels count of an image of this width and height."""
        return _sampled(self.mask, Box(0, 0, *size), size, (size[1], size[0]))

    def _of(self, source: Source, size: tuple[int, int], resize: Resize) -> Bool[np.ndarray, "h w"]:
        whole = source.original
        mask = self._seen(whole.view)
        self._check_format(whole.name, whole.size, mask.shape)
        place = source.whole[1] if source.whole else frame(whole.size, size, resize)
        return _sampled(mask, place, whole.size, size)

    @functools.cache  # noqa: B019 - a region lives as long as its detector, views are few
    def _seen(self, view: View) -> Bool[np.ndarray, "H W"]:
        image = Image.fromarray(self.mask.astype(np.uint8) * 255).convert("RGB")
        return np.asarray(look(image, view))[..., 0] > 127

    def _check_format(self, name: str, size: tuple[int, int], mask: tuple[int, ...]) -> None:
        (width, height), (rows, columns) = size, mask
        if abs(width * rows / (height * columns) - 1) > ALIKE:
            raise InputError(
                f"{name} is {width} x {height}, the region of interest {columns} x {rows}: "
                "draw it over an image of the same format"
            )


def _sampled(
    mask: Bool[np.ndarray, "H W"], place: Box, whole: tuple[int, int], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return a mask at the middles of the pixels of a box of an image; beyond it nothing counts."""
    rows = _nearest(place.top, place.bottom, whole[1], size[0], mask.shape[0])
    columns = _nearest(place.left, place.right, whole[0], size[1], mask.shape[1])
    sampled: Bool[np.ndarray, "h w"] = np.pad(mask, 1)[rows][:, columns]
    return sampled


def _nearest(
    low: float, high: float, length: int, steps: int, pixels: int
) -> Int[np.ndarray, " n"]:
    """Return which pixels of a padded mask lie at the middles of steps between two places."""
    middles = low + (np.arange(steps) + 0.5) / steps * (high - low)
    found: Int[np.ndarray, " n"] = np.floor(middles / length * pixels).astype(int)
    within: Int[np.ndarray, " n"] = np.clip(found, -1, pixels) + 1
    return within


def read_region(path: Path, ignored: bool) -> RegionOfInterest:
    """Read a mask: what is brighter than half of its brightest pixel is marked.

    Args:
        path: an image, as a painting program stores it.
        ignored: whether what is marked is to be left out, instead of all else.

    Raises:
        InputError: it cannot be read, or leaves nothing in or nothing out.
    """
    grey = np.asarray(decode(path).convert("L"))
    marked = grey > int(grey.max()) / 2
    if marked.all() or not marked.any():
        raise InputError(f"{path}: the mask marks {'all' if marked.any() else 'nothing'}")
    return RegionOfInterest(~marked if ignored else marked, path, ignored)
