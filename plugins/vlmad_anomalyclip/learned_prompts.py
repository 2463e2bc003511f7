"""Learned prompts: context vectors and deep tokens, from a file of learned tensors.

The file holds `context.normal` and `context.anomalous` (c, w) and `deep.N` (t, w), the tokens
that overwrite positions 1 to t before text block N. Its facts are `template.normal` and
`template.anomalous`: the sentences, an X for each learned vector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Gt, Interval

from vlmad import ContextPrompts, Prompts, TextEmbeddings
from vlmad.errors import OptionError, WeightsError, one_line
from vlmad.parts import CONTEXT_VECTORS
from vlmad_documents.learned_file import UNKNOWN, LearnedOn, Learning, read_learned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from vlmad import Backbone, BackboneSpec, Features

ClassToken: TypeAlias = Literal["normed", "raw"]
SIDES = ("normal", "anomalous")
ENDINGS = ("object.", "damaged object.")
"""The words after the learned ones, as published."""
DEEP = re.compile(r"deep\.(0|[1-9][0-9]{0,2})")
PART = ("prompts", "learned")


@dataclass(frozen=True, slots=True)
class LearnedPrompts:
    """What a file of learned prompts holds."""

    tensors: Mapping[str, Tensor]
    templates: tuple[str, str]
    """The normal and the anomalous sentence, an X for each learned vector."""
    file: Learning

    @property
    def class_token(self) -> ClassToken:
        """The one that they were learned with."""
        return self.file.class_token or "normed"

    @property
    def width(self) -> int:
        """Of the text encoder that they were learned with."""
        return self.tensors["context.normal"].shape[1]

    @property
    def deep(self) -> dict[int, Tensor]:
        """The deep tokens by the text block before which they enter."""
        found = {DEEP.fullmatch(name): tensor for name, tensor in self.tensors.items()}
        return {int(match[1]): tensor for match, tensor in found.items() if match}

    def context_prompts(self) -> ContextPrompts:
        """Return them as a text encoder takes them; gradients flow to `tensors`."""
        import torch

        context = torch.stack([self.tensors[f"context.{side}"] for side in SIDES])
        return ContextPrompts(context, self.templates, self.deep)


def read_learned_prompts(path: Path) -> LearnedPrompts:
    """Read and check a file of learned prompts.

    Raises:
        WeightsError: it is missing, damaged, or lacks what it must hold.
    """
    return as_prompts(path, *read_learned(path, *PART))


def as_prompts(path: Path, tensors: Mapping[str, Tensor], file: Learning) -> LearnedPrompts:
    """Return what `read_learned` gave as learned prompts, or refuse it."""
    _check_tensors(path, tensors)
    templates = tuple(file.facts.get(f"template.{side}", "") for side in SIDES)
    length = tensors["context.normal"].shape[0]
    if any(template.split().count("X") != length for template in templates):
        raise WeightsError(f"{path}: its templates must have an X for each of {length} vectors")
    return LearnedPrompts(tensors, (templates[0], templates[1]), file)


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    contexts = [tensors.get(f"context.{side}") for side in SIDES]
    if any(context is None or context.ndim != 2 for context in contexts):
        raise WeightsError(
            f"{path} holds no learned prompts: context.normal and "
            "context.anomalous (vectors, width) are missing"
        )
    shapes = {tuple(context.shape) for context in contexts if context is not None}
    width = next(iter(shapes))[1]
    for name, tensor in tensors.items():
        if not DEEP.fullmatch(name) and name not in ("context.normal", "context.anomalous"):
            raise WeightsError(f"{path}: unknown tensor '{name}'")
        if tensor.ndim != 2 or tensor.shape[1] != width:
            raise WeightsError(f"{path}: '{name}' must be of shape (vectors, {width})")
    if len(shapes) > 1:
        raise WeightsError(f"{path}: both contexts must have one shape")


class Learned(Prompts):
    """Two sentences whose first words are learned, the same for every object (AnomalyCLIP).

    Args:
        file: a safetensors file of learned prompts; by default the backbone's own, if it
            ships any. `vlmad prompts import` converts the official checkpoints.
        bundled: the name of those to take without a file; by default the first of the backbone's.
        any_weights: take them on other weights of the same widths than they were learned on.
        anew: whether, with neither, they are drawn at random, to be learned: `vlmad train`
            sets it, and what follows shapes them.
        context: how many vectors stand before the words of a sentence.
        deep_tokens: how many vectors overwrite the first positions before a text block.
        deep_blocks: before how many text blocks from the second on, as far as there are any.
        std: the standard deviation of what is drawn.
        token: the class token to learn them with: raw, as published, or normed, CLIP's own.
    """

    needs = frozenset({CONTEXT_VECTORS})

    def __init__(
        self,
        file: Path | None = None,
        bundled: str | None = None,
        any_weights: bool = False,
        anew: bool = False,
        context: Annotated[int, Interval(ge=1, le=64)] = 12,
        deep_tokens: Annotated[int, Interval(ge=1, le=64)] = 4,
        deep_blocks: Annotated[int, Interval(ge=0, le=64)] = 8,
        std: Annotated[float, Gt(0)] = 0.02,
        token: ClassToken = "raw",
    ) -> None:
        self.given = read_learned_prompts(file) if file else None
        self.bundled, self.any_weights = bundled, any_weights
        self._is_drawn = file is None and bundled is None
        self.anew, self.context, self.std = anew and self._is_drawn, context, std
        self.deep_tokens, self.deep_blocks, self.token = deep_tokens, deep_blocks, token

    def refuses(self, spec: BackboneSpec) -> str | None:
        """Return what of width or depth does not fit the backbone's text encoder."""
        if self.given is None and self.anew:
            return None
        if self.given is None and not spec.learned_prompts:
            return (
                "no prompts were learned for it; learn some (vlmad train) or convert a checkpoint "
                "(vlmad prompts import), then add --set prompts.file=FILE"
            )
        learned = self.learned(spec)
        known = learned.file.backbone.model_copy(update={"text_width": learned.width})
        if reason := known.refuses(spec):
            return f"the prompts were {reason}"
        if max(learned.deep, default=0) >= (spec.text_depth or 0):
            return f"the prompts enter block {max(learned.deep)} of {spec.text_depth} text blocks"
        return None

    def refuses_weights(self, backbone: Backbone) -> str | None:
        """Return that they were learned on other weights, unless any will do."""
        reason = self.learned(backbone.spec).file.backbone.refuses_weights(backbone)
        hint = "learn them anew, or add --set prompts.any_weights=true"
        return None if self.any_weights or reason is None else f"{reason}; {hint}"

    def notes_on(self, spec: BackboneSpec) -> Iterator[str]:
        """Yield the licence of a file that states another one than the backbone's."""
        licence = self.given.file.licence if self.given else UNKNOWN
        if licence not in (UNKNOWN, spec.licence):
            yield f"licence of what was learned: {one_line(licence, 80)}"

    def class_token(self, spec: BackboneSpec) -> ClassToken:
        """Return the class token that the prompts were learned with."""
        return self.learned(spec).class_token

    def learned(self, spec: BackboneSpec) -> LearnedPrompts:
        """Return the prompts in use with a backbone.

        Raises:
            OptionError: it ships none of the name `bundled`.
        """
        if self.given is None and self.anew:
            self.given = self._drawn(spec, seed=0)
        if self.given is None:
            shipped = spec.learned_prompts
            name = next(iter(shipped)) if self.bundled is None else self.bundled
            if name not in shipped:
                unknown, known = one_line(name, 60), ", ".join(shipped)
                raise OptionError(f"{spec.name} ships no prompts '{unknown}'; bundled: {known}")
            self.given = read_learned_prompts(shipped[name])
        return self.given

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return contexts and deep tokens; see `vlmad_documents.learned_file.Learns`."""
        if self._is_drawn:
            self.given = self._drawn(spec, seed)
        return self.learned(spec).tensors

    def facts(self) -> Mapping[str, str]:
        """Return the sentences."""
        assert self.given is not None
        return {f"template.{s}": t for s, t in zip(SIDES, self.given.templates, strict=True)}

    def _drawn(self, spec: BackboneSpec, seed: int) -> LearnedPrompts:
        import torch

        assert spec.text_width is not None
        generator, width = torch.Generator().manual_seed(seed), spec.text_width
        counts = dict.fromkeys((f"context.{side}" for side in SIDES), self.context)
        deepest = min(self.deep_blocks, (spec.text_depth or 1) - 1)
        counts |= {f"deep.{block}": self.deep_tokens for block in range(1, deepest + 1)}
        with torch.inference_mode(False):  # or they could never be learned
            tensors = {
                name: self.std * torch.randn(count, width, generator=generator)
                for name, count in counts.items()
            }
        fillers = " ".join(["X"] * self.context)
        templates = (f"{fillers} {ENDINGS[0]}", f"{fillers} {ENDINGS[1]}")
        file = Learning(
            kind=PART[0],
            part=PART[1],
            facts={},
            backbone=LearnedOn(name=spec.name),
            class_token=self.token,
            layers=[],
            data={},
            options={},
        )
        return LearnedPrompts(tensors, templates, file)

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode the two sentences; the class name plays no part."""
        learned = self.learned(backbone.spec)
        embeddings = backbone.encode_text(learned.context_prompts())
        return TextEmbeddings.of(embeddings, (False, True), learned.templates)
