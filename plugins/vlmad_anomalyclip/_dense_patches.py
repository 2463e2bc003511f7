"""The dense extractor: patch features of any layers in the space of the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Ge, Len

from vlmad import ClassToken, Extractor, Features, Patches, Regions
from vlmad.options import in_order
from vlmad.parts import CLASS_TOKEN, PATCH_TOKENS, PATCHES, REGIONS
from vlmad.regions import patch_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Attention, BackboneSpec, Request, VisualFeatures


Layers: TypeAlias = Annotated[tuple[Annotated[int, Ge(0)], ...], Len(1, 64), in_order]


class DensePatches(Extractor):
    """Projected patch tokens, from the second path where attention writes one.

    Args:
        layers: whose tokens are taken, several at once; the last by default.
    """

    needs = frozenset({PATCH_TOKENS})
    gives = frozenset({CLASS_TOKEN, REGIONS, PATCHES})

    def __init__(self, layers: Layers | None = None) -> None:
        self.layers = layers or (None,)

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for the class token and the projected patches of each layer."""
        path: Literal["plain", "beside"] = "beside" if attention.path == "beside" else "plain"
        layers = [Patches(spec.layer(number), path) for number in self.layers]
        return [ClassToken(class_token == "normed"), *layers]

    def __call__(self, visual: VisualFeatures) -> Features:
        """Make each patch of each layer a region of one cell."""
        regions = []
        for request, tensor in visual.tensors.items():
            if isinstance(request, ClassToken):
                image = tensor
            elif isinstance(request, Patches):
                cells = patch_cells(visual.grid).to(tensor.device)
                regions.append(Regions(f"layer {request.layer}", tensor, cells))
        return Features(image, tuple(regions), visual.grid, visual.image_size)
