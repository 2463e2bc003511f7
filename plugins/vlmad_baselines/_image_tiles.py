"""The tile extractor: image crops in the place of token windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vlmad import ClassToken, Extractor, Features, Regions, Tiles
from vlmad.errors import OptionError
from vlmad.options import InOrder, check_counts
from vlmad.parts import IMAGE_TILES
from vlmad.regions import box_cells, tile_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Attention, BackboneSpec, Request, VisualFeatures


class ImageTiles(Extractor):
    """Overlapping crops of the image, each through the whole encoder.

    Args:
        counts: tiles side by side, several at once; each count cuts the image anew.
        overlap: the share of a tile that its neighbour covers too, 0 to below 1.
    """

    needs = frozenset({IMAGE_TILES})

    def __init__(self, counts: InOrder = (2, 3), overlap: float = 0.5) -> None:
        if not 0 <= overlap < 1:
            raise OptionError(f"option 'overlap' takes 0 to below 1, not {overlap}")
        self.counts, self.overlap = check_counts("counts", counts), overlap

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
