"""A tensor as the content of an entry, in the safetensors format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

if TYPE_CHECKING:
    from torch import Tensor

NAME = "value"


def pack(tensor: Tensor) -> bytes | None:
    """Return a tensor as bytes, or None if a number in it is not finite."""
    if not torch.isfinite(tensor).all():
        return None
    return save({NAME: tensor.detach().cpu().contiguous()})


def unpack(content: bytes | None) -> Tensor | None:
    """Return the tensor of an entry, or None if it is none or not finite."""
    if content is None:
        return None
    try:
        tensor: Tensor | None = load(content).get(NAME)
    except (SafetensorError, ValueError, KeyError):
        return None
    if tensor is None or not torch.isfinite(tensor).all():
        return None
    return tensor
