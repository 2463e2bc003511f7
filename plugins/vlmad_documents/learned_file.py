"""The file of learned tensors, whichever part they are for: its document, writer and reader.

It is safetensors: the tensors, and in the metadata under `vlmad` a document that says what they
were learned on, from what and how, with a digest of them. Files without a document are of learned
prompts: `template.normal`, `template.anomalous`, `class_token` and `backbone` stand in their
metadata, and `sha256`, checked where it is there. Reading the document alone needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field, JsonValue

from vlmad.errors import InputError, WeightsError, first_line, one_line
from vlmad.files import parse, read_bounded, write_atomically
from vlmad_documents.documents import Document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from vlmad import Backbone, BackboneSpec

DOCUMENT = "vlmad"
UNKNOWN = "unknown"
DIGEST = "sha256"
"""Under which a file without a document has the digest of its tensors."""
MOST_BYTES = 512 << 20
MOST_HEADER = 1 << 20
"""Bytes of names, shapes and metadata."""
MOST_TENSORS, MOST_NAME = 4096, 200
TORCHS = (b"PK\x03\x04", b"\x80")
"""How checkpoints of torch's begin: an archive, or a bare pickle."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Width = Annotated[int, Field(ge=1)]


@runtime_checkable
class Learns(Protocol):
    """A part with tensors that can be learned; its option `file` names a file of learned ones."""

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return the tensors that calls read from now on, for a backbone of that spec.

        They are those of its file, or, where it was given none, drawn anew by the seed.
        """

    def facts(self) -> Mapping[str, str]:
        """Return what its file says beside the tensors, such as sentences."""


class LearnedOn(Document):
    """The backbone that tensors were learned on."""

    name: str = Field(min_length=1)
    weights_sha256: Sha256 | None = None
    """None where nobody knows, as of imported prompts."""
    text_width: Width | None = None
    vision_width: Width | None = None
    embedding_dim: Width | None = None

    @classmethod
    def describe(cls, backbone: Backbone) -> LearnedOn:
        """Describe a backbone; its weights are loaded to be hashed."""
        spec = backbone.spec
        return cls(
            name=spec.name,
            weights_sha256=backbone.weights_hash,
            text_width=spec.text_width,
            vision_width=spec.vision_width,
            embedding_dim=spec.embedding_dim,
        )

    def refuses(self, spec: BackboneSpec) -> str | None:
        """Return which width does not fit another backbone, with both sides, or None."""
        widths = (
            ("a text encoder", self.text_width, spec.text_width),
            ("a vision encoder", self.vision_width, spec.vision_width),
            ("embeddings", self.embedding_dim, spec.embedding_dim),
        )
        for what, own, other in widths:
            if own is not None and own != other:
                name = one_line(self.name, 60)
                return f"learned on {what} of width {own} ({name}), its own has {other}"
        return None

    def refuses_weights(self, backbone: Backbone) -> str | None:
        """Return that a backbone has other weights, with both sides, or None if it may be these.

        Of the same widths they would fit, and every score would mean nothing.
        """
        own = self.weights_sha256
        if own is None or own == backbone.weights_hash:
            return None
        return (
            f"learned on weights {own[:12]} of {one_line(self.name, 60)}, and "
            f"{backbone.spec.name} has {backbone.weights_hash[:12]}"
        )


class Learning(Document):
    """What whoever learned tensors says of them."""

    kind: str = Field(min_length=1)
    part: str = Field(min_length=1)
    """The part, by kind and name, whose option `file` takes the tensors."""
    facts: dict[str, str]
    """What the part says beside them (`Learns.facts`)."""
    backbone: LearnedOn
    class_token: Literal["normed", "raw"] | None
    """The one that they were learned with; None where it plays no part."""
    layers: list[Annotated[int, Field(ge=0)]]
    """Of the backbone, whose patches they were learned with."""
    data: dict[str, Sha256]
    """Digests of what they were learned from, by its name."""
    options: dict[str, JsonValue]
    """Of the training, all of them."""
    licence: str = UNKNOWN


class LearnedFile(Learning):
    """What a file of learned tensors says of itself."""

    format: Literal["vlmad learned 1"] = "vlmad learned 1"
    versions: dict[str, str]
    """Of vlmad and torch when it was written."""
    tensors_sha256: Sha256 | None
    """See `tensors_digest`; None in a file without a document that has none."""


def write_learned(path: Path, tensors: Mapping[str, Tensor], learning: Learning) -> None:
    """Write learned tensors, as float32, and what is to be said of them; the same to the bit.

    Raises:
        WeightsError: they are none that `read_learned` would take, such as not finite.
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    plain = as_learned(path, tensors)
    said = learning.model_dump(include=set(Learning.model_fields))
    said["format"] = LearnedFile.model_fields["format"].default
    said["versions"] = {name: version(name) for name in ("vlmad", "torch")}
    document = LearnedFile.of(said | {"tensors_sha256": tensors_digest(plain)}, path)
    text = json.dumps(document.model_dump(), allow_nan=False)  # in ASCII, whatever names hold
    # of several entries safetensors would choose the order by chance
    write_atomically(path, save(plain, {DOCUMENT: text}))


