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
from vlmad.errors import IncompatiblePartsError, WeightsError
from vlmad.parts import CONTEXT_VECTORS, HasTokenIds
from vlmad.text import check_place
from vlmad_documents.learned_file import LearnedOn, read_learned
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

    The names are the two classes; the context was published for any. What follows `file` shapes
    what `vlmad train` draws and learns: a file knows it.

    Args:
        file: a file of learned context.
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
        vectors: Annotated[int, Interval(ge=1, le=64)] = 16,
        position: Literal["end", "middle", "front"] = "end",
        per_class: bool = False,
        words: str = "",
        normal: str = "flawless {}",
        anomalous: str = "damaged {}",
    ) -> None:
        if words:
            vectors, per_class = len(words.split()), False
        self.vectors, self.words = vectors, words
        self.names = PER_CLASS if per_class else GENERIC
        self.templates = tuple(_template(t, vectors, position) for t in (normal, anomalous))
        self.file, self.context = file, read_context(file) if file else None

    def refuses(self, spec: BackboneSpec) -> str | None:
        """Return what of the widths does not fit the backbone."""
        reason = self.context and self.context.backbone.refuses(spec)
        return f"the context was {reason}" if reason else None

    def class_token(self, spec: BackboneSpec) -> Literal["normed", "raw"]:
        """Return the class token that the context was learned with."""
        return self.context.class_token if self.context else "normed"

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return the context; see `vlmad.parts.Learns`."""
        import torch

        if self.file is None or self.context is None:
            assert spec.text_width is not None
            generator, shape = torch.Generator().manual_seed(seed), (self.vectors, spec.text_width)
            std = 0 if self.words else STD
            with torch.inference_mode(False):  # or it could never be learned
                drawn = {n: std * torch.randn(shape, generator=generator) for n in self.names}
            on = LearnedOn(name=spec.name)
            self.context = LearnedContext(drawn, self.templates, "normed", on)
        return self.context.tensors

    def facts(self) -> Mapping[str, str]:
        """Return the sentences."""
        templates = self.context.templates if self.context else self.templates
        return {f"template.{side}": each for side, each in zip(SIDES, templates, strict=True)}

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode both sentences for what the images show.

        Raises:
            WeightsError: nothing was learned yet.
        """
        if self.context is None:
            raise WeightsError(
                "prompts 'coop' have learned nothing yet: vlmad train DATA --prompt coop "
                "--out FILE, then --prompt coop:FILE"
            )
        vectors = next(iter(self.context.tensors.values()))
        if self.words and not vectors.any():  # only now is there a backbone to ask
            vectors.data += word_vectors(backbone, self.words).to(vectors)
        embeddings = backbone.encode_text(self.context.prompts(class_name))
        sentences = [each.replace("{}", class_name) for each in self.context.templates]
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
