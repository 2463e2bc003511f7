"""Learned context of a normal and a damaged name, from a file of learned tensors or drawn anew.

The file holds `context` (c, w), of both names, or `context.normal` and `context.anomalous`. Its
facts are `template.normal` and `template.anomalous`: the sentences, an X for each learned vector
and a {} for the class name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from vlmad import ContextPrompts, Prompts, TextEmbeddings
from vlmad.errors import IncompatiblePartsError, OptionError, WeightsError
from vlmad.parts import CONTEXT_VECTORS
from vlmad.text import check_place
from vlmad_documents.learned_file import LearnedOn, read_learned
from vlmad_openclip.backbone_facts import HasTokenIds
from vlmad_openclip.language import HasVocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Backbone, BackboneSpec, Features

SIDES = ("normal", "anomalous")
GENERIC, PER_CLASS = ("context",), ("context.normal", "context.anomalous")
STD = 0.02
"""Of the values that are drawn, as published."""


@dataclass(frozen=True, slots=True)
class LearnedContext:
    """Vectors, and where they stand."""

    tensors: Mapping[str, Tensor]
    templates: tuple[str, ...]
    class_token: Literal["normed", "raw"]
    backbone: LearnedOn

    def prompts(self, class_name: str) -> ContextPrompts:
        """Return both sentences for what the images show; gradients flow to `tensors`."""
        import torch

        names = PER_CLASS if len(self.tensors) == 2 else GENERIC * 2
        context = torch.stack([self.tensors[name] for name in names])
        # an X of the class name's own, as the tokenizer takes it, is a small one
        sentences = (template.replace("{}", class_name.lower()) for template in self.templates)
        return ContextPrompts(context, tuple(sentences), {})


class Coop(Prompts):
    """A normal and a damaged name, and learned context before, around or behind them (CoOp).

    The names are the two classes; the context was published for any.

    Args:
        file: a file of learned context, which knows its sentences.
        any_weights: take it on other weights of the same widths than it was learned on.
        anew: whether, without a file, context is drawn at random, to be learned: `vlmad train`
            sets it, and what follows shapes it.
        vectors: of how many the context is.
        position: where the name stands: at the end, in the middle, or in front.
        per_class: whether each name has context of its own.
        words: what a context of both names starts from in place of values that are drawn; one
            vector for each word, so that the end of a word of several tokens is cut off.
        normal: the name of what is good, with one {} for what the images show.
        anomalous: of what is not.
    """

    needs = frozenset({CONTEXT_VECTORS})
    loss = "image"

    def __init__(
        self,
        file: Path | None = None,
        any_weights: bool = False,
        anew: bool = False,
        vectors: Annotated[int, Interval(ge=1, le=64)] = 16,
        position: Literal["end", "middle", "front"] = "end",
        per_class: bool = False,
        words: str = "",
        normal: str = "flawless {}",
        anomalous: str = "damaged {}",
    ) -> None:
        if file is None and not anew:
            raise OptionError(
                "prompts 'coop' need a file of learned context: vlmad train DATA --detector coop "
                "--out FILE, then --prompt coop:FILE"
            )
        if words:
            vectors, per_class = len(words.split()), False
        self.vectors, self.words = vectors, words
        self.names = PER_CLASS if per_class else GENERIC
        self.templates = tuple(_template(t, vectors, position) for t in (normal, anomalous))
        self.any_weights, self.anew = any_weights, file is None
        self.context = read_context(file) if file else None

    def refuses(self, spec: BackboneSpec) -> str | None:
        """Return what of the widths does not fit the backbone."""
        reason = self.context and self.context.backbone.refuses(spec)
        return f"the context was {reason}" if reason else None

    def refuses_weights(self, backbone: Backbone) -> str | None:
        """Return that the context was learned on other weights, unless any will do."""
        if self.any_weights or self.context is None:
            return None
        reason = self.context.backbone.refuses_weights(backbone)
        hint = "learn it anew, or add --set prompts.any_weights=true"
        return f"{reason}; {hint}" if reason else None

    def class_token(self, spec: BackboneSpec) -> Literal["normed", "raw"]:
        """Return the class token that the context was learned with."""
        return self.context.class_token if self.context else "normed"

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return the context; see `vlmad_documents.learned_file.Learns`."""
        if self.anew:
            self.context = self._drawn(spec, seed)
        assert self.context is not None
        return self.context.tensors

    def facts(self) -> Mapping[str, str]:
        """Return the sentences."""
        templates = self.context.templates if self.context else self.templates
        return {f"template.{side}": each for side, each in zip(SIDES, templates, strict=True)}

    def _drawn(self, spec: BackboneSpec, seed: int) -> LearnedContext:
        import torch

        assert spec.text_width is not None
        generator, shape = torch.Generator().manual_seed(seed), (self.vectors, spec.text_width)
        std = 0 if self.words else STD
        with torch.inference_mode(False):  # or it could never be learned
            drawn = {name: std * torch.randn(shape, generator=generator) for name in self.names}
        return LearnedContext(drawn, self.templates, "normed", LearnedOn(name=spec.name))

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode both sentences for what the images show."""
        self.context = context = self.context or self._drawn(backbone.spec, seed=0)
        vectors = next(iter(context.tensors.values()))
        if self.words and not vectors.any():  # only now is there a backbone to ask
            vectors.data += word_vectors(backbone, self.words).to(vectors)
        embeddings = backbone.encode_text(context.prompts(class_name))
        sentences = [each.replace("{}", class_name) for each in context.templates]
        return TextEmbeddings.of(embeddings, (False, True), sentences)


def word_vectors(backbone: Backbone, words: str) -> Float[Tensor, "c w"]:
    """Return the embeddings of the first tokens of some words, one for each word.

    Raises:
        IncompatiblePartsError: the backbone does not show them.
    """
    if not isinstance(backbone, HasVocabulary) or not isinstance(backbone, HasTokenIds):
        raise IncompatiblePartsError(f"'{backbone.spec.name}' gives no vocabulary to start from")
    ids = backbone.token_ids([words])
    assert ids is not None
    return backbone.vocabulary()[1][ids[0, 1 : 1 + len(words.split())]]


def read_context(path: Path) -> LearnedContext:
    """Read and check a file of learned context.

    Raises:
        WeightsError: it is missing, damaged, or lacks what it must hold.
    """
    tensors, file = read_learned(path, "prompts", "coop")
    shapes = {tuple(tensor.shape) for tensor in tensors.values()}
    if sorted(tensors) not in ([*GENERIC], sorted(PER_CLASS)) or len(shapes) > 1:
        raise WeightsError(f"{path} holds no context of one shape, generic or for each side")
    shape = next(iter(shapes))
    templates = tuple(file.facts.get(f"template.{side}", "") for side in SIDES)
    for template in templates:
        check_place(template, str(path))
        if len(shape) != 2 or template.split().count("X") != shape[0]:
            raise WeightsError(f"{path}: its templates must have an X for each vector")
    learned_on = file.backbone.model_copy(update={"text_width": shape[1]})
    return LearnedContext(tensors, templates, file.class_token or "normed", learned_on)


def _template(name: str, vectors: int, position: Literal["end", "middle", "front"]) -> str:
    """Return the sentence of a name, CoOp's full stop behind it."""
    check_place(name, "coop")
    before = {"end": vectors, "middle": vectors // 2, "front": 0}[position]
    words = ["X"] * before + [name.lower()] + ["X"] * (vectors - before)
    return " ".join(words) + ("." if before == vectors else " .")
