"""The scorer of the comparison that vlmad grew from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

from vlmad import Prediction, Scorer
from vlmad.regions import mean_map, upsample
from vlmad_attribution.attribution import Addend, Attribution, Judged, Voices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float
    from torch import Tensor

    from vlmad import Features, TextEmbeddings


class MaxCosine(Scorer):
    """The largest cosine between a region and any sentence (the comparison's formula).

    Args:
        sentences: which sentences count: the anomalous ones, or all.
        image_score: the map's maximum, or the class token's own largest cosine.
    """

    def __init__(
        self,
        sentences: Literal["anomalous", "all"] = "anomalous",
        image_score: Literal["map", "class-token"] = "map",
    ) -> None:
        self.sentences, self.image_score = sentences, image_score

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score each cell by the mean of its regions' largest cosines, and each image."""
        assert text is not None
        chosen = text.embeddings[..., self._counting(text), :]
        maps = [
            mean_map(largest_cosine(regions.embeddings, chosen), regions.cells, features.grid)
            for regions in features.aligned
        ]
        grid_map = torch.stack(maps).mean(0)
        score = grid_map.amax((1, 2))
        if self.image_score == "class-token":
            score = largest_cosine(features.image[:, None], chosen)[:, 0]
        return Prediction(score, upsample(grid_map, features.image_size))

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the highest cell, or the class token; one sentence speaks for each region."""
        assert text is not None
        counting = self._counting(text)
        chosen = text.embeddings[..., counting, :]
        judged = tuple(
            Judged(r, "text", largest_cosine(r.embeddings, chosen)) for r in features.aligned
        )
        if self.image_score == "class-token":
            addend = Addend("text", 1.0, largest_cosine(features.image[:, None], chosen)[:, 0])
        else:
            addend = Addend.highest("text", 1.0, judged, "arithmetic", features.grid)
        return Attribution((addend,), judged, largest_voice(text, counting))

    def _counting(self, text: TextEmbeddings) -> Bool[Tensor, " n"]:
        return text.anomalous | (self.sentences == "all")


def largest_cosine(
    embeddings: Float[Tensor, "b r d"], sentences: Float[Tensor, "*b n d"]
) -> Float[Tensor, "b r"]:
    """Return for each region its largest cosine to a sentence (of unit length)."""
    cosines = F.normalize(embeddings, dim=-1) @ sentences.transpose(-1, -2)
    return cosines.amax(-1)


def largest_voice(text: TextEmbeddings, counting: Bool[Tensor, " n"]) -> Voices:
    """Return the voices where the largest cosine of those that count decides alone."""

    def pushes(embeddings: Float[Tensor, "b r d"]) -> Float[Tensor, "b r n"]:
        cosines = F.normalize(embeddings, dim=-1) @ text.embeddings.transpose(-1, -2)
        counted = cosines.masked_fill(~counting, -torch.inf)
        winner: Tensor = F.one_hot(counted.argmax(-1), len(counting)) * cosines
        return winner

    return Voices("cosine", pushes)
