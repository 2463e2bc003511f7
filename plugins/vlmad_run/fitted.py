"""A fitted detector in one file: what its scorer remembers, and all that is needed to build it.

The file is safetensors: the tensors of the memory under ``memory/``, the content of files that
are options (a prompt list, learned prompts) under ``file/``, so that it works on another
machine, and a document in the metadata: the manifest, and a digest of every tensor. The
backbone's weights are not in it; their hash is, and is checked. Nothing in the file is believed
or written anywhere before all of it was judged.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from vlmad.errors import InputError, WeightsError, first_line, one_line
from vlmad.files import write_atomically
from vlmad.hookspecs import KINDS
from vlmad.types import View
from vlmad_documents.documents import Document
from vlmad_openclip.store import tensor_digest
from vlmad_run.aligning import PIXELS, SIZE, read_frame, stored_frame, take_frame
from vlmad_run.identity import identity
from vlmad_run.kinds import JudgesMemory
from vlmad_run.manifest import Manifest
from vlmad_run.part_options import file_digest
from vlmad_run.references import Assembled
from vlmad_run.region_of_interest import RegionOfInterest
from vlmad_run.repeating import rebuild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad_run.memory_documents import Reference

DOCUMENT = "vlmad"
"""Under which the metadata have the document."""
MEMORY, FILE, INSIDE = "memory/", "file/", "inside"
LOOKS = "looks"
BESIDE = (LOOKS, INSIDE, PIXELS, SIZE)
"""Tensors that are neither: a region of interest, and what images are aligned to."""
BYTES = "torch.uint8"
"""The type of tensors that are files."""
MOST_BYTES = 64 << 20
"""Of a file that is an option and goes along."""


class FittedDetector(Document):
    """What a file of a fitted detector says of itself."""

    format: Literal["vlmad fitted 3"] = "vlmad fitted 3"
    manifest: Manifest
    more: list[Manifest] = Field(default_factory=list)
    """Of the other products, where there are several."""
    tensors: dict[str, str]
    """The SHA-256 of each tensor's type, shape and values."""


def save_fitted(detector: Detector, manifest: Manifest, path: Path) -> None:
    """Write a fitted detector, and what `describe_run` says that it is, to a file.

    Raises:
        InputError: it is not fitted, or an option's file is too large to go along.
        OutputError: the file cannot be written.
    """
    write_fitted(tensors_of(detector), [manifest], path)


def write_fitted(tensors: Mapping[str, Tensor], manifests: Sequence[Manifest], path: Path) -> None:
    """Write tensors, and what they are the memories of, as `save_fitted`."""
    from safetensors.torch import save

    first, *more = manifests
    document = FittedDetector(manifest=first, more=more, tensors=_digests(tensors))
    text = json.dumps(document.model_dump(), allow_nan=False)  # in ASCII, whatever names hold
    write_atomically(path, save(dict(tensors), {DOCUMENT: text}))


def made_by(command: Sequence[str], path: Path) -> bool:
    """Return whether a file is a fitted detector that the same command made from here before."""
    try:
        manifest = read_fitted(path)[0].manifest
    except WeightsError:
        return False
    return manifest.command == list(command) and manifest.folder == os.getcwd()


def is_stored(detector: Detector, manifest: Manifest, path: Path) -> bool:
    """Return whether a file holds this very detector, tensor for tensor."""
    return holds(path, tensors_of(detector), [manifest])


def holds(path: Path, tensors: Mapping[str, Tensor], manifests: Sequence[Manifest]) -> bool:
    """Return whether a file holds these very tensors, of detectors of these identities."""
    document, before = read_fitted(path)
    was = [each.identity for each in (document.manifest, *document.more)]
    return was == [each.identity for each in manifests] and _digests(before) == _digests(tensors)


def tensors_of(detector: Detector) -> dict[str, Tensor]:
    """Return what a file keeps of a detector, by name."""
    import torch

    if detector.memory is None:
        raise InputError("the detector is not fitted: there is nothing to store")
    tensors = {MEMORY + name: tensor.cpu() for name, tensor in detector.memory.items()}
    if isinstance(detector.inside, RegionOfInterest):
        tensors[INSIDE] = torch.from_numpy(detector.inside.mask)
    for kind, chosen in detector.assembly.parts.items():
        for option, value in chosen.options.items():
            if isinstance(value, Path) and (kind, option) != ("backbone", "weights"):
                tensors[f"{FILE}{kind}.{option}"] = _bytes_of(value)
    tensors |= stored_frame(detector)
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def _digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: tensor_digest(tensor) for name, tensor in tensors.items()}


def load_fitted(
    path: Path,
    options: Mapping[str, Mapping[str, Any]],
    only: Mapping[str, Tensor] | None = None,
) -> Assembled:
    """Build the one detector that a file holds, fitted.

    Options can be those of the backbone alone: where its weights are, and the device. Where it is
    one of several products, `only` are its tensors.

    Raises:
        WeightsError: the file is damaged, or the weights here are not those that it was
            fitted with.
        VlmadError: a part is not installed here, or is another.
    """
    if set(options) - {"backbone"}:
        raise InputError(f"of {path} only options of the backbone can be set")
    document, kept = read_fitted(path)
    tensors = kept if only is None else only
    manifest = document.manifest
    detector = rebuild(manifest, {**_unpack(manifest, tensors, path), **options}, fits=False)
    return fill(detector, manifest, tensors, path)


