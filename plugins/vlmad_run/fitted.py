"""A fitted detector in one file: what its scorer remembers, and all that is needed to build it.

The file is safetensors: the tensors of the memory under ``memory/``, the content of files that
are options (a prompt list, learned prompts) under ``file/``, so that it works on another
machine, and the manifest as JSON in the metadata. The backbone's weights are not in it; their
hash is, and is checked.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, WeightsError, first_line
from vlmad.files import write_atomically
from vlmad.hookspecs import KINDS
from vlmad_run.manifest import describe_run, differences, identity
from vlmad_run.recorded import check_recorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.registry import Registry

FORMAT = "vlmad fitted 1"
MEMORY, FILE = "memory/", "file/"
MOST_BYTES = 64 << 20
"""Of a file that is an option and goes along."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a file of a fitted detector holds."""

    detector: Detector
    manifest: Mapping[str, Any]

    @property
    def class_name(self) -> str:
        """What its images show."""
        return str(self.manifest["identity"]["class_name"])

    @property
    def references(self) -> list[tuple[str, str]]:
        """Path and SHA-256 of what it was fitted on."""
        return references_of(self.manifest)


def save_fitted(
    detector: Detector,
    path: Path,
    class_name: str,
    references: Sequence[tuple[str, str]],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted detector to a file.

    Args:
        detector: fitted.
        path: the file.
        class_name: what its images show.
        references: path and SHA-256 of what it was fitted on.
        settings: more for its manifest.

    Raises:
        InputError: it is not fitted, or an option's file is too large to go along.
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    if detector.memory is None:
        raise InputError("the detector is not fitted: there is nothing to store")
    manifest = describe_run(detector, class_name, references, settings=settings)
    tensors = {MEMORY + name: tensor.cpu() for name, tensor in detector.memory.items()}
    for kind, chosen in detector.assembly.parts.items():
        for option, value in chosen.options.items():
            if isinstance(value, Path) and (kind, option) != ("backbone", "weights"):
                tensors[f"{FILE}{kind}.{option}"] = _bytes_of(value)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "manifest": json.dumps(manifest, ensure_ascii=True)}
    write_atomically(path, save(tensors, metadata))


def load_fitted(
    path: Path,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    registry: Registry | None = None,
) -> Fitted:
    """Build the detector that a file holds, fitted.

    Args:
        path: a file that `save_fitted` wrote.
        options: of the backbone alone: where its weights are, and the device.
        registry: which plugins to use.

    Raises:
        WeightsError: the file is damaged, or the weights here are not those that it was
            fitted with.
        VlmadError: a part is not installed here, or is another.
    """
    manifest, tensors = _read(path)
    references = references_of(manifest)
    detector = rebuild(manifest, options or {}, registry, _files(tensors))
    detector.memory = {
        name.removeprefix(MEMORY): tensor.to(getattr(detector.backbone, "device", "cpu"))
        for name, tensor in tensors.items()
        if name.startswith(MEMORY)
    }
    hashes = [sha256 for _, sha256 in references]
    now = identity(detector, str(manifest["identity"].get("class_name")), hashes)
    other = differences(manifest["identity"], now)
    if other:
        raise WeightsError(f"{path} was fitted with something else: {'; '.join(other[:3])}")
    return Fitted(detector, manifest)


def references_of(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return path and SHA-256 of each reference that a manifest lists.

    Raises:
        InputError: the list is none.
    """
    listed = manifest.get("references") or []
    try:
        return [(str(each["path"]), str(each["sha256"])) for each in listed]
    except (KeyError, TypeError) as error:
        raise InputError("the manifest lists its references wrongly; it is damaged") from error


def rebuild(
    manifest: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
    registry: Registry | None = None,
    files: Mapping[str, Path] | None = None,
) -> Detector:
    """Build the detector that a manifest describes, not fitted.

    Args:
        manifest: of a run or a fitted detector.
        options: what is to differ, by kind.
        registry: which plugins to use.
        files: in the place of options that are files, by ``kind.option``.

    Raises:
        InputError: the manifest lacks something, or names a file that is not the one it was.
        VlmadError: a part is not installed here, or takes other options.
    """
    from vlmad.building import load_detector
    from vlmad.recipes import Recipe

    try:
        parts = manifest["identity"]["parts"]
        names = {kind: f"{parts[kind]['distribution']}:{parts[kind]['name']}" for kind in KINDS}
        given = {kind: dict(manifest["options"][kind]) for kind in KINDS}
        resize = str(manifest["identity"]["resize"])
    except (KeyError, TypeError) as error:
        raise InputError(f"the manifest lacks {error}; it is no manifest of a run") from error
    own = {f"{kind}.{option}" for kind, values in options.items() for option in values}
    check_recorded(given, manifest.get("files"), frozenset({*own, *(files or {})}))
    for place, file in (files or {}).items():
        kind, option = place.split(".", 1)
        given[kind][option] = file
    for kind, values in options.items():
        given[kind] |= values
    recipe = Recipe(names, name=str(manifest.get("recipe", "")))
    return load_detector(
        recipe=recipe,
        backbone=names["backbone"],
        prompts=names["prompts"],
        extractor=names["extractor"],
        attention=names["attention"],
        scorer=names["scorer"],
        options=given,
        resize=resize,
        registry=registry,
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        manifest = json.loads(metadata.get("manifest", "null"))
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{path} is no fitted detector: {first_line(error)}") from error
    fits = isinstance(manifest, dict) and {"identity", "options", "references"} <= manifest.keys()
    fits = fits and isinstance(manifest["identity"], dict)
    if metadata.get("format") != FORMAT or not fits:
        raise WeightsError(f"{path} is no fitted detector; vlmad fit writes them")
    return manifest, tensors


_unpacked: list[tempfile.TemporaryDirectory[str]] = []
"""Option files of fitted detectors, kept as long as the process."""


def _files(tensors: Mapping[str, Tensor]) -> dict[str, Path]:
    """Unpack the files that came along."""
    packed = {n.removeprefix(FILE): t for n, t in tensors.items() if n.startswith(FILE)}
    if not packed:
        return {}
    _unpacked.append(tempfile.TemporaryDirectory(prefix="vlmad-"))
    files = {}
    for place, tensor in packed.items():
        kind, dot, option = place.partition(".")
        if kind not in KINDS or not dot or not option.isidentifier():
            raise WeightsError(f"a fitted detector cannot hold a file for '{place}'")
        files[place] = Path(_unpacked[-1].name, f"{kind}-{option}")
        files[place].write_bytes(tensor.numpy().tobytes())
    return files


def _bytes_of(path: Path) -> Tensor:
    import numpy as np
    import torch

    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is too large to be stored in a fitted detector")
    return torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())
