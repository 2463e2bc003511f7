"""The scorer of nearest images, then of nearest positions within these (SPADE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
from annotated_types import Ge

from vlmad import Prediction, Scorer
from vlmad.errors import WeightsError
from vlmad.parts import CELLS
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_memory.nearest_rows import nearest_rows
from vlmad_memory.smoothing import to_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import BackboneSpec, Features, Regions, TextEmbeddings

IMAGE = "image"


class Nearest(NamedTuple):
    """The references nearest to each image, the nearest first, and how far they are."""

    distances: Float[Tensor, "b k"]
    references: Int[Tensor, "b k"]


class Spade(Scorer):
    """Distance to the nearest references, and of each position to the nearest within these (SPADE).

    The image score is the mean distance of pooled features to the k nearest references; the map
    the mean over levels of the distance to the nearest of all positions of these.

    Args:
        k: how many references are nearest; of fewer all.
        squared: whether the image score is the mean of squared distances, as in the paper.
        sigma: of the Gaussian over the map, in pixels.
    """

    needs = frozenset({CELLS})
    references = "required"
    adds_exactly = True
    odd_reference = 1.35

    def __init__(
        self,
        k: Annotated[int, Ge(1)] = 5,
        squared: bool = False,
        sigma: Annotated[float, Ge(0)] = 4,
    ) -> None:
        self.k, self.squared, self.sigma = k, squared, sigma

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember the pooled features and all cells of each reference."""
        levels = {regions.name: regions.embeddings.clone() for regions in references.regions}
        return {IMAGE: references.image.clone(), **levels}

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Join the references."""
        shapes = [{name: kept.shape[1:] for name, kept in each.items()} for each in (memory, more)]
        if shapes[0] != shapes[1]:
            raise WeightsError("the memories to be added are of other levels")
        return {name: torch.cat([kept, more[name]]) for name, kept in memory.items()}

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensor holds no features of all references."""
        if IMAGE not in memory or len(memory) < 2 or memory[IMAGE].ndim != 2:
            return f"it does not hold '{IMAGE}' and levels"
        for name, kept in memory.items():
            if kept.ndim != (2 if name == IMAGE else 3) or 0 in kept.shape:
                return f"'{name}' has the shape {tuple(kept.shape)}"
            if not (kept.is_floating_point() and bool(torch.isfinite(kept).all())):
                return f"'{name}' holds what are no finite numbers"
            if len(kept) != len(memory[IMAGE]):
                return f"'{name}' is of another number of references"
        return None

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the nearest references, and positions by the nearest of theirs."""
        assert memory is not None
        nearest = self._nearest(features, memory)
        levels = self._judged(features, nearest, memory)
        maps = [
            to_pixels(
                level.values.unflatten(1, level.regions.grid or features.grid),
                features.image_size,
                self.sigma,
                border="symmetric",
            )
            for level in levels
        ]
        return Prediction(self._score(nearest), torch.stack(maps).mean(0))

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the distance of the whole image, and the nearest position of each."""
        assert memory is not None
        nearest = self._nearest(features, memory)
        whole = Addend("references", 1.0, self._score(nearest))
        return Attribution((whole,), tuple(self._judged(features, nearest, memory)))

    def _nearest(self, features: Features, memory: Mapping[str, Tensor]) -> Nearest:
        kept = memory[IMAGE]
        if kept.shape[-1] != features.image.shape[-1]:
            raise WeightsError("the references' memory is of another width; fit it anew")
        distances = (features.image[:, None] - kept).norm(dim=-1)
        return Nearest(*distances.topk(min(self.k, len(kept)), largest=False))

    def _score(self, nearest: Nearest) -> Float[Tensor, " b"]:
        distances = nearest.distances
        return (distances.square() if self.squared else distances).mean(1)

    def _judged(
        self, features: Features, nearest: Nearest, memory: Mapping[str, Tensor]
    ) -> Sequence[Judged]:
        judged = []
        for regions in features.regions:
            kept = _of_level(regions, memory)
            found = [
                nearest_rows(cells, kept[own].flatten(0, 1))
                for cells, own in zip(regions.embeddings, nearest.references, strict=True)
            ]
            squared, places = (torch.cat(each, 1).T for each in zip(*found, strict=True))
            cells = regions.embeddings.shape[1]
            owners = nearest.references.gather(1, places // cells)
            judged.append(
                Judged(regions, "references", squared.sqrt(), owners * cells + places % cells)
            )
        return judged


def _of_level(regions: Regions, memory: Mapping[str, Tensor]) -> Float[Tensor, "n r d"]:
    kept = memory.get(regions.name)
    if kept is None or kept.shape[1:] != regions.embeddings.shape[1:]:
        raise WeightsError(f"the references' memory is not of '{regions.name}'; fit it anew")
    return kept
