"""A small network that tells from distances which differences are defects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from vlmad_memory.comparison_channels import COMPARED, OWN

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

CHANNELS = len(OWN) + len(COMPARED)
WIDTH, BLOCKS = 48, 4
MOST = 4
"""References that make a difference to it; more count as so many."""
SLACK = 0.02
"""What is added to distances before their logarithm."""
WIDEST = 6.0
"""Deviations beyond which an input says no more."""


class Block(nn.Module):
    """What lies around a cell, then what follows from it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, cells: Float[Tensor, "b w h v"]) -> Float[Tensor, "b w h v"]:
        """Return the cells with what it adds to them."""
        inner = self.norm(self.around(cells).permute(0, 2, 3, 1))
        added: Tensor = self.narrow(F.gelu(self.wide(inner))).permute(0, 3, 1, 2)
        return cells + added


class ComparisonNetwork(nn.Module):
    """From channels of distances to the log-odds that a cell shows a defect.

    It sees the logarithm of each channel, and how that differs from its mean over the image. After
    the third block the whole image scales and shifts what is known of each cell.

    Args:
        width: of each cell.
        blocks: 5 x 5 cells around are seen by each.
    """

    mean: Tensor
    deviation: Tensor
    spread: Tensor

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("deviation", torch.ones(CHANNELS))
        self.register_buffer("spread", torch.ones(CHANNELS))
        self.first = nn.Conv2d(2 * CHANNELS + 1, width, 1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.whole = nn.Linear(2 * width, 2 * width)
        nn.init.zeros_(self.whole.weight)
        nn.init.zeros_(self.whole.bias)
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(
        self, channels: Float[Tensor, "b c h v"], references: Float[Tensor, " b"]
    ) -> Float[Tensor, "b h v"]:
        """Return the log-odds of each cell.

        Args:
            channels: `OWN` and `COMPARED`; the latter are ignored where there are no references.
            references: how many each image was compared with.
        """
        cells = self.first(self._inputs(channels, references))
        for number, block in enumerate(self.blocks):
            cells = block(cells)
            if number == 2:
                pooled = torch.cat([cells.mean((2, 3)), cells.amax((2, 3))], 1)
                scale, shift = self.whole(pooled)[..., None, None].chunk(2, 1)
                cells = cells * (1 + scale) + shift
        odds: Tensor = self.last(self.norm(cells.permute(0, 2, 3, 1)))[..., 0]
        return odds

    def _inputs(
        self, channels: Float[Tensor, "b c h v"], references: Float[Tensor, " b"]
    ) -> Float[Tensor, "b i h v"]:
        logs = (channels + SLACK).log()
        offsets = (logs - logs.mean((2, 3), keepdim=True)) / self.spread[:, None, None]
        logs = (logs - self.mean[:, None, None]) / self.deviation[:, None, None]
        known = torch.ones_like(logs[:, :, :1, :1])
        known[:, len(OWN) :] = (references > 0).to(known)[:, None, None, None]
        share = (references.clamp_max(MOST) / MOST).to(logs)[:, None, None, None]
        share = share.expand(-1, 1, *logs.shape[2:])
        return torch.cat([logs * known, offsets * known, share], 1).clamp(-WIDEST, WIDEST)


def load_network(path: Path) -> ComparisonNetwork:
    """Return the trained network of a safetensors file."""
    with torch.random.fork_rng(devices=[]):  # initial values draw random numbers
        network = ComparisonNetwork()
    network.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    return network.eval().requires_grad_(False)
