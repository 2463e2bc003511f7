"""Pairs to learn from: of one product, a good picture and a defective one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from picture_features import GRID, Shard
from torch import Tensor

DEFECTIVE = 0.04
"""The share of a patch from which on it is defective."""
LEAST_COVER = 0.06
"""Patches that a defect covers at least in all; of a smaller one too little is left to be seen."""
NOISE, SCALE = 0.05, 0.05
"""Deviation of what is added to and multiplied with features, beside that of each channel."""


@dataclass(frozen=True, slots=True)
class Product:
    """Where the pictures of a product are in its shard."""

    shard: int
    good: Sequence[int]
    bad: Sequence[int]
    name: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pictures of some products: a good one of each, and then a defective one of each."""

    features: Tensor
    similarities: Tensor
    cover: Tensor
    names: Sequence[str]

    @property
    def bad(self) -> Tensor:
        """Which pictures are defective (b,)."""
        return torch.arange(len(self.cover)) >= len(self.cover) // 2


def products_of(shards: Sequence[Shard]) -> list[Product]:
    """Return the products that have good and defective pictures."""
    found = []
    for number, shard in enumerate(shards):
        total = shard.cover.sum(1)
        for which, name in enumerate(shard.names):
            own = shard.product == which
            good = (own & (total == 0)).nonzero()[:, 0].tolist()
            bad = (own & (total > LEAST_COVER)).nonzero()[:, 0].tolist()
            if good and bad:
                found.append(Product(number, good, bad, name))
    return found


def draw_pairs(
    shards: Sequence[Shard], products: Sequence[Product], number: int, rng: np.random.Generator
) -> Pairs:
    """Draw products, and a picture of either side of each."""
    chosen = [products[each] for each in rng.choice(len(products), number, replace=False)]
    rows = [(p.shard, int(rng.choice(p.good))) for p in chosen]
    rows += [(p.shard, int(rng.choice(p.bad))) for p in chosen]
    features = torch.stack([shards[shard].features[row] for shard, row in rows])
    similarities = torch.stack([shards[shard].similarities[row] for shard, row in rows])
    cover = torch.stack([shards[shard].cover[row] for shard, row in rows])
    return Pairs(features, similarities, cover, [p.name for p in chosen] * 2)


def turned(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Mirror all pictures of a step, or not, along either side."""
    axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
    grids = (pairs.similarities.mT, pairs.cover[:, None])
    similarities, cover = (
        grid.unflatten(-1, (GRID, GRID)).flip(axes).flatten(-2) for grid in grids
    )
    return Pairs(pairs.features.flip(axes), similarities.mT, cover[:, 0], pairs.names)


def noisy(values: Tensor, channel: int) -> Tensor:
    """Change standardised values a little, each and each channel as a whole."""
    shape = [1] * values.ndim
    shape[0], shape[channel] = values.shape[0], values.shape[channel]
    return values * (1 + SCALE * torch.randn(shape)) + NOISE * torch.randn_like(values)
