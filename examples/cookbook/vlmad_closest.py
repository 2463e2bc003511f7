"""The scorer `closest`: nearest neighbours among the patches of references (as in PatchCore)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from vlmad import Features, Prediction, Scorer, TextEmbeddings, hookimpl
from vlmad.hookspecs import Register
from vlmad.parts import PATCHES
from vlmad.regions import mean_map, upsample


class Closest(Scorer):
    """The distance of each patch to the nearest one of the references."""

    needs = frozenset({PATCHES})
    references: Literal["required"] = "required"

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember all patches, (n, d)."""
        return {each.name: each.embeddings.flatten(0, 1) for each in references.regions}

    def __call__(
        self, features: Features, text: TextEmbeddings | None, memory: Mapping[str, Tensor] | None
    ) -> Prediction:
        """Score by the largest distance."""
        assert memory is not None  # as references are required
        patches = features.regions[0]
        distances = torch.cdist(patches.embeddings, memory[patches.name]).amin(-1)
        heat = mean_map(distances, patches.cells, features.grid)
        return Prediction(heat.amax((1, 2)), upsample(heat, features.image_size))


@hookimpl
def register_scorers(register: Register) -> None:
    """Register the scorer."""
    register("closest", Closest, "the nearest patch of references")
