"""The scorer of nearest reference patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad import Prediction, Scorer
from vlmad.parts import CELLS
from vlmad.regions import upsample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vlmad import Features, TextEmbeddings


class NearestPatches(Scorer):
    """The cosine distance of every cell to the nearest cell of all references (PatchCore)."""

    needs = frozenset({CELLS})
    references = "required"

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember the unit features of all cells, by level."""
        return {
            regions.name: F.normalize(regions.embeddings.flatten(0, 1), dim=-1)
            for regions in references.regions
        }

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the largest mean distance over levels."""
        assert memory is not None
        maps = []
        for regions in features.regions:
            cosines = F.normalize(regions.embeddings, dim=-1) @ memory[regions.name].T
            distances = (1 - cosines.amax(-1)).unflatten(1, regions.grid or features.grid)
            maps.append(upsample(distances, features.image_size))
        heat = torch.stack(maps).mean(0)
        return Prediction(heat.amax((1, 2)), heat)
