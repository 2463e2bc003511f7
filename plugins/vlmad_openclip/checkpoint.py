"""Reading, checking and hashing checkpoints, whoever's they are; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import OptionError, WeightsError, first_line, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor, nn

RANDOM = "random"
MOST_MAPPED = 128 << 20
"""Bytes of a file of weights that are in memory at once beside the copies."""
MOST_UNPACKED = 4
"""Times its own size that an archive may unpack to: torch stores without compressing."""
CONVERT = (
    'convert it once, where you trust it: python -c "import torch, safetensors.torch as s; '
    "d = torch.jit.load('IN').state_dict(); [d.pop(k, None) for k in "
    "('input_resolution', 'context_length', 'vocab_size')]; s.save_file(d, 'OUT.safetensors')\""
)


def seed_of(weights: str | None) -> int | None:
    """Return the seed where weights are random ones, as in ``random:0``.

    Raises:
        OptionError: there is none.
    """
    start, _, seed = (weights or "").partition(":")
    if start != RANDOM:
        return None
    if not (seed.isascii() and seed.isdigit() and len(seed) < 19):
        raise OptionError(f"random weights need a seed, {RANDOM}:0, not '{weights}'")
    return int(seed)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or a torch file weights-only, as a state dict.

    Raises:
        WeightsError: the file is missing, damaged, a TorchScript archive, or holds more than
            tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"weights {path}: no such file")
    if _is_torchscript(path):
        raise WeightsError(f"{path} is a TorchScript archive, which can run code; {CONVERT}")
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise WeightsError(f"weights {path}: {first_line(error)}") from error
    table = read_checkpoint(path)
    if isinstance(table, dict) and isinstance(table.get("state_dict"), dict):
        table = table["state_dict"]  # of a training checkpoint
    if not isinstance(table, dict) or not all(isinstance(v, torch.Tensor) for v in table.values()):
        raise WeightsError(f"weights {path} hold no state dict (names and tensors)")
    return {str(name).removeprefix("module."): tensor for name, tensor in table.items()}


def read_checkpoint(path: Path) -> Any:
    """Return what a file of torch's holds: tensors and plain values; nothing in it is called.

    Raises:
        WeightsError: it cannot be read, is damaged, or holds anything else.
    """
    import torch

    if path.exists() and not path.is_file():
        raise WeightsError(f"{path} is no regular file")
    unpacked = sum(entry.file_size for entry in _entries(path))
    if unpacked and unpacked > MOST_UNPACKED * path.stat().st_size:
        raise WeightsError(f"{path} unpacks to far more than it holds")
    try:
        with warnings.catch_warnings(action="ignore"):  # noqa: TID251 (at start, one thread)
            table = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises several types for damaged or unsafe files
        called = re.search(r"GLOBAL (\S+)", str(error))  # in the midst of a page
        said = first_line(error).split(". ")[0]
        reason = said if " " in said else "it is no whole checkpoint of torch's"
        reason = f"it wants to call {called[1]}" if called else reason
        raise WeightsError(f"{path} cannot be read as tensors only: {one_line(reason)}") from error
    _check_tensors(table, path)
    return table


def _check_tensors(table: Any, path: Path) -> None:
    """Refuse tensors of which not every element is in the file: others may be any number of them.

    What holds them may hold itself.
    """
    import torch

    waiting: list[Any] = [table]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
        elif isinstance(value, torch.Tensor) and not _is_plain(value):
            raise WeightsError(f"{path} holds a tensor whose values are not all in the file")


def _is_plain(tensor: Tensor) -> bool:
    import torch

    odd = tensor.is_nested or tensor.is_quantized or tensor.layout != torch.strided
    if odd or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive, from its table of contents."""
    names = [entry.filename for entry in _entries(path)]
    return any(name.split("/")[-1] == "constants.pkl" or "/code/" in name for name in names)


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    """Return the table of contents of an archive; none of any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []  # no archive, or of a kind that zipfile does not know: reading it will tell


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, types, shapes and values, whatever file they came from."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def in_turn(path: Path, tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield what `read_weights` has read of a file, and forget it: never is all in memory at once.

    Of a file that is mapped, what was touched stays in memory until it is closed; so it is opened
    again after some tensors.
    """
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        for name in list(tensors):
            yield name, tensors.pop(name)
        return
    groups: list[list[str]] = [[]]
    room = MOST_MAPPED
    for name, tensor in tensors.items():
        if tensor.nbytes > room and groups[-1]:
            groups.append([])
            room = MOST_MAPPED
        groups[-1].append(name)
        room -= tensor.nbytes
    tensors.clear()
    for names in groups:
        with safe_open(path, "pt") as file:
            for name in names:
                yield name, file.get_tensor(name)


def fill(model: nn.Module, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Give a model some or all of its weights by name, as copies of its own, in its own types."""
    state = model.state_dict()
    own = {
        name: tensor.to(state[name].dtype, copy=True).reshape(state[name].shape)
        for name, tensor in tensors
    }
    model.load_state_dict(own, strict=False, assign=True)


def check_architecture(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse weights that are not of the architecture with a state's names and shapes.

    Raises:
        WeightsError: so it is.
    """
    wrong = f"weights {path} are of another architecture"
    missing, unexpected = sorted(state.keys() - tensors), sorted(tensors.keys() - state)
    if missing or unexpected:
        raise WeightsError(
            f"{wrong}: {len(missing)} tensors are missing and "
            f"{len(unexpected)} are unknown, among them '{(missing or unexpected)[0]}'"
        )
    for name, tensor in tensors.items():
        scale = name == "logit_scale" and tensor.numel() == 1  # a number, or a vector of one
        if tensor.shape != state[name].shape and not scale:
            found, right = tuple(tensor.shape), tuple(state[name].shape)
            raise WeightsError(f"{wrong}: size mismatch, '{name}' is {found} and not {right}")
        if tensor.is_floating_point() != state[name].is_floating_point() or _is_packed(tensor):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(f"{wrong}: '{name}' is of type {kind}, which is no weight's")


def _is_packed(tensor: Tensor) -> bool:
    """Return whether numbers are of 8 bits or fewer, which mean nothing without their scales."""
    return tensor.is_floating_point() and tensor.itemsize < 2
