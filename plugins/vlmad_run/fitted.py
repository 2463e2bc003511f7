"""A fitted detector in one file: what its scorer remembers, and all that is needed to build it.

The file is safetensors: the tensors of the memory under ``memory/``, the content of files that
are options (a prompt list, learned prompts) under ``file/``, so that it works on another
machine, and the manifest as JSON in the metadata. The backbone's weights are not in it; their
hash is, and is checked.
"""

from __future__ import annotations

import hashlib
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, WeightsError, first_line
from vlmad.files import write_atomically
from vlmad.hookspecs import KINDS
from vlmad_run.manifest import Manifest, file_digest, identity
from vlmad_run.references import Assembled
from vlmad_run.repeating import rebuild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad_run.manifest import Reference

FORMAT = "vlmad fitted 2"
MEMORY, FILE = "memory/", "file/"
MOST_BYTES = 64 << 20
"""Of a file that is an option and goes along."""


def save_fitted(detector: Detector, manifest: Manifest, path: Path) -> None:
    """Write a fitted detector, and what `describe_run` says that it is, to a file.

    Raises:
        InputError: it is not fitted, or an option's file is too large to go along.
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    if detector.memory is None:
        raise InputError("the detector is not fitted: there is nothing to store")
    tensors = {MEMORY + name: tensor.cpu() for name, tensor in detector.memory.items()}
    for kind, chosen in detector.assembly.parts.items():
        for option, value in chosen.options.items():
            if isinstance(value, Path) and (kind, option) != ("backbone", "weights"):
                tensors[f"{FILE}{kind}.{option}"] = _bytes_of(value)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    text = manifest.to_json(indent=None).decode().encode("ascii", "backslashreplace").decode()
    write_atomically(path, save(tensors, {"format": FORMAT, "manifest": text}))


def load_fitted(path: Path, options: Mapping[str, Mapping[str, Any]]) -> Assembled:
    """Build the detector that a file holds, fitted; the engine of ``--model FILE.safetensors``.

    Options can be those of the backbone alone: where its weights are, and the device.

    Raises:
        WeightsError: the file is damaged, or the weights here are not those that it was
            fitted with.
        VlmadError: a part is not installed here, or is another.
    """
    if set(options) - {"backbone"}:
        raise InputError(f"of {path} only options of the backbone can be set")
    manifest, tensors = _read(path)
    files = _unpack(tensors)
    detector = rebuild(manifest, {**files, **options})
    device = getattr(detector.backbone, "device", "cpu")
    detector.memory = {
        name.removeprefix(MEMORY): tensor.to(device)
        for name, tensor in tensors.items()
        if name.startswith(MEMORY)
    }
    class_name = manifest.identity.class_name
    other = manifest.identity.differences(identity(detector, class_name, manifest.references))
    if other:
        raise WeightsError(f"{path} was fitted with something else: {'; '.join(other[:3])}")
    detector.references = _sources(manifest.references)
    return Assembled(detector, class_name, manifest.references, path, manifest.seed)


def _read(path: Path) -> tuple[Manifest, dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{path} is no fitted detector: {first_line(error)}") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} is no fitted detector of this vlmad; make it with vlmad fit")
    manifest = Manifest.parse(metadata.get("manifest", ""), f"{path} is no fitted detector: it")
    return manifest, tensors


@cache
def _unpacked() -> tempfile.TemporaryDirectory[str]:
    """Return where option files of fitted detectors are, as long as the process lives."""
    return tempfile.TemporaryDirectory(prefix="vlmad-")


def _unpack(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Path]]:
    """Return the files that came along, by kind and option."""
    files: dict[str, dict[str, Path]] = {}
    for name, tensor in tensors.items():
        if not name.startswith(FILE):
            continue
        kind, _, option = name.removeprefix(FILE).partition(".")
        if kind not in KINDS or not option.isidentifier():
            raise WeightsError(f"a fitted detector cannot hold a file for '{kind}.{option}'")
        content = tensor.numpy().tobytes()
        own = hashlib.sha256(content).hexdigest()[:16]
        file = files.setdefault(kind, {})[option] = Path(_unpacked().name, f"{option}-{own}")
        file.write_bytes(content)
    return files


def _sources(references: Sequence[Reference]) -> tuple[Any, ...]:
    """Return the references for explanations to show, if they are still where they were."""
    from vlmad.images import Source

    files = [(Path(each.path), each.sha256) for each in references]
    if not all(path.is_file() and file_digest(path) == sha256 for path, sha256 in files):
        return ()
    return tuple(Source(str(path), path) for path, _ in files)


def _bytes_of(path: Path) -> Tensor:
    import numpy as np
    import torch

    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is too large to be stored in a fitted detector")
    return torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())
