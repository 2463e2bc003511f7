"""Levels of the embedded model's convolutional trunk, at an image size of their own.

Comparisons with references see more in the trunk than in what the transformer, which learned to
agree with texts, makes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from vlmad import LevelSpec
from vlmad_tiny._efficientnet import EfficientNetLite0, clipped_convolution, fold_norms

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Level, Request

SIZE = (320, 320)
CLOSER, CLOSER_SIZE = "-closer", (480, 480)
"""What the names of levels end in that look at a larger image, and how large it is."""
TRUNK = "visual.conv1.trunk."
"""How the names of its weights begin."""
EXPANSION = "e5"
WIDTHS = {"b2": (40, 40), "b4": (20, 112), EXPANSION: (20, 672)}
"""Cells to a side and channels: after blocks[2], after blocks[4], and what the first block of
blocks[5] expands that to, after norm and activation."""


def trunk_levels(identity: str) -> dict[str, LevelSpec]:
    """Return the levels.

    Args:
        identity: the digest of the file of their statistics, which follow from the trunk, too.
    """
    return {
        name + suffix: LevelSpec(
            (size[0] * cells // SIZE[0],) * 2, width, size, statistics=True, identity=identity
        )
        for suffix, size in (("", SIZE), (CLOSER, CLOSER_SIZE))
        for name, (cells, width) in WIDTHS.items()
    }


class TrunkLevels(nn.Module):
    """The trunk up to the deepest level; no more of it than is asked for is computed.

    Args:
        weights: of the embedded model, the trunk's among them.
        layer: weight and bias of the last level; it may hold the statistics, too.
    """

    names = tuple(WIDTHS)

    def __init__(self, weights: Mapping[str, Tensor], layer: Mapping[str, Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # initial values draw random numbers
            self.trunk = EfficientNetLite0()
            self.expand = nn.Conv2d(WIDTHS["b4"][1], WIDTHS[EXPANSION][1], 1)
        own = {k.removeprefix(TRUNK): t for k, t in weights.items() if k.startswith(TRUNK)}
        self.trunk.load_state_dict(own)
        self.expand.load_state_dict({k: layer[f"e5.{k}"] for k in ("weight", "bias")})
        self.eval().requires_grad_(False)
        fold_norms(self.trunk)
        self.to(memory_format=torch.channels_last)
        kept = {k: t for k, t in layer.items() if k.endswith((".mean", ".deviation"))}
        for name, tensor in kept.items():
            self.register_buffer(name.replace(".", "_"), tensor.clone(), persistent=False)

    def answer(
        self, pixels: Float[Tensor, "b 3 s s"], requests: Sequence[Level]
    ) -> dict[Request, Float[Tensor, "b g g w"]]:
        """Answer requests of one size, on a processor image by image.

        The early maps of two would leave its cache.
        """
        at_once = 1 if pixels.device.type == "cpu" else len(pixels)
        names = list(dict.fromkeys(request.name.removesuffix(CLOSER) for request in requests))
        parts = [self(some, names) for some in pixels.split(at_once)]
        cells = {name: torch.cat([part[name] for part in parts]) for name in names}
        answers: dict[Request, Tensor] = {}
        for request in requests:
            name = request.name.removesuffix(CLOSER)
            own = cells[name]
            answers[request] = self.standardise(name, own) if request.standardised else own
        return answers

    def forward(
        self, pixels: Float[Tensor, "b 3 s s"], names: Collection[str]
    ) -> dict[str, Float[Tensor, "b g g w"]]:
        """Return the cells of each level, as they are."""
        by_pixel = pixels.contiguous(memory_format=torch.channels_last)
        found = {}
        for number, cells in enumerate(self.trunk(by_pixel)):
            found[f"b{number}"] = cells
            if found.keys() >= set(names):
                break
        if EXPANSION in names:
            found[EXPANSION] = clipped_convolution(self.expand, cells)
        return {name: found[name].permute(0, 2, 3, 1) for name in names}

    def standardise(self, name: str, cells: Float[Tensor, "b g g w"]) -> Float[Tensor, "b g g w"]:
        """Bring each channel to mean 0 and deviation 1 of everyday photographs."""
        mean, deviation = (getattr(self, f"{name}_{each}") for each in ("mean", "deviation"))
        return (cells - mean).div_(deviation)  # type: ignore[no-any-return]
