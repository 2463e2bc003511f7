"""The extractor `sprout`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge
from vlmad import (
    Attention,
    BackboneSpec,
    ClassToken,
    Extractor,
    Features,
    Patches,
    Regions,
    Request,
    VisualFeatures,
)
from vlmad.parts import CLASS_TOKEN, PATCH_TOKENS, PATCHES, REGIONS
from vlmad.regions import patch_cells


class SproutExtractor(Extractor):
    """The patches of one layer, in the space of the text.

    Args:
        layer: which; the last if none is named.
    """

    needs = frozenset({PATCH_TOKENS})
    gives = frozenset({CLASS_TOKEN, REGIONS, PATCHES})

    def __init__(self, layer: Annotated[int, Ge(1)] | None = None) -> None:
        self.layer = layer

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for the class token, and for patches of the second path if there is one."""
        patches = Patches(
            spec.layer(self.layer), "beside" if attention.path == "beside" else "plain"
        )
        return [ClassToken(class_token == "normed"), patches]

    def __call__(self, visual: VisualFeatures) -> Features:
        """Arrange the answers, which come in the order of the requests."""
        image, patches = visual.tensors.values()
        cells = patch_cells(visual.grid).to(patches.device)
        regions = Regions("patches", patches, cells)
        return Features(image, (regions,), visual.grid, visual.image_size)
