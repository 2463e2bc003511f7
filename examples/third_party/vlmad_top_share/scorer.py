"""The scorer `top-share`."""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor
from vlmad import Features, Prediction, Scorer, TextEmbeddings
from vlmad.regions import mean_map, upsample
from vlmad.text import anomaly_probability, pool_sides

TEMPERATURE = 0.07


class TopShare(Scorer):
    """The mean of the highest pixels, so that neither one pixel nor the whole image decides.

    Args:
        share: how many of the pixels count.
    """

    def __init__(self, share: Annotated[float, Gt(0), Le(1)] = 0.02) -> None:
        self.share = share

    def __call__(
        self, features: Features, text: TextEmbeddings | None, memory: Mapping[str, Tensor] | None
    ) -> Prediction:
        """Average the regions' probabilities cell by cell, then the highest pixels."""
        assert text is not None  # it needs text, by default
        sides, maps = pool_sides(text), []
        for regions in features.aligned:
            scores = anomaly_probability(regions.embeddings, sides, TEMPERATURE)
            maps.append(mean_map(scores, regions.cells, features.grid))
        heat = upsample(torch.stack(maps).mean(0), features.image_size)
        pixels = heat.flatten(1)
        count = max(1, round(self.share * pixels.shape[1]))
        return Prediction(pixels.topk(count).values.mean(1), heat)
