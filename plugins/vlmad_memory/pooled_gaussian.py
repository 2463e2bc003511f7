"""One Gaussian of each level over the cells of all references, wherever they lie."""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING

import torch

from vlmad import View
from vlmad.regions import inside_regions
from vlmad_memory.misses import CELLS, MISSED, apart, joined, learned, raised, refuse_directions
from vlmad_memory.once import OncePerTensor
from vlmad_memory.sums import PARTS, added, check_level, mean_and_covariance, refuse_sums, sums_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jaxtyping import Bool, Float
    from torch import Tensor

    from vlmad import Features, Regions

TURNED = ", turned"
"""What the sums over turned copies are called after the level's name."""
REFERENCES = "references"


class PooledGaussian:
    """Squared Mahalanobis distances to it; it remembers sums.

    Args:
        ridge: what is added to every variance.
        turned: up to how many references their turned copies count too.
    """

    def __init__(self, ridge: float, turned: int = 0) -> None:
        self.ridge, self.turned = ridge, turned
        self._standards = OncePerTensor[tuple["Tensor", "Tensor"]]()

    def fit(self, references: Features, levels: Iterable[Regions]) -> dict[str, Tensor]:
        """Return the sums over all cells that count, by level, those of turned copies apart."""
        as_is = as_they_are(references)
        memory: dict[str, Tensor] = {}
        for regions in levels:
            inside = inside_regions(references, regions)
            for suffix, own in (("", as_is), (TURNED, ~as_is)):
                if own.any():
                    counted = None if inside is None else inside[own]
                    memory |= sums_of(regions.name + suffix, regions.embeddings[own], counted)
        if not as_is.all():
            first = as_is & ~as_is.roll(1)  # pieces of one reference follow each other
            memory[REFERENCES] = first.sum()
        return memory

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Add the sums, those of turned copies only where all of both would have them."""
        directions, both = zip(*map(apart, (memory, more)), strict=True)
        return joined(joined(self._added(*both), directions[0]), directions[1])

    def _added(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
        both = (memory, more)
        few = all(REFERENCES in each for each in both)
        if few and sum(int(each[REFERENCES]) for each in both) <= self.turned:
            return added(memory, more)
        return added(*map(_as_is, both))

    def refuses(self, memory: Mapping[str, Tensor]) -> str | None:
        """Return which tensors are no sums over cells, or no directions of misses."""
        directions, memory = apart(memory)
        count = memory.get(REFERENCES)
        sums = {name: tensor for name, tensor in memory.items() if name != REFERENCES}
        turned = len(sums) - len(_as_is(memory))
        if count is None:
            fits = not turned
        else:
            number = count.dtype == torch.int64 and count.shape == ()
            fits = number and 1 <= int(count) <= self.turned and 2 * turned == len(sums)
        if not fits:
            return "its turned copies are not those of its references"
        return refuse_sums(sums) or refuse_directions(directions, sums)

    def distances(
        self, levels: Iterable[Regions], memory: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, "b r"]]:
        """Return the squared distances of all cells, by level."""
        found = {}
        for regions in levels:
            name, cells = regions.name, regions.embeddings
            mean, whitening = self._standard_for(regions, memory)
            offsets = (cells - mean) @ whitening.T
            found[name] = offsets.square().sum(-1)
            if name + MISSED in memory:
                directions = memory[name + MISSED].to(cells) @ whitening.T
                found[name] = raised(found[name], offsets, directions)
        return found

    def learn(
        self,
        memory: Mapping[str, Tensor],
        levels: Iterable[Regions],
        unusual: Mapping[str, Float[Tensor, "b r"]],
    ) -> dict[str, Tensor]:
        """Return a memory with the directions of the most unusual cells of one image, in pieces."""
        for regions in levels:
            cells, scores = regions.embeddings.flatten(0, 1), unusual[regions.name].flatten()
            highest = scores.topk(min(CELLS, len(scores))).indices
            mean, _ = self._standard_for(regions, memory)
            memory = learned(memory, regions.name, cells[highest] - mean)
        return dict(memory)

    def _standard_for(
        self, regions: Regions, memory: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        name, cells = regions.name, regions.embeddings
        check_level(name, cells.shape[-1], memory)
        make = partial(self._standard, name, memory)
        mean, whitening = self._standards(memory[f"{name} products"], make)
        return mean.to(cells), whitening.to(cells)

    def _standard(
        self, name: str, memory: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        """Return the mean and what makes the covariance the identity."""
        sums = [
            {f"{name} {part}": memory[f"{each} {part}"] for part in PARTS}
            for each in (name, name + TURNED)
            if f"{each} count" in memory
        ]
        mean, covariance = mean_and_covariance(name, reduce(added, sums))
        return mean.float(), whitening_of(covariance, self.ridge).float()


def as_they_are(references: Features) -> Bool[Tensor, " b"]:
    """Return which of them are not turned; all where none is known not to be."""
    as_is = torch.tensor([view == View() for view in references.views], dtype=torch.bool)
    return as_is if as_is.any() else torch.ones(len(references), dtype=torch.bool)


def _as_is(memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums over references as they are."""
    suffixes = tuple(f"{TURNED} {part}" for part in PARTS)
    kept = {name: tensor for name, tensor in memory.items() if not name.endswith(suffixes)}
    kept.pop(REFERENCES, None)
    return kept


def whitening_of(covariance: Float[Tensor, "*p d d"], ridge: float) -> Float[Tensor, "*p d d"]:
    """Return the inverse of the lower Cholesky factor of a covariance and `ridge` times I."""
    same = torch.eye(covariance.shape[-1]).to(covariance)
    factor = torch.linalg.cholesky(covariance + ridge * same)
    inverse: Tensor = torch.linalg.solve_triangular(factor, same.expand_as(factor), upper=False)
    return inverse
