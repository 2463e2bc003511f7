"""Finding, checking and hashing weights; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import WeightsError, first_line
from vlmad.files import read_checkpoint
from vlmad_openclip._model_source import HUB, SITE, cached, not_fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from vlmad_openclip._model_source import ModelSource


NAMED = "--set backbone.weights=FILE"
CONVERT = (
    'convert it once, where you trust it: python -c "import torch, safetensors.torch as s; '
    "d = torch.jit.load('IN').state_dict(); [d.pop(k, None) for k in "
    "('input_resolution', 'context_length', 'vocab_size')]; s.save_file(d, 'OUT.safetensors')\""
)


def find_weights(source: ModelSource, fetch: bool = True) -> Path:
    """Return the checkpoint of a model, with `fetch` downloading it if it is not in the cache.

    Raises:
        WeightsError: the model names no weights, or they cannot be had; the message says
            which file is missing and how to provide it.
    """
    from open_clip import factory

    if source.folder:
        found = factory._find_checkpoint_in_dir(source.folder)
        if found is None:
            raise WeightsError(f"no weights (.safetensors, .bin, .pth) in {source.folder}")
        return Path(found)
    if source.name.startswith(HUB):
        where = source.name.removeprefix(HUB)
        if not fetch:
            return _on_this_machine(source, f"{where}/")
        return _download(lambda: factory.download_pretrained_from_hf(where), source, where)
    if source.tag is None:
        raise WeightsError(
            f"openclip:{source.name} names no weights; write openclip:{source.name}/TAG, "
            f"or add {NAMED}"
        )
    settings = dict(source.preprocessing)
    where = str(settings.get("hf_hub") or settings.get("url") or source.tag)
    if not fetch:
        return _on_this_machine(source, where)
    return _download(lambda: factory.download_pretrained(settings), source, where)


def _on_this_machine(source: ModelSource, where: str) -> Path:
    """Return weights that were downloaded before: of a repository, its file, or an address."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    if "://" in where:
        file: Path | None = Path("~/.cache/clip", where.rpartition("/")[2]).expanduser()
    else:
        repository, _, name = where.rpartition("/")
        safe = f"{Path(name).stem}.safetensors" if name else HF_SAFE_WEIGHTS_NAME
        file = cached(repository, safe, name or HF_WEIGHTS_NAME)
    if file is None or not file.is_file():
        site = where if "://" in where else f"{SITE}/{where}"
        raise WeightsError(not_fetched(f"openclip:{source.name}", site))
    return file


def _download(fetch: Callable[[], Any], source: ModelSource, where: str) -> Path:
    try:
        return Path(fetch())
    except Exception as error:  # whatever the hub's client or the network raises
        file = f"{where.rstrip('/')}/open_clip_model.safetensors" if where.endswith("/") else where
        raise WeightsError(
            f"the weights of openclip:{source.name} are not on this machine and cannot be "
            f"downloaded ({type(error).__name__}); fetch {file} (Hugging Face or as named) "
            f"where there is a network, and add {NAMED}"
        ) from error


def read_weights(path: Path) -> Mapping[str, Tensor]:
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
            return load_file(path)
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise WeightsError(f"weights {path}: {first_line(error)}") from error
    table = read_checkpoint(path)
    if isinstance(table, dict) and isinstance(table.get("state_dict"), dict):
        table = table["state_dict"]  # of a training checkpoint
    if not isinstance(table, dict) or not all(isinstance(v, torch.Tensor) for v in table.values()):
        raise WeightsError(f"weights {path} hold no state dict (names and tensors)")
    return {str(name).removeprefix("module."): tensor for name, tensor in table.items()}


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive, from its table of contents."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False  # whatever else it is, reading it will tell
    return any(name.split("/")[-1] == "constants.pkl" or "/code/" in name for name in names)


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, types, shapes and values, whatever file they came from."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
