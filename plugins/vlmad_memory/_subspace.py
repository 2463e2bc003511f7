"""The scorer of principal components of the references' cells (SubspaceAD)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le

from vlmad import Prediction, Scorer
from vlmad.parts import CELLS
from vlmad.regions import inside_regions, only_inside
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_memory.image_scores import mean_of_top
from vlmad_memory.once import OncePerTensor
from vlmad_memory.smoothing import to_pixels
from vlmad_memory.sums import added, check_level, mean_and_covariance, refuse_sums, sums_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import BackboneSpec, Features, Regions, TextEmbeddings

NOTHING = 1e-6
"""What keeps variances and lengths away from 0."""
ROUNDING = 1e-12
"""The share of a cell's mean square beyond which a variance is more than rounding."""


class Components(NamedTuple):
    """The directions in which normal cells vary most, the first the most."""

    mean: Float[Tensor, " d"]
    directions: Float[Tensor, "k d"]
    variances: Float[Tensor, " k"]


class Subspace(Scorer):
    """How far cells are from the principal components of the references' cells (SubspaceAD).

    Levels are judged by themselves; the map is the mean over them.

    Args:
        variance: as many components are taken as explain this share of it.
        components: how many are taken instead.
        without_first: how many of the first are left out of the reconstruction.
        distance: reconstruction (squared length of what is left), mahalanobis or euclidean
            (squared, within the components), or cosine to the reconstruction.
        top: the share of the highest pixels whose mean is the image score; 0 is the maximum.
        sigma: of the Gaussian over the map, in pixels.
        radius: of that Gaussian; the authors' is cut to 3 x 3.
    """

    needs = frozenset({CELLS})
    references = "required"
    adds_exactly = True
    honours_inside = True
    odd_reference = 4.0

    def __init__(
        self,
        variance: Annotated[float, Gt(0), Le(1)] = 0.99,
        components: Annotated[int, Ge(1)] | None = None,
        without_first: Annotated[int, Ge(0)] = 0,
        distance: Literal[
            "reconstruction", "mahalanobis", "euclidean", "cosine"
        ] = "reconstruction",
        top: Annotated[float, Ge(0), Le(1)] = 0.01,
        sigma: Annotated[float, Ge(0)] = 4,
        radius: Annotated[int, Ge(0)] | None = 1,
    ) -> None:
        self.variance, self.components, self.without_first = variance, components, without_first
        self.distance, self.top, self.sigma, self.radius = distance, top, sigma, radius
        self._components = OncePerTensor[Components]()

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember the sums over all cells, by level."""
        memory: dict[str, Tensor] = {}
        for regions in references.regions:
            inside = inside_regions(references, regions)
            memory |= sums_of(regions.name, regions.embeddings, inside)
        return memory

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Add the sums."""
        return added(memory, more)

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensors are no sums over cells."""
        return refuse_sums(memory)

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the highest pixels of the smooth map."""
        assert memory is not None
        heat = self._map(features, self._judged(features, memory))
        return Prediction(mean_of_top(heat, self.top), heat)

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the cells of each level."""
        assert memory is not None
        judged = self._judged(features, memory)
        heat = self._map(features, judged)
        cells = F.adaptive_max_pool2d(heat, features.grid)
        highest = Addend("references", 1.0, mean_of_top(heat, self.top), judged, "smoothed", cells)
        return Attribution((highest,), judged)

    def _judged(self, features: Features, memory: Mapping[str, Tensor]) -> tuple[Judged, ...]:
        levels = []
        for regions in features.regions:
            values = distances(regions.embeddings, self._of(regions, memory), self.distance)
            inside = only_inside(values, inside_regions(features, regions))
            levels.append(Judged(regions, "references", inside))
        return tuple(levels)

    def _map(self, features: Features, levels: tuple[Judged, ...]) -> Float[Tensor, "b h w"]:
        size, maps = features.image_size, []
        for level in levels:
            cells = level.values.unflatten(1, level.regions.grid or features.grid)
            maps.append(to_pixels(cells, size, self.sigma, self.radius))
        return torch.stack(maps).mean(0)

    def _of(self, regions: Regions, memory: Mapping[str, Tensor]) -> Components:
        check_level(regions.name, regions.embeddings.shape[-1], memory)
        make = partial(self._find_components, regions.name, memory)
        found = self._components(memory[f"{regions.name} products"], make)
        return Components(*(part.to(regions.embeddings) for part in found))

    def _find_components(self, name: str, memory: Mapping[str, Tensor]) -> Components:
        mean, covariance = mean_and_covariance(name, memory, less=1)
        variances, directions = torch.linalg.eigh(covariance)
        variances, directions = variances.flip(0).clamp_min(0), directions.T.flip(0)
        total = variances.sum()
        varies = variances > ROUNDING * (total + mean.square().sum())
        count = self.components
        if count is None:
            count = 1 + int((variances.cumsum(0) < self.variance * total).sum())
        kept = slice(self.without_first, min(count, int(varies.sum())))
        return Components(mean, directions[kept], variances[kept])


def distances(
    cells: Float[Tensor, "*b d"],
    components: Components,
    distance: Literal["reconstruction", "mahalanobis", "euclidean", "cosine"],
) -> Float[Tensor, "*b"]:
    """Return how far cells are from components, or from the mean within them."""
    centred = cells - components.mean
    along = centred @ components.directions.T
    if distance == "mahalanobis":
        return (along.square() / (components.variances + NOTHING)).sum(-1)
    if distance == "euclidean":
        return along.square().sum(-1)
    rest = centred - along @ components.directions
    if distance == "reconstruction":
        return rest.square().sum(-1)
    rebuilt = cells - rest
    lengths = (cells.norm(dim=-1) + NOTHING) * (rebuilt.norm(dim=-1) + NOTHING)
    cosine: Tensor = (cells * rebuilt).sum(-1) / lengths
    return 1 - cosine
