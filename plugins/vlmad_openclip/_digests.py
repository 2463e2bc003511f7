"""What an entry of a store depends on, as one digest, and tensors as its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NAME = "value"


def key_of(facts: Mapping[str, object]) -> str:
    """Return the SHA-256 of facts, whatever the order of their names.

    Values are numbers, texts, None, and lists, tuples, sets and mappings of these; anything
    else counts by its type and what `repr` gives.

    >>> key_of({"a": 1, "b": (2, 3)}) == key_of({"b": (2, 3), "a": 1})
    True
    >>> key_of({"a": 1}) == key_of({"a": "1"})
    False
    """
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def _canonical(value: object) -> str:
    """Return a text that no other value gives."""
    if isinstance(value, Mapping):
        inner = sorted(f"{_canonical(name)}: {_canonical(value[name])}" for name in value)
        return f"mapping({', '.join(inner)})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(_canonical, value)))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_canonical, value))})"
    return f"{type(value).__qualname__} {value!r}"


def tensor_digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and values."""
    import torch

    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}\n".encode())
    if plain.numel():
        digest.update(plain.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def pack(tensor: Tensor) -> bytes | None:
    """Return a tensor in the safetensors format, or None if a number in it is not finite."""
    import torch
    from safetensors.torch import save

    if not torch.isfinite(tensor).all():
        return None
    return save({NAME: tensor.detach().cpu().contiguous()})


def unpack(content: bytes | None) -> Tensor | None:
    """Return the tensor of an entry, or None if it is none or not finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    if content is None:
        return None
    try:
        tensor: Tensor | None = load(content).get(NAME)
    except (SafetensorError, ValueError, KeyError):
        return None
    return tensor if tensor is not None and torch.isfinite(tensor).all() else None
