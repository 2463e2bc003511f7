"""The embedded trunk by itself, for who looks at a piece of an image at its own size."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from vlmad_tiny._tiny import Tiny

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


def trunk_cells(
    pixels: Float[Tensor, "3 h w"], names: Sequence[str]
) -> dict[str, Float[Tensor, "g k w"]]:
    """Return standardised cells of levels of the trunk, on the processor.

    Args:
        pixels: levels from 0 to 255, of any size; a cell is of h / g rows of them.
        names: of the levels, as the backbone `tiny` has them.
    """
    trunk = _on_processor()._trunk
    cells = trunk(pixels[None] / 127.5 - 1, names)
    return {name: trunk.standardise(name, cells[name])[0] for name in names}


def standardised(name: str, cells: Float[Tensor, "*n w"]) -> Float[Tensor, "*n w"]:
    """Bring cells of a level to mean 0 and deviation 1 of everyday photographs, by channel."""
    return _on_processor()._trunk.standardise(name, cells)


@cache
@torch.inference_mode(False)
def trunk_stages() -> tuple[nn.Module, ...]:
    """Return the frozen trunk in three pieces, for who changes what flows between them.

    They give maps (b, c, gh, gw) of 24, 40 and 112 channels and strides 4, 8 and 16, on the
    processor; the first takes pixels from -1 to 1. Gradients pass to what they are given.
    """
    trunk = _on_processor()._trunk.trunk
    stem, blocks = nn.Sequential(trunk.conv_stem, trunk.bn1, nn.ReLU6()), trunk.blocks
    return nn.Sequential(stem, *blocks[:2]), blocks[2], nn.Sequential(*blocks[3:5])


@cache
def _on_processor() -> Tiny:
    return Tiny(device="cpu")
