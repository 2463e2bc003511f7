"""Convolutional autoencoders of grids of cells, and the critic that learns against one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from vlmad_families.reconstruction_losses import reparametrised

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

MOST_LOG = 10.0
"""Of a variance: beyond it a draw says nothing more."""


class Rebuilt(NamedTuple):
    """What an autoencoder makes of cells, and the Gaussian that its code was drawn from."""

    cells: Float[Tensor, "b c h w"]
    mean: Float[Tensor, "b z k l"]
    log_variance: Float[Tensor, "b z k l"] | None


class Autoencoder(nn.Module):
    """Halves the grid so often, narrows each cell to a code, and goes the same way back.

    Args:
        channels: of a cell.
        width: of hidden cells.
        code: of the bottleneck.
        halvings: of the grid.
        variational: whether codes are drawn from Gaussians while it learns.
    """

    def __init__(
        self, channels: int, width: int, code: int, halvings: int, variational: bool = False
    ) -> None:
        super().__init__()
        self.variational = variational
        self.first = nn.Conv2d(channels, width, 1)
        self.around = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(width, width, 4, stride=2, padding=1) for _ in range(halvings)
        )
        self.narrow = nn.Conv2d(width, 2 * code if variational else code, 1)
        self.wide = nn.Conv2d(code, width, 1)
        self.up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(halvings))
        self.before = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(
        self, cells: Float[Tensor, "b c h w"], noise: torch.Generator | None = None
    ) -> Rebuilt:
        """Rebuild cells; without `noise` from the means of their codes."""
        hidden, sizes = _active(self.around(_active(self.first(cells)))), list[tuple[int, int]]()
        for conv in self.down:
            sizes.append((hidden.shape[2], hidden.shape[3]))
            hidden = _active(conv(hidden))
        code = mean = self.narrow(hidden)
        log_variance = None
        if self.variational:
            mean, log_variance = code.chunk(2, 1)
            log_variance = log_variance.clamp(-MOST_LOG, MOST_LOG)
            code = mean
            if noise is not None:
                drawn = torch.randn(mean.shape, generator=noise, dtype=mean.dtype)
                code = reparametrised(mean, log_variance, drawn.to(mean))
        hidden = _active(self.wide(code))
        for conv, size in zip(self.up, reversed(sizes), strict=True):
            hidden = F.interpolate(hidden, size=size, mode="bilinear", align_corners=False)
            hidden = _active(conv(hidden))
        return Rebuilt(self.last(_active(self.before(hidden))), mean, log_variance)


class Critic(nn.Module):
    """Tells patches of cells from rebuilt ones; its features tell how far these are off.

    Args:
        channels: of a cell.
        width: of its features.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.verdict = nn.Conv2d(width, 1, 1)

    def features(self, cells: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h w"]:
        """Return what it sees about each cell."""
        return _active(self.second(_active(self.first(cells))))

    def forward(self, cells: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return the log-odds that a patch is no rebuilt one."""
        verdict: Tensor = self.verdict(self.features(cells))
        return verdict


def _active(cells: Tensor) -> Tensor:
    return F.leaky_relu(cells, 0.2)
