"""The fixture of ``--align``: of the first reference, and in the file of a fitted detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from vlmad.errors import InputError
from vlmad.images import Source
from vlmad.parts import HonoursInside
from vlmad.resizing import frame as framed
from vlmad.types import View
from vlmad_alignment import Alignment, ReferenceFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.types import ImageBatch

PIXELS, SIZE = "frame/pixels", "frame/size"
"""The tensors of a stored frame."""


def align_to_first(detector: Detector, references: Sequence[str | Path]) -> None:
    """Bring all images of a detector to where the part lies in the first reference.

    Raises:
        InputError: there is no reference, or it cannot be read.
    """
    if not references:
        raise InputError("--align brings images to the first reference: add --references PATH")
    first = Path(references[0])
    image = Source(str(first), first, reading=detector.reading).open()
    take_frame(detector, ReferenceFrame.of(image))


def take_frame(detector: Detector, frame: ReferenceFrame) -> None:
    """Bring all images of a detector to a frame.

    What an image does not show of it counts for nothing, if the scorer can leave it out.
    """
    detector.fixture, scorer = frame, detector.scorer
    if isinstance(scorer, HonoursInside) and scorer.honours_inside:
        detector.look_inside(seen)


def seen(batch: ImageBatch, size: tuple[int, int]) -> Bool[Tensor, "b h w"]:
    """Return which pixels at the model's size the images show, as they are aligned."""
    import torch

    shown = []
    for source in cast("Sequence[Source]", batch.sources):
        whole, placement = source.original, source.original.placement
        place = source.whole[1] if source.whole else framed(whole.size, size, batch.resize)
        if isinstance(placement, Alignment) and source.view == View():
            shown.append(placement.seen(place, size))
        else:
            shown.append(np.ones(size, bool))
    return torch.from_numpy(np.stack(shown))


def stored_frame(detector: Detector) -> dict[str, Tensor]:
    """Return the frame of a detector as tensors; none if it aligns no images."""
    import torch

    frame = detector.fixture
    if not isinstance(frame, ReferenceFrame):
        return {}
    return {PIXELS: torch.from_numpy(frame.pixels.copy()), SIZE: torch.tensor(frame.size)}


def read_frame(tensors: Mapping[str, Tensor]) -> ReferenceFrame | None:
    """Return the frame among tensors, or None if there is none.

    Raises:
        InputError: they are no frame.
    """
    pixels, size = tensors.get(PIXELS), tensors.get(SIZE)
    if pixels is None and size is None:
        return None
    if pixels is None or size is None or size.shape != (2,) or str(size.dtype) != "torch.int64":
        raise InputError("no frame of a reference")
    width, height = size.tolist()
    return ReferenceFrame(np.ascontiguousarray(pixels.numpy()), (width, height))
