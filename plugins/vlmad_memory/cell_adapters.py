"""Small networks that move the cells of each level, as `vlmad train` learns them.

A file holds of each level NAME `NAME.down` (h, w), `NAME.bias` (h) and `NAME.up` (w, h): a cell x
becomes x + up relu(down x + bias).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.errors import WeightsError
from vlmad_documents.learned_file import read_learned

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

    from vlmad_documents.learned_file import LearnedFile

DOWN, BIAS, UP = "down", "bias", "up"


def draw_adapters(widths: Mapping[str, int], hidden: int, seed: int) -> dict[str, Tensor]:
    """Draw adapters of levels as torch draws linear layers; at first they move nothing.

    Args:
        widths: of the cells of each level.
        hidden: numbers between both layers.
        seed: of all that is drawn.
    """
    generator, drawn = torch.Generator().manual_seed(seed), {}
    with torch.inference_mode(False):  # or they could never be learned
        for name, width in widths.items():
            for kind, shape in ((DOWN, (hidden, width)), (BIAS, (hidden,))):
                values = torch.empty(shape).uniform_(-1, 1, generator=generator) * width**-0.5
                drawn[f"{name}.{kind}"] = values
            drawn[f"{name}.{UP}"] = torch.zeros(width, hidden)
    return drawn


def adapted(
    cells: Float[Tensor, "*n w"], level: str, adapters: Mapping[str, Tensor]
) -> Float[Tensor, "*n w"]:
    """Return the cells of a level, moved; as they are if it has no adapter."""
    if f"{level}.{DOWN}" not in adapters:
        return cells
    down, bias, up = (adapters[f"{level}.{kind}"].to(cells) for kind in (DOWN, BIAS, UP))
    return cells + F.linear(F.relu(F.linear(cells, down, bias)), up)


def levels_of(adapters: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the levels that have an adapter, and the widths of their cells."""
    suffix = f".{UP}"
    return {n.removesuffix(suffix): len(t) for n, t in adapters.items() if n.endswith(suffix)}


def read_adapters(path: Path) -> tuple[dict[str, Tensor], LearnedFile]:
    """Read and check a file of adapters.

    Raises:
        WeightsError: it is missing, damaged, or lacks what it must hold.
    """
    adapters, file = read_learned(path, "extractor", "patches")
    widths = levels_of(adapters)
    hidden = {n: len(adapters.get(f"{n}.{BIAS}", ())) for n in widths}
    wanted: dict[str, tuple[int, ...]]
    wanted = {f"{n}.{DOWN}": (hidden[n], w) for n, w in widths.items()}
    wanted |= {f"{n}.{UP}": (w, hidden[n]) for n, w in widths.items()}
    wanted |= {f"{n}.{BIAS}": (hidden[n],) for n in widths}
    if {name: tuple(tensor.shape) for name, tensor in adapters.items()} != wanted:
        raise WeightsError(f"{path} holds no adapters: NAME.down, NAME.bias and NAME.up of levels")
    return adapters, file
