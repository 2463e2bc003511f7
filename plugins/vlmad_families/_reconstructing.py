"""How autoencoders learn: the loss of each level, and that of the critics beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from vlmad_families._autoencoder_network import Autoencoder, Critic
from vlmad_families.reconstruction_losses import divergence, similarity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

Error: TypeAlias = Literal["l1", "l2", "ssim", "cosine", "critic"]
SIDE = 16
"""Cells to a side that a grid is halved to, where nobody says."""
NOTHING = 1e-6
CRITIC, REBUILDER = "critics", "rebuilders"


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """What is learned; see `vlmad_families._reconstruction.Reconstruction`."""

    code: int
    width: int
    halvings: int | None
    loss: Literal["l1", "l2", "ssim", "cosine"]
    variational: bool
    beta: float
    adversarial: float
    seed: int

    def halvings_of(self, grid: Sequence[int]) -> int:
        """Return how often a grid is halved."""
        return usual_halvings(grid) if self.halvings is None else self.halvings


def make_networks(
    options: RebuildOptions, channels: Sequence[int], halvings: Sequence[int]
) -> dict[str, nn.ModuleDict]:
    """Return an autoencoder for each level, and critics where some learn, drawn by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        made = {
            str(place): Autoencoder(each, options.width, options.code, times, options.variational)
            for place, (each, times) in enumerate(zip(channels, halvings, strict=True))
        }
        networks = {REBUILDER: nn.ModuleDict(made)}
        if options.adversarial:
            critics = {
                str(place): Critic(each, options.width) for place, each in enumerate(channels)
            }
            networks[CRITIC] = nn.ModuleDict(critics)
    return networks


def usual_halvings(grid: Sequence[int]) -> int:
    """Return how often a grid is halved until it has about 16 cells to a side.

    >>> usual_halvings((256, 256)), usual_halvings((20, 20)), usual_halvings((5, 5))
    (4, 0, 0)
    """
    return max(0, min(6, round(math.log2(min(grid) / SIDE))))


def error_of(
    cells: Float[Tensor, "b c h w"],
    rebuilt: Float[Tensor, "b c h w"],
    error: Error,
    extent: Float[Tensor, " 1"],
    critic: Critic | None = None,
) -> Float[Tensor, "b h w"]:
    """Return how far each cell is from its reconstruction, the mean over channels.

    Args:
        cells: of one level.
        rebuilt: what an autoencoder made of them.
        error: absolute, squared, 1 - structural similarity (halved, so from 0 to 1), 1 - cosine,
            or squared between the features of a critic.
        extent: between the largest and the smallest value, for structural similarity.
        critic: whose features are compared.
    """
    if error == "ssim":
        return (1 - similarity(cells, rebuilt, extent)) / 2
    if error == "cosine":
        return 1 - F.cosine_similarity(cells, rebuilt, dim=1, eps=NOTHING)
    if error == "critic":
        assert critic is not None
        return (critic.features(cells) - critic.features(rebuilt)).square().mean(1)
    apart = cells - rebuilt
    return (apart.abs() if error == "l1" else apart.square()).mean(1)


class Reconstructing:
    """Levels of good images, which are to be rebuilt.

    Args:
        options: what is learned.
        levels: the cells of each, as they are to be rebuilt.
        extents: of each, for structural similarity.
    """

    def __init__(
        self,
        options: RebuildOptions,
        levels: Sequence[Float[Tensor, "n c h w"]],
        extents: Sequence[Float[Tensor, " 1"]],
    ) -> None:
        self.options, self.levels, self.extents = options, levels, extents
        halvings = [options.halvings_of(each.shape[2:]) for each in levels]
        self.networks: Mapping[str, nn.Module] = make_networks(
            options, [each.shape[1] for each in levels], halvings
        )

    def steps(
        self, rows: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Let the autoencoders take a step, then the critics."""
        noise = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        good = [level[list(rows)] for level in self.levels]
        terms: dict[str, Tensor] = {}
        rebuilt = []
        for place, cells in enumerate(good):
            own, made = self._terms(place, cells, noise)
            rebuilt.append(made)
            for name, value in own.items():
                terms[name] = terms[name] + value if name in terms else value
        yield REBUILDER, terms
        if self.options.adversarial:
            verdicts = [
                F.softplus(-critic(cells)).mean() + F.softplus(critic(made.detach())).mean()
                for critic, cells, made in zip(self._critics(), good, rebuilt, strict=True)
            ]
            yield CRITIC, {"critic": torch.stack(verdicts).sum()}

    def _terms(
        self, place: int, cells: Float[Tensor, "b c h w"], noise: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the terms of the loss of a level, and what was rebuilt."""
        network = self.networks[REBUILDER][str(place)]  # type: ignore[index]
        rebuilt, mean, log_variance = network(cells, noise)
        loss = error_of(cells, rebuilt, self.options.loss, self.extents[place]).mean()
        terms: dict[str, Tensor] = {self.options.loss: loss}
        if log_variance is not None:
            share = divergence(mean, log_variance).mean() / cells[0].numel()
            terms["divergence"] = self.options.beta * share
        if self.options.adversarial:
            fooled = F.softplus(-self._critics()[place](rebuilt)).mean()
            terms["adversarial"] = self.options.adversarial * fooled
        return terms, rebuilt

    def _critics(self) -> list[Critic]:
        return [*self.networks[CRITIC].values()]  # type: ignore[operator]
