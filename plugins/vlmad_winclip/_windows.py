"""The window extractor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Ge, Interval, Len

from vlmad import ClassToken, Extractor, Features, Patches, Regions, Windows
from vlmad.options import in_order
from vlmad.parts import PATCH_TOKENS, SHARED_WINDOWS, TOKEN_WINDOWS
from vlmad.regions import patch_cells, window_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Attention, BackboneSpec, Request, VisualFeatures


Scales: TypeAlias = Annotated[
    tuple[Annotated[int, Interval(ge=1, le=64)], ...], Len(1, 32), in_order
]
"""Sizes that count once, in order."""


class Window(Extractor):
    """Class tokens of windows of patches (WinCLIP, section 4.2), several sizes at once.

    The patch tokens come along for references (WinCLIP+); text is not compared with them.

    Args:
        scales: sizes of the windows in patches; one larger than the grid is cut to it.
        patch_layer: the layer whose patch tokens references are compared by; the last by
            default, 0 is the embedded image.
        patch_stage: those tokens after the final norm (as anomalib has it) or before (raw).
        encoding: exact encodes every window by itself, as WinCLIP does; shared, which is
            vlmad's own and about five times as fast, gives each window a class token beside
            one pass over the whole image, so that its patches have seen the others.
    """

    needs = frozenset({TOKEN_WINDOWS, PATCH_TOKENS})

    def __init__(
        self,
        scales: Scales = (2, 3),
        patch_layer: Annotated[int, Ge(0)] | None = None,
        patch_stage: Literal["normed", "raw"] = "normed",
        encoding: Literal["exact", "shared"] = "exact",
    ) -> None:
        self.scales = scales
        self.patch_layer, self.patch_stage = patch_layer, patch_stage
        self.encoding: Literal["exact", "shared"] = encoding
        if encoding == "shared":
            self.needs = self.needs | {SHARED_WINDOWS}

    def notes_on(self, spec: BackboneSpec) -> Sequence[str]:
        """Say which windows cover the whole grid: what they give is the same everywhere."""
        rows, columns = spec.grid
        flat = [str(size) for size in self.scales if size >= max(spec.grid)]
        if not flat:
            return ()
        return (
            f"scales={','.join(flat)} is one window over all {rows} x {columns} patches of "
            f"{spec.name}, which tells no places apart: take 1 to {max(spec.grid) - 1}",
        )

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for the class token, the windows of each scale, and the patch tokens."""
        normed = class_token == "normed"
        layer = spec.layer(self.patch_layer)
        windows = [Windows(size, normed, self.encoding) for size in self.scales]
        return [ClassToken(normed), *windows, Patches(layer, stage=self.patch_stage)]

    def __call__(self, visual: VisualFeatures) -> Features:
        """Name each scale's windows and put them in their places."""
        regions = []
        for request, tensor in visual.tensors.items():
            if isinstance(request, ClassToken):
                image = tensor
            elif isinstance(request, Windows):
                cells = window_cells(visual.grid, request.size).to(tensor.device)
                regions.append(Regions(f"window {request.size}", tensor, cells))
            elif isinstance(request, Patches):
                cells = patch_cells(visual.grid).to(tensor.device)
                regions.append(Regions(f"layer {request.layer}", tensor, cells, aligned=False))
        return Features(image, tuple(regions), visual.grid, visual.image_size)
