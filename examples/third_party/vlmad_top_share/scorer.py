"""The scorer `top-share`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Le

from vlmad import Prediction, Scorer
from vlmad.regions import mean_map, upsample
from vlmad.text import anomaly_probability, pool_sides

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad import Features, TextEmbeddings

TEMPERATURE = 0.07


class TopShare(Scorer):
    """The mean of the highest pixels, so that neither one pixel nor the whole image decides.

    Args:
        share: how many of the pixels count.
    """

    def __init__(self, share: Annotated[float, Gt(0), Le(1)] = 0.02) -> None:
        self.share = share

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, torch.Tensor] | None,
    ) -> Prediction:
        """Average the regions' probabilities cell by cell, then the highest pixels."""
        assert text is not None
        sides = pool_sides(text)
        maps = []
        for regions in features.aligned:
            scores = anomaly_probability(regions.embeddings, sides, TEMPERATURE)
            maps.append(mean_map(scores, regions.cells, features.grid))
        heat = upsample(torch.stack(maps).mean(0), features.image_size)
        pixels = heat.flatten(1)
        count = max(1, round(self.share * pixels.shape[1]))
        return Prediction(pixels.topk(count).values.mean(1), heat)
