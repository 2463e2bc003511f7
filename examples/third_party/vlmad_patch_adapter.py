"""An extractor for vlmad whose patches go through a small matrix that `vlmad train` learns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
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
    hookimpl,
)
from vlmad.hookspecs import Register
from vlmad.parts import CLASS_TOKEN, PATCH_TOKENS, PATCHES, REGIONS
from vlmad.regions import patch_cells
from vlmad_documents.learned_file import read_learned


class Adapted(Extractor):
    """Patches of the last layer, each moved by a learned linear map of itself.

    Args:
        file: what was learned; without it they stay where they are.
    """

    needs = frozenset({PATCH_TOKENS})
    gives = frozenset({CLASS_TOKEN, REGIONS, PATCHES})

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.tensors = read_learned(file, "extractor", "adapted")[0] if file else {}

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, torch.Tensor]:
        """Return the map; it begins as none, so that nothing is drawn."""
        width = spec.embedding_dim
        if self.file is None:
            with torch.inference_mode(False):  # or it could never be learned
                self.tensors = {"map": torch.zeros(width, width)}
        return self.tensors

    def facts(self) -> Mapping[str, str]:
        """Return nothing beside the map."""
        return {}

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for class token and patches."""
        path: Literal["plain", "beside"] = "beside" if attention.path == "beside" else "plain"
        return [ClassToken(class_token == "normed"), Patches(spec.depth, path)]

    def __call__(self, visual: VisualFeatures) -> Features:
        """Move the patches."""
        image, patches = visual.tensors.values()
        moved = patches + patches @ self.tensors["map"].to(patches) if self.tensors else patches
        cells = patch_cells(visual.grid).to(patches.device)
        return Features(image, (Regions("adapted", moved, cells),), visual.grid, visual.image_size)


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `adapted`."""
    register("adapted", Adapted, "patches moved by a learned map")