def fill(
    detector: Detector, manifest: Manifest, tensors: Mapping[str, Tensor], path: Path
) -> Assembled:
    """Give a detector what a file holds of it; raises what `load_fitted` does."""
    try:
        frame = read_frame(tensors)
        if frame is not None:
            take_frame(detector, frame)
    except InputError as error:
        raise WeightsError(f"{path} cannot be used: {error}") from error
    device = getattr(detector.backbone, "device", "cpu")
    detector.memory = {
        name.removeprefix(MEMORY): tensor.to(device)
        for name, tensor in tensors.items()
        if name.startswith(MEMORY)
    }
    if INSIDE in tensors:
        detector.look_inside(_region(tensors[INSIDE], path))
    class_name = manifest.identity.class_name
    known = manifest.references, None, manifest.misses
    now = identity(detector, class_name, *known)
    other = manifest.identity.differences(now)
    if other:
        why = "; ".join(other[:3])
        raise WeightsError(f"{path} was fitted with something else: {why}; fit it anew")
    _check_memory(detector, path)
    detector.views = tuple(View(each.degrees, each.mirrored) for each in manifest.views)
    references, misses = (_from_here(manifest, each) for each in (known[0], known[2]))
    detector.references = tuple(
        source.seen(view)
        for source in detector.sources(_still_there(references))
        for view in (source.view, *detector.views)
    )
    remarks = tuple(manifest.identity.remarks(now))
    return Assembled(
        detector, class_name, references, path, manifest.seed,
        good=manifest.good, remarks=remarks, misses=misses,
    )  # fmt: skip


def read_fitted(path: Path) -> tuple[FittedDetector, dict[str, Tensor]]:
    """Read a file, whole and undamaged; see `load_fitted`."""
    from safetensors import SafetensorError, safe_open

    none = f"{path} is no fitted detector"
    if not path.exists():
        raise WeightsError(f"there is no {path}: vlmad fit --out {path} writes one")
    if not path.is_file():
        raise WeightsError(f"{none}: it is no regular file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if DOCUMENT not in metadata:
                raise WeightsError(f"{none} of this vlmad; make it with vlmad fit")
            document = FittedDetector.parse(metadata[DOCUMENT], f"{none}: it")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise WeightsError(f"{none}: {first_line(error)}") from error
    stated = document.tensors
    for name in sorted(stated.keys() | tensors.keys()):
        if name not in tensors or tensor_digest(tensors[name]) != stated.get(name):
            shown = one_line(name)
            raise WeightsError(f"{path} is damaged: its tensor '{shown}' is not the one it was")
    return document, tensors


def _check_memory(detector: Detector, path: Path) -> None:
    """Refuse a memory that is not one of the detector's own scorer."""
    scorer, memory = detector.scorer, detector.memory
    if scorer.references == "none" or not memory:
        raise WeightsError(f"{path} holds no memory for {detector.assembly.parts['scorer']}")
    refused = isinstance(scorer, JudgesMemory) and scorer.refuses_memory(
        memory, detector.backbone.spec
    )
    if refused:
        raise WeightsError(f"{path} cannot be used: {one_line(refused)}")


def _region(mask: Tensor, path: Path) -> RegionOfInterest:
    if str(mask.dtype) != "torch.bool" or mask.ndim != 2 or not mask.any():
        raise WeightsError(f"{path} cannot be used: '{INSIDE}' is no mask of what counts")
    return RegionOfInterest(mask.numpy())


@cache
def _unpacked() -> tempfile.TemporaryDirectory[str]:
    """Return where option files of fitted detectors are, as long as the process lives."""
    return tempfile.TemporaryDirectory(prefix="vlmad-")


def _unpack(
    manifest: Manifest, tensors: Mapping[str, Tensor], path: Path
) -> dict[str, dict[str, Path]]:
    """Return the files that came along, by kind and option, if each is one that was recorded."""
    contents = {}
    for name in [n for n in tensors if not n.startswith(MEMORY) and n not in BESIDE]:
        kind, _, option = name.removeprefix(FILE).partition(".")
        content = tensors[name].numpy().tobytes() if str(tensors[name].dtype) == BYTES else b""
        own = hashlib.sha256(content).hexdigest()
        known = kind in KINDS and option.isidentifier() and name.startswith(FILE)
        if not known or manifest.files.get(f"{kind}.{option}") != own:
            raise WeightsError(f"{path} holds '{one_line(name)}', of which nothing is recorded")
        contents[kind, option, own] = content
    files: dict[str, dict[str, Path]] = {}
    for (kind, option, own), content in contents.items():
        file = files.setdefault(kind, {})[option] = Path(_unpacked().name, f"{option}-{own[:16]}")
        file.write_bytes(content)
    return files


def _from_here(manifest: Manifest, images: list[Reference]) -> list[Reference]:
    """Return images of a manifest, named so that they are found from this folder."""
    if manifest.folder == os.getcwd():
        return images
    named = [(str(Path(manifest.folder, each.path)), each) for each in images]
    return [each.model_copy(update={"path": path}) for path, each in named]


def _still_there(references: Sequence[Reference]) -> list[Path]:
    """Return the references for explanations to show, if all are still where they were."""
    files = [(Path(each.path), each.sha256) for each in references]
    if not all(path.is_file() and file_digest(path) == sha256 for path, sha256 in files):
        return []
    return [path for path, _ in files]


def _bytes_of(path: Path) -> Tensor:
    import numpy as np
    import torch

    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is too large to be stored in a fitted detector")
    return torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())
