"""The tile extractor: image crops in the place of token windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import torch
from annotated_types import Interval, Len

from vlmad import ClassToken, Extractor, Features, Regions, Tiles
from vlmad.options import in_order
from vlmad.parts import IMAGE_TILES
from vlmad.regions import tile_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Attention, BackboneSpec, Request, VisualFeatures


Counts: TypeAlias = Annotated[
    tuple[Annotated[int, Interval(ge=1, le=16)], ...], Len(1, 16), in_order
]
MANY = 200
"""Crops of one image that are worth a note."""


class ImageTiles(Extractor):
    """Overlapping crops of the image, each through the whole encoder.

    Args:
        counts: tiles side by side, several at once; each count cuts the image anew.
        overlap: the share of a tile that its neighbour covers too.
    """

    needs = frozenset({IMAGE_TILES})

    def __init__(
        self,
        counts: Counts = (2, 3),
        overlap: Annotated[float, Interval(ge=0, le=0.75)] = 0.5,
    ) -> None:
        self.counts, self.overlap = counts, overlap

    def notes_on(self, spec: BackboneSpec) -> Sequence[str]:
        """Say how many crops of each image are encoded, where they are many."""
        crops = sum(len(tile_boxes(count, self.overlap)) for count in self.counts)
        return (f"{crops} crops of each image are encoded",) if crops > MANY else ()

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for the class token of the image and of its tiles."""
        normed = class_token == "normed"
        return [ClassToken(normed), *(Tiles(n, self.overlap, normed) for n in self.counts)]

    def __call__(self, visual: VisualFeatures) -> Features:
        """Put each tile on the cells of the grid that it covers."""
        regions = []
        for request, tensor in visual.tensors.items():
            if isinstance(request, ClassToken):
                image = tensor
            elif isinstance(request, Tiles):
                boxes = tile_boxes(request.grid, request.overlap)
                cells = box_cells(boxes, visual.grid).to(tensor.device)
                regions.append(Regions(f"tiles {request.grid}", tensor, cells))
        return Features(image, tuple(regions), visual.grid, visual.image_size)


def box_cells(boxes: Float[Tensor, "t 4"], grid: tuple[int, int]) -> Int[Tensor, "t 4"]:
    """Return for each box the cells whose centres lie in it, at least one."""
    rows, columns = grid
    scale = torch.tensor([rows, columns, rows, columns])
    first, last = torch.round(boxes * scale).long().split(2, dim=1)
    first = torch.minimum(first, scale[:2] - 1)
    return torch.cat([first, torch.maximum(last, first + 1)], dim=1)
