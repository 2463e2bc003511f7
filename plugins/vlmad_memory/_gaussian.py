"""The scorer of Gaussians over the references' cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le

from vlmad import Prediction, Scorer, View
from vlmad.errors import OptionError
from vlmad.parts import CELLS
from vlmad.regions import inside_regions, only_inside
from vlmad_attribution.attribution import Addend, Attribution, Judged, Mean
from vlmad_memory.image_scores import mean_of_top, power_mean
from vlmad_memory.kept_cells import differences, refuse_kept, surroundings
from vlmad_memory.misses import apart
from vlmad_memory.own_novelty import own_level, own_novelty
from vlmad_memory.pooled_gaussian import PooledGaussian, as_they_are
from vlmad_memory.position_gaussians import PositionGaussians
from vlmad_memory.smoothing import SIGMAS, to_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import BackboneSpec, Features, Regions, TextEmbeddings

SLACK = 0.02
"""What is added to distances before their logarithm, so that no small one decides alone."""
KEPT = "kept cells"
TURNS = (0.0, 90.0, 180.0, 270.0)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Judged cells of a level and their weight in what all say together."""

    judged: Judged
    weight: float
    cells: Float[Tensor, "b gh gw"]


class Gaussian(Scorer):
    """The Mahalanobis distance of each cell to the cells of the references.

    By default wherever these lie: of unit cells t with mean m and covariance C over all of a
    level, ``ridge * (t - m)' (C + ridge I)^-1 (t - m)``, which is from 0 to 4 at any width. Joined
    with it are the other levels', how unlike the most similar cell of the references the cell is
    (`vlmad_memory.kept_cells`), and how unlike the rest of its own image.

    Args:
        positions: whether one Gaussian holds for all positions of a level (pooled), or each has
            its own over all levels (each: PaDiM).
        ridge: what is added to every variance.
        unit: whether cells are brought to unit length.
        rooted: whether distances are square roots without the ridge as factor (PaDiM).
        channels: how many channels of all levels are drawn, where each position has its own.
        seed: of that draw.
        turned: up to how many references seven turned and mirrored copies of each count too.
        novelty: the weight of a cell's distance to its own image, beside 1 for each level.
        nearest: the weight of its difference from the most similar cell of the references.
        level: whose cells novelty and nearest look at; by default the first level's.
        joining: of all these: their weighted geometric mean, or their weighted sum.
        power: the image score is the power mean of this exponent; none takes `top` instead.
        top: the share of the highest whose mean is the image score; 0 is the maximum alone.
        score_of: whether the image score is made of cells or of the smooth map's pixels.
        sigma: of the Gaussian over the map, in pixels; by default a sixtieth of its side.
    """

    needs = frozenset({CELLS})
    references = "required"
    adds_exactly = honours_inside = True

    def __init__(
        self,
        positions: Literal["pooled", "each"] = "pooled",
        ridge: Annotated[float, Gt(0)] = 0.003,
        unit: bool = True,
        rooted: bool = False,
        channels: Annotated[int, Ge(1)] | None = None,
        seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0,
        turned: Annotated[int, Ge(0)] = 2,
        novelty: Annotated[float, Ge(0)] = 0.3,
        nearest: Annotated[float, Ge(0)] = 2.0,
        level: str | None = None,
        joining: Literal["geometric", "sum"] = "geometric",
        power: Annotated[float, Ge(1)] | None = 32,
        top: Annotated[float, Ge(0), Le(1)] = 0.01,
        score_of: Literal["cells", "pixels"] = "cells",
        sigma: Annotated[float, Ge(0)] | None = None,
    ) -> None:
        if channels is not None and positions == "pooled":
            raise OptionError("channels are drawn where each position has its own Gaussian")
        self.model: PooledGaussian | PositionGaussians = PooledGaussian(ridge, turned)
        if positions == "each":
            self.model, turned = PositionGaussians(ridge, channels, seed), 0
        self.turned = turned
        self.odd_reference = 1.35 if positions == "pooled" else 1.8
        self.learns_misses = positions == "pooled"
        self.ridge, self.unit, self.rooted = ridge, unit, rooted
        self.novelty, self.nearest, self.level = novelty, nearest, level
        self.joining = joining
        self.power, self.top, self.score_of, self.sigma = power, top, score_of, sigma

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember sums over the cells, or of each position its drawn channels."""
        memory = self.model.fit(references, self._levels(references))
        if self.nearest:
            cells = surroundings(references, own_level(references, self.level))
            memory[KEPT] = cells[as_they_are(references)].contiguous()
        return memory

    def views(self, references: int) -> Sequence[View]:
        """Turn and mirror few references."""
        turned = (View(degrees, mirrored) for mirrored in (False, True) for degrees in TURNS)
        return [view for view in turned if view != View()] if references <= self.turned else []

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Add the sums, and join the cells."""
        (kept, sums), (others, added) = map(_apart, (memory, more))
        joined = self.model.add(sums, added)
        if kept is not None and others is not None:
            joined[KEPT] = torch.cat([kept, others])
        return joined

    def learn_miss(self, memory: Mapping[str, Tensor], miss: Features) -> Mapping[str, Tensor]:
        """Remember in what the most unusual cells differ, whatever was learned before."""
        assert isinstance(self.model, PooledGaussian)
        levels, (_, rest) = self._levels(miss), apart(memory)
        cells = self.cells(miss, rest)
        unusual = {r.name: to_pixels(cells, r.grid or miss.grid).flatten(1) for r in levels}
        return self.model.learn(memory, levels, unusual)

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensors are none of such a Gaussian."""
        kept, others = _apart(memory)
        if (kept is not None) != bool(self.nearest):
            return f"it does not hold '{KEPT}' just where the nearest counts"
        if kept is not None and (reason := refuse_kept(kept)):
            return reason
        return self.model.refuses(others)

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the highest cells, of all levels and the image's own novelty joined."""
        assert memory is not None
        cells = self.cells(features, memory)
        heat = self._map(features, cells)
        return Prediction(self._score(cells, heat), heat)

    def cells(self, features: Features, memory: Mapping[str, Tensor]) -> Float[Tensor, "b gh gw"]:
        """Return what all say together of each cell of the finest level."""
        return self._joined(self._weighed(features, memory))

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the cells that the score is made of, and what each level says of them."""
        assert memory is not None
        weighed = self._weighed(features, memory)
        cells = self._joined(weighed)
        score = self._score(cells, self._map(features, cells))
        levels = tuple(each.judged for each in weighed)
        compared = tuple(level for level in levels if level.by != "image")
        mean: Mean = "joined" if self.power is not None else "smoothed"
        whole = Addend("references", 1.0, score, compared, mean, cells)
        return Attribution((whole,), levels)

    def _levels(self, features: Features) -> list[Regions]:
        """Return the levels as they are compared."""
        if not self.unit:
            return list(features.regions)
        units = (F.normalize(regions.embeddings, dim=-1) for regions in features.regions)
        return [replace(r, embeddings=u) for r, u in zip(features.regions, units, strict=True)]

    def _weighed(self, features: Features, memory: Mapping[str, Tensor]) -> list[Weighed]:
        """Judge each level, and one by its own image."""
        distances = self.model.distances(self._levels(features), memory)
        found: list[tuple[Judged, float]] = []
        for regions in features.regions:
            if regions.name in distances:
                squared = distances[regions.name]
                value = squared.sqrt() if self.rooted else self.ridge * squared
                found.append((Judged(regions, "references", value), 1.0))
        own = own_level(features, self.level)
        if self.nearest:
            kept = memory[KEPT]
            value, nearest = differences(features, own, kept)
            # of each reference as it is; its turned copies lie behind it
            nearest += nearest // kept.shape[1] * kept.shape[1] * len(self.views(len(kept)))
            found.append((Judged(own, "nearest", value, nearest), self.nearest))
        if self.novelty:
            found.append((Judged(own, "image", own_novelty(features, own)), self.novelty))
        finest = max(judged.regions.grid or features.grid for judged, _ in found)
        weighed = []
        for judged, weight in found:
            inside = only_inside(judged.values, inside_regions(features, judged.regions))
            cells = to_pixels(inside.unflatten(1, judged.regions.grid or features.grid), finest)
            weighed.append(Weighed(judged, weight, cells))
        return weighed

    def _joined(self, weighed: Sequence[Weighed]) -> Float[Tensor, "b gh gw"]:
        maps = torch.stack([each.cells for each in weighed])
        weights = torch.tensor([each.weight for each in weighed]).to(maps)[:, None, None, None]
        if self.joining == "sum":
            return (weights * maps).sum(0)
        return ((weights * (maps + SLACK).log()).sum(0) / weights.sum()).exp()

    def _map(self, features: Features, cells: Float[Tensor, "b gh gw"]) -> Float[Tensor, "b h w"]:
        side = min(features.image_size)
        sigma = side / SIGMAS if self.sigma is None else self.sigma
        return to_pixels(cells, features.image_size, sigma)

    def _score(
        self, cells: Float[Tensor, "b gh gw"], heat: Float[Tensor, "b h w"]
    ) -> Float[Tensor, " b"]:
        values = cells if self.score_of == "cells" else heat
        if self.power is not None:
            return power_mean(values, self.power)
        return mean_of_top(values, self.top)


def _apart(memory: Mapping[str, Tensor]) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Return the kept cells, if there are some, and the rest of a memory."""
    rest = dict(memory)
    return rest.pop(KEPT, None), rest