def read_learned(
    path: Path, kind: str | None = None, part: str | None = None
) -> tuple[dict[str, Tensor], LearnedFile]:
    """Return the tensors of a file, as float32, and its document, both judged.

    Args:
        path: the file.
        kind: of the part that is to have them; None for anyone who only looks.
        part: its name.

    Raises:
        WeightsError: it cannot be read, is damaged or none, or is of another part.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    content, document = _opened(path)
    if kind is not None and (document.kind, document.part) != (kind, part):
        owner = f"{document.kind} '{document.part}'"
        raise WeightsError(f"{path} was learned for {one_line(owner, 80)}, not {kind} '{part}'")
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{_unreadable(path)}: {one_line(first_line(error))}") from error
    with torch.inference_mode(False):  # or what a run has read could never be learned on
        plain = as_learned(path, tensors)
    if document.tensors_sha256 not in (None, tensors_digest(plain)):
        raise WeightsError(f"{path} is damaged: its tensors are not those that were learned")
    return plain, document


def read_learned_document(path: Path) -> LearnedFile:
    """Return what a file says of itself; its tensors are not looked at.

    Raises:
        WeightsError: it cannot be read, or says what no such file says.
    """
    return _opened(path)[1]


def as_learned(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as float32 on the CPU and for themselves, in the order of their names.

    Raises:
        WeightsError: they could be no learned ones, such as empty or not finite; `path` is named.
    """
    import torch

    if not 1 <= len(tensors) <= MOST_TENSORS:
        raise WeightsError(f"{path} must hold 1 to {MOST_TENSORS} tensors, not {len(tensors)}")
    plain = {}
    for name, tensor in sorted(tensors.items()):
        shown = one_line(name, 60)
        if not (name.isprintable() and 1 <= len(name) <= MOST_NAME):
            raise WeightsError(f"{path}: '{shown}' is no name of a learned tensor")
        if not tensor.is_floating_point() or tensor.itemsize < 2 or not 1 <= tensor.ndim <= 4:
            raise WeightsError(f"{path}: '{shown}' is no learned tensor: {_described(tensor)}")
        plain[name] = tensor.detach().cpu().to(torch.float32, copy=True).contiguous()
        if not tensor.numel() or not torch.isfinite(plain[name]).all():
            raise WeightsError(f"{path}: '{shown}' is empty, or holds what is no finite number")
    return plain


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, shapes and float32 values."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return total.hexdigest()


def _unreadable(path: Path) -> str:
    return f"the learned tensors {path} cannot be read"


def _opened(path: Path) -> tuple[bytes, LearnedFile]:
    """Read a file once, and what stands in its header; nothing in it is run."""
    try:
        content = read_bounded(path, MOST_BYTES)
        metadata = _metadata(content)
    except OSError as error:
        raise WeightsError(f"{_unreadable(path)}: {error.strerror or error}") from error
    except ValueError as error:
        hint = ""
        if content.startswith(TORCHS):
            hint = f"; it is a checkpoint of torch's: convert it first: vlmad prompts import {path}"
        raise WeightsError(f"{_unreadable(path)}: {one_line(first_line(error))}{hint}") from error
    try:
        if DOCUMENT in metadata:
            return content, LearnedFile.parse(metadata[DOCUMENT], path)
        return content, _undocumented(metadata, path)
    except InputError as error:
        raise WeightsError(str(error)) from error


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file, from its header alone."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(MOST_HEADER, len(content) - 8):
        raise ValueError("it is no safetensors file, or its header is cut off or too long")
    header = parse(json.loads, content[8 : 8 + length].decode("utf-8"))
    metadata = (header.get("__metadata__") or {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are no texts")
    return metadata


def _undocumented(metadata: Mapping[str, str], path: Path) -> LearnedFile:
    """Return the document of a file of learned prompts that has none."""
    facts = {name: text for name, text in metadata.items() if name.startswith("template.")}
    said = {
        "kind": "prompts",
        "part": "learned",
        "facts": facts,
        "backbone": {"name": metadata.get("backbone") or UNKNOWN},
        "class_token": metadata.get("class_token", "normed"),
        "layers": [],
        "data": {},
        "options": {},
        "format": LearnedFile.model_fields["format"].default,
        "versions": {},
        "tensors_sha256": metadata.get(DIGEST),
    }
    return LearnedFile.of(said, path)


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"[:80]
