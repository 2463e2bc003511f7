"""Which region of the references is nearest to a region of an image, and where it lies."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch.nn.functional as F

from vlmad.errors import InputError
from vlmad.loading import chunks, load
from vlmad.types import Features, ImageBatch
from vlmad_explain.explanations import Nearest
from vlmad_explain._shown_regions import Canvas, canvases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int
    from torch import Tensor

    from vlmad.attribution import Judged
    from vlmad.detector import Detector
    from vlmad.images import Source

BATCH = 8


def encode_whole(
    detector: Detector, sources: Sequence[Source]
) -> tuple[Features, list[list[Source]]]:
    """Return the features of all pieces of all images, in order, and the pieces of each image."""
    preprocessing, resizing = detector.backbone.spec.preprocessing, detector.resizing
    encoded, images = [], []
    for pieces in load(sources, resizing, preprocessing, BATCH):
        if pieces[0].failure:
            raise InputError(pieces[0].failure)
        for some in chunks(pieces, BATCH):
            encoded.append(detector.features(ImageBatch(tuple(some), resizing.of_each)))
            for piece in some:
                piece.release()
        images.append(pieces)
    return Features.concatenate(encoded), images


class References:
    """The references that a detector was fitted on, if it was."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def nearest(self, same: Sequence[Judged], region: int, index: int) -> Nearest | None:
        """Return the nearest region of the references, by the scorer or else by cosine."""
        regions = same[0].regions
        for judged in same:
            if judged.nearest is not None:
                found, distance = judged.nearest[index, region], judged.values[index, region]
                return self._region(regions.cells, int(found), float(distance))
        for level in self._features.regions if self._features else ():
            if level.name == regions.name:
                units = F.normalize(level.embeddings.flatten(0, 1), dim=-1)
                cosine = (units @ F.normalize(regions.embeddings[index, region], dim=-1)).max(0)
                return self._region(
                    level.cells, int(cosine.indices), (1 - float(cosine.values)) / 2
                )
        return None

    @cached_property
    def _features(self) -> Features | None:
        references = self.detector.references
        return encode_whole(self.detector, references)[0] if references else None

    @cached_property
    def _pieces(self) -> list[tuple[int, Canvas]]:
        """The pieces of all references in the order of the memory, with their image's number."""
        return [
            (number, canvas)
            for number, source in enumerate(self.detector.references)
            for canvas in canvases(source, self.detector.resizing, self.detector.backbone.spec)
        ]

    def _region(self, cells: Int[Tensor, "r 4"], found: int, distance: float) -> Nearest:
        piece, region = divmod(found, len(cells))
        if piece >= len(self._pieces):
            return Nearest(None, None, None, distance)
        number, canvas = self._pieces[piece]
        top, left, bottom, right = cells[region].tolist()
        place = canvas.place((top, left, bottom, right))
        return Nearest(number, self.detector.references[number].name, place, distance)
