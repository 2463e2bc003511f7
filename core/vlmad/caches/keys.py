"""What an entry depends on, as one digest.

A key names everything that changes the numbers: what is asked, the weights, the options of the
parts, the source files that compute, the versions of the libraries and the kind of processor.
Source files are part of it so that nobody has to remember to count a version up.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vlmad.assembly import Chosen


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of facts, whatever the order of their names.

    Values are numbers, texts, None, and lists, tuples, sets and mappings of these; anything
    else counts by its type and text.

    >>> key_of({"a": 1, "b": (2, 3)}) == key_of({"b": (2, 3), "a": 1})
    True
    >>> key_of({"a": 1}) == key_of({"a": "1"})
    False
    """
    return hashlib.sha256(json.dumps(_plain(facts)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON that no other value gives."""
    if value is None or isinstance(value, bool | int | float | str):
        return value if type(value) in (bool, int, float, str, type(None)) else _other(value)
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_plain, value)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted((_plain(item) for item in value), key=json.dumps)]
    if hasattr(value, "keys"):
        items = ([_plain(name), _plain(value[name])] for name in value)
        return ["mapping", *sorted(items, key=json.dumps)]
    return _other(value)


def _other(value: Any) -> Any:
    return ["other", type(value).__qualname__, str(value)]


def tensor_digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and values."""
    import torch

    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}\n".encode())
    if plain.numel():
        digest.update(plain.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@functools.cache
def sources_digest(package: str) -> str | None:
    """Return the SHA-256 of an imported package's Python files, or None if it has none."""
    module = sys.modules.get(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    files = [(path.relative_to(folder), path) for folder in folders for path in _python(folder)]
    if not folders and getattr(module, "__file__", None):
        file = Path(str(getattr(module, "__file__", "")))
        files = [(Path(file.name), file)]
    digest = hashlib.sha256()
    try:
        for name, path in files:
            content = path.read_bytes()
            digest.update(f"{name.as_posix()} {len(content)}\n".encode() + content)
    except OSError:
        return None
    return digest.hexdigest() if files else None


def _python(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def part_facts(chosen: Chosen) -> dict[str, Any] | None:
    """Return what a part computes with, or None if its source is out of reach."""
    registration, part = chosen.registration, chosen.part
    sources = sources_digest(type(part).__module__.partition(".")[0])
    if sources is None:
        return None
    return {
        "part": [registration.kind, registration.name, type(part).__qualname__],
        "distribution": [registration.distribution, registration.version],
        "options": dict(chosen.options),
        "sources": sources,
    }


def state_facts(part: Any) -> dict[str, Any]:
    """Return the learned values of a part that has any, as digests."""
    if not callable(getattr(part, "state_dict", None)):
        return {}
    state = part.state_dict().items()
    return {name: tensor_digest(v) if hasattr(v, "detach") else v for name, v in state}


def backbone_facts(chosen: Chosen) -> dict[str, Any] | None:
    """Return all that a backbone's numbers depend on besides its input, or None (see there)."""
    import torch

    facts, backbone = part_facts(chosen), chosen.part
    core = sources_digest("vlmad")
    if facts is None or core is None:
        return None
    device = torch.device(getattr(backbone, "device", "cpu"))
    return facts | {
        "spec": asdict(backbone.spec),
        "weights": backbone.weights_hash,
        "identity": getattr(backbone, "identity", None),
        "precision": str(getattr(backbone, "precision", "float32")),
        "core": core,
        "torch": torch.__version__,
        "device": [device.type, _processor(device)],
    }


def _processor(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()
