"""The backbone `gabor`."""

import hashlib
import math
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor
from vlmad import (
    Attention,
    Backbone,
    BackboneSpec,
    ClassToken,
    ImageBatch,
    Level,
    LevelSpec,
    Preprocessing,
    Request,
    VisualFeatures,
)
from vlmad.parts import LEVELS

SIZE = (224, 224)
GRIDS = {4: (28, 28), 8: (28, 28), 16: (14, 14)}
"""Rows and columns in which the answers to waves of so many pixels are averaged."""


class GaborBackbone(Backbone):
    """How much of each wavelength and direction there is at each place: no weights, no text.

    Args:
        directions: how many, over half a turn.
    """

    def __init__(self, directions: Annotated[int, Ge(2), Le(16)] = 6) -> None:
        self._banks = {f"waves-{length}": _bank(length, directions) for length in GRIDS}
        grids = dict(zip(self._banks, GRIDS.values(), strict=True))
        self._spec = BackboneSpec(
            name=f"gabor-{directions}",
            preprocessing=Preprocessing(SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            grid=(28, 28),
            depth=len(grids),
            vision_width=directions,
            embedding_dim=directions * len(grids),
            provides=frozenset({LEVELS}),
            levels={name: LevelSpec(grid, directions) for name, grid in grids.items()},
            middle=("waves-4", "waves-8"),
        )

    @property
    def spec(self) -> BackboneSpec:
        """What is known of it."""
        return self._spec

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the filters, which stand in the place of weights."""
        digest = hashlib.sha256()
        for bank in self._banks.values():
            digest.update(bank.numpy().tobytes())
        return digest.hexdigest()

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer a level by its amplitudes, and the class token by the means of all levels."""
        grey = batch.pixels(self.spec.preprocessing).mean(1, keepdim=True)
        maps = {name: self._amplitudes(grey, name) for name in self._banks}
        answers: dict[Request, Tensor] = {}
        for request in requests:
            if isinstance(request, Level):
                answers[request] = maps[request.name].clone()
            elif isinstance(request, ClassToken):
                answers[request] = torch.cat([m.mean((1, 2)) for m in maps.values()], dim=1)
        return VisualFeatures(answers, self.spec.grid, SIZE)

    def _amplitudes(self, grey: Tensor, level: str) -> Tensor:
        bank = self._banks[level]
        edge = bank.shape[-1] // 2
        waves = F.conv2d(F.pad(grey, (edge,) * 4, mode="reflect"), bank)
        even, odd = waves.chunk(2, dim=1)
        pooled = F.adaptive_avg_pool2d(torch.hypot(even, odd), self.spec.levels[level].grid)
        return pooled.permute(0, 2, 3, 1).contiguous()


def _bank(length: int, directions: int) -> Tensor:
    """Return the even and then the odd filters of a wavelength (Gabor 1946; Daugman 1985)."""
    axis = torch.arange(-length, length + 1, dtype=torch.float64)
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    envelope = torch.exp(-(down**2 + right**2) / (2 * (length / 2) ** 2))
    angles = torch.arange(directions, dtype=torch.float64)[:, None, None] * math.pi / directions
    phase = 2 * math.pi / length * (right * angles.cos() + down * angles.sin())
    filters = torch.cat([envelope * phase.cos(), envelope * phase.sin()])
    filters = filters - filters.mean((1, 2), keepdim=True)  # brightness alone is no wave
    lengths = filters.square().sum((1, 2), keepdim=True).sqrt()
    return (filters / lengths)[:, None].float()
