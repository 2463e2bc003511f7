"""AnomalyCLIP's scorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Interval
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from vlmad import Prediction, Scorer
from vlmad.parts import CLASS_TOKEN, PATCHES, TEXT
from vlmad.regions import mean_map, upsample
from vlmad.text import anomaly_probability, pool_sides
from vlmad_attribution.attribution import Attribution, pooled_attribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Features, TextEmbeddings


class DenseScorer(Scorer):
    """The class token's probability, and the patches' summed over layers and smoothed.

    Args:
        temperature: of the softmax over the two sides.
        sigma: of the Gaussian that smooths the map, in pixels of the model's image; 0 for none.
        pooling: how a side's sentences become one: mean (of raw embeddings) or unit-mean.
    """

    needs = frozenset({CLASS_TOKEN, PATCHES, TEXT})

    def __init__(
        self,
        temperature: Annotated[float, Gt(0)] = 0.07,
        sigma: Annotated[float, Interval(ge=0, le=1000)] = 4.0,
        pooling: Literal["mean", "unit-mean"] = "unit-mean",
    ) -> None:
        self.temperature, self.sigma, self.pooling = temperature, sigma, pooling

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by text; references are not used."""
        assert text is not None
        sides = pool_sides(text, self.pooling)
        score = anomaly_probability(features.image[:, None], sides, self.temperature)[:, 0]
        layers = [
            mean_map(
                anomaly_probability(regions.embeddings, sides, self.temperature),
                regions.cells,
                features.grid,
            )
            for regions in features.aligned
        ]
        summed = torch.stack(layers).sum(0)
        return Prediction(score, smooth(upsample(summed, features.image_size), self.sigma))

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the class token's probability; the patches' make the map alone."""
        assert text is not None
        return pooled_attribution(features, text, self.pooling, self.temperature)


def smooth(maps: Float[Tensor, "b h w"], sigma: float) -> Float[Tensor, "b h w"]:
    """Smooth each map with a Gaussian, mirrored at the borders, on the processor."""
    if sigma == 0:
        return maps
    if torch.compiler.is_compiling():  # what scipy does cannot be recorded; two products can
        sides = (np.eye(side, dtype=np.float32) for side in maps.shape[1:])
        rows, columns = (torch.from_numpy(gaussian_filter1d(s, sigma, axis=0)) for s in sides)
        return rows @ maps @ columns.T
    smoothed = [gaussian_filter(image.cpu().numpy(), sigma) for image in maps]
    return torch.from_numpy(np.stack(smoothed)).to(maps.device)
