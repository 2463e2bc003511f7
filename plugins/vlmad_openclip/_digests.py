"""What an entry of a store depends on, as one digest, and tensors as its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from vlmad.parts import HasDevice, HasIdentity

if TYPE_CHECKING:
    from torch import Tensor

    from vlmad import Backbone

NAME = "value"


def backbone_facts(backbone: Backbone, distribution: str) -> dict[str, object] | None:
    """Return all that a backbone's numbers depend on besides its input, for `key_of`.

    None stands for a distribution whose files cannot be read.

    Args:
        backbone: its optional `identity`, `precision` and `device` count where it has them.
        distribution: which one the backbone's code is in.
    """
    import torch

    from vlmad.registry import distribution_digest
    from vlmad_openclip.devices import processor_of

    code = [distribution_digest(name) for name in ("vlmad", distribution)]
    if None in code:
        return None
    device = backbone.device if isinstance(backbone, HasDevice) else torch.device("cpu")
    return {
        "backbone": f"{type(backbone).__module__}.{type(backbone).__qualname__}",
        "spec": asdict(backbone.spec),
        "weights": backbone.weights_hash,
        "identity": backbone.identity if isinstance(backbone, HasIdentity) else None,
        "precision": backbone.precision if isinstance(backbone, HasDevice) else "float32",
        "code": code,
        "torch": torch.__version__,
        "processor": processor_of(device),
    }


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
