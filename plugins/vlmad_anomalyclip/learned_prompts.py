"""Learned prompts: context vectors and deep tokens, from a safetensors file.

The file holds `context.normal` and `context.anomalous` (c, w) and `deep.N` (t, w), the tokens
that overwrite positions 1 to t before text block N. Its metadata hold `template.normal` and
`template.anomalous` (the sentences, an X for each learned vector), `class_token` (the one they
were learned with, normed or raw) and `backbone`; `sha256` is of the tensors (`tensors_digest`),
which are checked where it is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safetensors import SafetensorError, safe_open

from vlmad import ContextPrompts, Prompts, TextEmbeddings
from vlmad.errors import WeightsError
from vlmad.parts import CONTEXT_VECTORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vlmad import Backbone, BackboneSpec, Features

SIDES = ("normal", "anomalous")
DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class LearnedPrompts:
    """What a file of learned prompts holds."""

    tensors: Mapping[str, Tensor]
    templates: tuple[str, str]
    """The normal and the anomalous sentence, an X for each learned vector."""
    class_token: Literal["normed", "raw"]
    backbone: str

    @property
    def width(self) -> int:
        """Of the text encoder that they were learned with."""
        return self.tensors["context.normal"].shape[1]

    @property
    def deep(self) -> dict[int, Tensor]:
        """The deep tokens by the text block before which they enter."""
        found = {k.removeprefix("deep."): t for k, t in self.tensors.items() if k[:5] == "deep."}
        return {int(number): tensor for number, tensor in sorted(found.items())}

    def context_prompts(self) -> ContextPrompts:
        """Return them as a text encoder takes them; gradients flow to `tensors`."""
        import torch

        context = torch.stack([self.tensors[f"context.{side}"] for side in SIDES])
        endings = tuple(template.replace("X ", "") for template in self.templates)
        return ContextPrompts(context, endings, self.deep)


def read_learned_prompts(path: Path) -> LearnedPrompts:
    """Read and check a file of learned prompts.

    Raises:
        WeightsError: it is missing, damaged, or lacks what it must hold.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        hint = ""
        if path.suffix in (".pth", ".pt"):
            hint = f"; convert it first: vlmad prompts import {path}"
        raise WeightsError(f"learned prompts {path} cannot be read: {error}{hint}") from error
    _check_tensors(path, tensors)
    if metadata.get(DIGEST, own := tensors_digest(tensors)) != own:
        raise WeightsError(f"{path} is damaged: its tensors are not those that were learned")
    templates = tuple(metadata.get(f"template.{side}", "") for side in SIDES)
    length = tensors["context.normal"].shape[0]
    if any(template.split().count("X") != length for template in templates):
        raise WeightsError(f"{path}: its templates must have an X for each of {length} vectors")
    raw = metadata.get("class_token", "normed") == "raw"
    return LearnedPrompts(
        tensors,
        (templates[0], templates[1]),
        "raw" if raw else "normed",
        metadata.get("backbone", "unknown"),
    )


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, shapes and float32 values."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return total.hexdigest()


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    import torch

    contexts = [tensors.get(f"context.{side}") for side in SIDES]
    if any(context is None or context.ndim != 2 for context in contexts):
        raise WeightsError(
            f"{path} holds no learned prompts: context.normal and "
            "context.anomalous (vectors, width) are missing"
        )
    shapes = {tuple(context.shape) for context in contexts if context is not None}
    width = next(iter(shapes))[1]
    for name, tensor in tensors.items():
        deep = name.startswith("deep.") and name[5:].isdecimal()
        if not deep and name not in ("context.normal", "context.anomalous"):
            raise WeightsError(f"{path}: unknown tensor '{name}'")
        if tensor.ndim != 2 or tensor.shape[1] != width or not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: '{name}' must be finite and of shape (vectors, {width})")
    if len(shapes) > 1:
        raise WeightsError(f"{path}: both contexts must have one shape")


class Learned(Prompts):
    """Two sentences whose first words are learned, the same for every object (AnomalyCLIP).

    Args:
        file: a safetensors file of learned prompts; by default the backbone's own, if it
            ships any. `vlmad prompts import` converts the official checkpoints.
    """

    needs = frozenset({CONTEXT_VECTORS})

    def __init__(self, file: Path | None = None) -> None:
        self.given = read_learned_prompts(file) if file else None

    def refuses(self, spec: BackboneSpec) -> str | None:
        """Return what of width or depth does not fit the backbone's text encoder."""
        if self.given is None and spec.learned_prompts is None:
            return (
                "no prompts were learned for it; learn some or convert a checkpoint "
                "(vlmad prompts import), then add --set prompts.file=FILE"
            )
        learned = self.learned(spec)
        if learned.width != spec.text_width:
            return (
                f"the prompts were learned on a text encoder of width {learned.width} "
                f"({learned.backbone}), its own has {spec.text_width}"
            )
        if max(learned.deep, default=0) >= (spec.text_depth or 0):
            return f"the prompts enter block {max(learned.deep)} of {spec.text_depth} text blocks"
        return None

    def class_token(self, spec: BackboneSpec) -> Literal["normed", "raw"]:
        """Return the class token that the prompts were learned with."""
        return self.learned(spec).class_token

    def learned(self, spec: BackboneSpec) -> LearnedPrompts:
        """Return the prompts in use with a backbone."""
        if self.given is None:
            assert spec.learned_prompts is not None
            self.given = read_learned_prompts(spec.learned_prompts)
        return self.given

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode the two sentences; the class name plays no part."""
        learned = self.learned(backbone.spec)
        embeddings = backbone.encode_text(learned.context_prompts())
        return TextEmbeddings.of(embeddings, (False, True), learned.templates)
