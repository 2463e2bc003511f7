"""The scorer of how rare each cell is within its own image; it takes no references and no text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt

from vlmad import Prediction, Scorer
from vlmad.parts import CELLS
from vlmad.regions import inside_regions, only_inside
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_memory.image_scores import power_mean
from vlmad_memory.own_novelty import own_level
from vlmad_memory.pooled_gaussian import whitening_of
from vlmad_memory.smoothing import SIGMAS, to_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float
    from torch import Tensor

    from vlmad import Features, TextEmbeddings


class Rarity(Scorer):
    """The Mahalanobis distance of each cell to the cells of its own image.

    Of unit cells t with mean m and covariance C over the image, ``ridge * (t - m)' (C + ridge I)^-1
    (t - m)``; likewise of cells as they are, divided by the root of their width. The map is the
    geometric mean of both.

    Args:
        ridge: what is added to every variance.
        lengths: the weight of cells as they are, their lengths included, beside 1 for unit ones.
        power: the image score is the power mean of this exponent over the cells; the larger it is,
            the less it counts how much of the image is rare, and the more how rare the rarest is.
        level: whose cells are compared; by default the first level's.
        sigma: of the Gaussian over the map, in pixels; by default a sixtieth of its side.
    """

    needs = frozenset({CELLS})
    honours_inside = True

    def __init__(
        self,
        ridge: Annotated[float, Gt(0)] = 0.003,
        lengths: Annotated[float, Ge(0)] = 0.3,
        power: Annotated[float, Ge(1)] = 6,
        level: str | None = None,
        sigma: Annotated[float, Ge(0)] | None = None,
    ) -> None:
        self.ridge, self.lengths, self.power = ridge, lengths, power
        self.level, self.sigma = level, sigma

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the power mean over cells."""
        cells = self.cells(features)
        sigma = min(features.image_size) / SIGMAS if self.sigma is None else self.sigma
        return Prediction(
            power_mean(cells, self.power), to_pixels(cells, features.image_size, sigma)
        )

    def cells(self, features: Features) -> Float[Tensor, "b gh gw"]:
        """Return how rare each cell of the level is."""
        return self._cells(features, self._judged(features))

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the cells that the score is the power mean of."""
        judged = self._judged(features)
        cells = self._cells(features, judged)
        score = power_mean(cells, self.power)
        return Attribution((Addend("image", 1.0, score, (judged,), "joined", cells),), (judged,))

    def _judged(self, features: Features) -> Judged:
        regions = own_level(features, self.level)
        cells, inside = regions.embeddings, inside_regions(features, regions)
        values = own_distances(F.normalize(cells, dim=-1), self.ridge, inside)
        if self.lengths:
            whole = own_distances(cells / math.sqrt(cells.shape[-1]), self.ridge, inside)
            share = self.lengths / (1 + self.lengths)
            values = values ** (1 - share) * whole**share
        return Judged(regions, "image", only_inside(values, inside))

    def _cells(self, features: Features, judged: Judged) -> Float[Tensor, "b gh gw"]:
        cells: Tensor = judged.values.unflatten(1, judged.regions.grid or features.grid)
        return cells


def own_distances(
    cells: Float[Tensor, "b r d"], ridge: float, inside: Bool[Tensor, "b r"] | None = None
) -> Float[Tensor, "b r"]:
    """Return how far each cell is from the Gaussian over those of its image, from 0 to ridge * r.

    Args:
        cells: of images.
        ridge: what is added to every variance, and what squared distances are multiplied by.
        inside: which cells count, where not all do.
    """
    found = []
    for index, image in enumerate(cells.double()):  # one by one: products depend on the shape
        counted = image if inside is None or not inside[index].any() else image[inside[index]]
        mean = counted.mean(0)
        offsets = counted - mean
        whitening = whitening_of(offsets.T @ offsets / len(counted), ridge)
        found.append(ridge * ((image - mean) @ whitening.T).square().sum(-1))
    return torch.stack(found).to(cells)
