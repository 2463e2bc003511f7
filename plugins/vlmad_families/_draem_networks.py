"""DRAEM's two networks: one that rebuilds an image as if it were good, one that compares."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

DEVIATION = 0.02
"""Of the first weights."""


class Rebuilder(nn.Module):
    """Five blocks down to a sixteenth and back, without skips.

    Args:
        base: channels of the first block.
    """

    def __init__(self, base: int) -> None:
        super().__init__()
        widths = [base * times for times in (1, 2, 4, 8, 8)]
        self.down = _blocks([3, *widths])
        self.up = nn.ModuleList(_layer(width, width) for width in reversed(widths[:-1]))
        after = [*reversed(widths[:-2]), base]
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(width, width), _layer(width, last))
            for width, last in zip(reversed(widths[:-1]), after, strict=True)
        )
        self.last = nn.Conv2d(base, 3, 3, padding=1)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Return what the image would be without defects."""
        found = _descend(self.down, pixels)
        cells = found.pop()
        for layer, block, skip in zip(self.up, self.blocks, reversed(found), strict=True):
            cells = block(layer(_enlarged(cells, skip)))
        rebuilt: Tensor = self.last(cells)
        return rebuilt


class Comparer(nn.Module):
    """A U-Net of six blocks that sees an image beside what it was rebuilt as.

    Args:
        base: channels of the first block.
    """

    def __init__(self, base: int) -> None:
        super().__init__()
        widths = [base * times for times in (1, 2, 4, 8, 8, 8)]
        self.down = _blocks([6, *widths])
        skips = [*reversed(widths[:-1])]
        outs = [8 * base, 4 * base, 2 * base, base, base]
        ins = [widths[-1], *outs[:-1]]
        self.up = nn.ModuleList(_layer(a, b) for a, b in zip(ins, outs, strict=True))
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(out + skip, out), _layer(out, out))
            for out, skip in zip(outs, skips, strict=True)
        )
        self.last = nn.Conv2d(base, 2, 3, padding=1)

    def forward(
        self, rebuilt: Float[Tensor, "b 3 h w"], pixels: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 2 h w"]:
        """Return for each pixel the logits of good and defective."""
        found = _descend(self.down, torch.cat([rebuilt, pixels], 1))
        cells = found.pop()
        for layer, block, skip in zip(self.up, self.blocks, reversed(found), strict=True):
            cells = block(torch.cat([layer(_enlarged(cells, skip)), skip], 1))
        logits: Tensor = self.last(cells)
        return logits


def empty_networks(bases: tuple[int, int]) -> nn.ModuleDict:
    """Return both networks without weights, which are to be assigned."""
    with torch.device("meta"):
        return nn.ModuleDict({"rebuilder": Rebuilder(bases[0]), "comparer": Comparer(bases[1])})


def draem_networks(bases: tuple[int, int], seed: int) -> nn.ModuleDict:
    """Return both networks, their first weights drawn from a narrow Gaussian."""
    networks = empty_networks(bases).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in networks.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, DEVIATION, generator=generator)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return networks


def flattened(network: nn.Module) -> Float[Tensor, " n"]:
    """Return all weights of a network one after the other, and what its norms know."""
    return torch.cat([tensor.detach().flatten() for tensor in _weights(network).values()])


def unflattened(network: nn.Module, numbers: Float[Tensor, " n"]) -> None:
    """Give a network the weights that `flattened` gave.

    Raises:
        InputError: they are more or fewer.
    """
    empty = _weights(network)
    sizes = [tensor.numel() for tensor in empty.values()]
    if numbers.ndim != 1 or len(numbers) != sum(sizes):
        raise InputError(f"it holds {numbers.numel()} numbers, where {sum(sizes)} belong")
    pieces = zip(empty.items(), numbers.split(sizes), strict=True)
    weights = {name: piece.view(tensor.shape).clone() for (name, tensor), piece in pieces}
    counted = {name for name in network.state_dict() if name not in empty}
    weights |= {name: torch.zeros((), dtype=torch.long) for name in counted}
    network.load_state_dict(weights, assign=True)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    state = network.state_dict()
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}


def _blocks(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Sequential(_layer(a, b), _layer(b, b)) for a, b in pairwise(widths))


def _layer(channels: int, width: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _descend(blocks: nn.ModuleList, cells: Tensor) -> list[Tensor]:
    """Return what each block gives, of half the size of the one before; odd sides round up."""
    found: list[Tensor] = []
    for number, block in enumerate(blocks):
        cells = block(F.max_pool2d(cells, 2, ceil_mode=True) if number else cells)
        found.append(cells)
    return found


def _enlarged(cells: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(cells, size=like.shape[2:], mode="bilinear", align_corners=True)
