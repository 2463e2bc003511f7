"""Which region of the references is nearest to a region of an image, and where it lies."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch.nn.functional as F

from vlmad.errors import InputError
from vlmad.loading import load
from vlmad.types import Features, ImageBatch
from vlmad_explain._shown_regions import PatchGrid, patch_grids, place_of
from vlmad_explain.explanations import NearestRegion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad.types import Regions
    from vlmad_attribution.attribution import Judged

BATCH = 8


def encode_whole(
    detector: Detector, sources: Sequence[Source]
) -> tuple[Features, list[list[Source]]]:
    """Return the features of all pieces of all images, in order, and the pieces of each image."""
    resizing, wanted = detector.resizing, detector.preprocessings()
    encoded, images = [], []
    for pieces in load(sources, resizing, wanted, BATCH):
        if pieces[0].failure:
            raise InputError(pieces[0].failure)
        batch = ImageBatch(tuple(pieces), resizing.of_each)
        encoded.append(detector.features(batch, BATCH))
        for piece in pieces:
            piece.release()
        images.append(pieces)
    return Features.concatenate(encoded), images


def compared_with(detector: Detector, images: Sequence[Source]) -> Sequence[Source]:
    """Return what regions of images are compared with: references, or each other."""
    return images if detector.scorer.scope == "set" else detector.references


class ReferenceRegions:
    """The regions of the references that a detector was fitted on, if it was, or of a set."""

    def __init__(self, detector: Detector, images: Sequence[Source]) -> None:
        self.detector, self._compared = detector, compared_with(detector, images)

    def nearest(self, same: Sequence[Judged], region: int, index: int) -> NearestRegion | None:
        """Return the nearest region of the references, by the scorer or else by cosine.

        Args:
            same: the judgements of one level.
            region: which of its regions.
            index: of the image.
        """
        regions = same[0].regions
        for judged in same:
            if judged.nearest is not None:
                found, distance = judged.nearest[index, region], judged.values[index, region]
                return self._found(regions, int(found), float(distance))
        for level in self._features.regions if self._features else ():
            if level.name == regions.name:
                units = F.normalize(level.embeddings.flatten(0, 1), dim=-1)
                cosine = (units @ F.normalize(regions.embeddings[index, region], dim=-1)).max(0)
                return self._found(level, int(cosine.indices), (1 - float(cosine.values)) / 2)
        return None

    @cached_property
    def _features(self) -> Features | None:
        references = self.detector.references
        return encode_whole(self.detector, references)[0] if references else None

    @cached_property
    def _pieces(self) -> list[tuple[int, PatchGrid]]:
        """The pieces of all references in the order of the memory, with their image's number."""
        resizing, spec = self.detector.resizing, self.detector.backbone.spec
        return [
            (number, patches)
            for number, source in enumerate(self._compared)
            for patches in patch_grids(source, resizing, spec)
        ]

    def _found(self, regions: Regions, found: int, distance: float) -> NearestRegion:
        piece, region = divmod(found, len(regions.cells))
        if piece >= len(self._pieces):
            return NearestRegion(number=None, image=None, place=None, distance=distance)
        number, patches = self._pieces[piece]
        return NearestRegion(
            number=number,
            image=self._compared[number].name,
            place=patches.box(place_of(regions, region, patches.grid)),
            distance=distance,
        )
