"""What prompts promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from vlmad.parts import TEXT
from vlmad.types import TextEmbeddings
from vlmad_conformance import _promises_alike as alike
from vlmad_conformance._small_backbone import OnlyOffers, SmallBackbone
from vlmad_conformance.examples import example_features, two_layer_backbone
from vlmad_conformance.facts import Breach, differ, require, require_close, require_tensor
from vlmad_conformance.promises import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from vlmad.parts import Backbone
    from vlmad.types import Features
    from vlmad_conformance.promises import Subject

ODD_NAMES = ("bolt", "metal nut", "{} [bold] 100%", "Schraube ä 螺丝")
IMAGES = 2


@dataclass(frozen=True)
class Asking(alike.Trial):
    """Prompts asked for a class name; they are given features if they look at the image."""

    called = "the embeddings"
    backbone: OnlyOffers
    class_name: str

    def text(self) -> TextEmbeddings | None:
        """Return what they give."""
        return self.part(self.backbone, self.class_name, self.images or None)  # type: ignore[no-any-return]

    def answer(self) -> Tensor:
        text = self.text()
        if text is None:
            return torch.zeros(IMAGES)
        seen = torch.cat([text.embeddings, text.norms[..., None]], dim=-1)
        return seen if seen.ndim == 3 else seen.expand(max(1, len(self.images)), *seen.shape)

    def beside(self) -> tuple[Any, ...]:
        return (self.backbone.backbone,)

    def others(self) -> Iterator[Asking]:
        for class_name in ODD_NAMES:
            yield replace(self, class_name=class_name)

    def __str__(self) -> str:
        images = f", {len(self.images)} images" if self.images else ""
        return f"class name '{self.class_name}'{images}"


def _asked(subject: Subject) -> Iterator[Asking]:
    """Yield trials on a backbone that prompts fit, which offers nothing but what they need."""
    prompts, refused = subject.make(), None
    ours: list[Callable[[], Backbone]] = [SmallBackbone, two_layer_backbone]
    for known in [subject.backbone] if subject.backbone else (make() for make in ours):
        if (refused := prompts.refuses(known.spec)) is None:
            make = partial(subject.made_for, known)
            part, offers = make(), OnlyOffers(known, prompts.needs)
            seen = example_features(IMAGES, dimensions=known.spec.embedding_dim)
            images: Features | tuple[()] = seen if part.looks_at_image else ()
            yield from (Asking(make, part, images, offers, name) for name in ODD_NAMES)
            return
    raise Breach(f"it refuses {known.spec.name}: {refused}; give the check another backbone")


def _once(subject: Subject) -> list[Asking]:
    return [next(_asked(subject))]


@each(_once)
def fit_a_backbone(trial: Asking) -> None:
    """They fit some backbone, and say which class token they were made for."""
    token = trial.part.class_token(trial.backbone.spec)
    require(token in ("normed", "raw"), "class_token is unknown")


@each(_asked)
def give_embeddings(trial: Asking) -> None:
    """They give unit embeddings of both sides for any class name, from what they need alone."""
    text, prompts = trial.text(), trial.part
    if TEXT not in prompts.gives:
        require(text is None, "they do not list 'text' in gives, yet return embeddings")
        return
    require(isinstance(text, TextEmbeddings), "they must return vlmad.TextEmbeddings")
    assert text is not None
    images = (IMAGES,) if prompts.looks_at_image and text.embeddings.ndim == 3 else ()
    shape = (*images, len(text.sentences))
    require_tensor(text.embeddings, (*shape, trial.backbone.spec.embedding_dim), "embeddings")
    require_tensor(text.norms, shape, "norms")
    require(text.anomalous.dtype == torch.bool, "anomalous must be of dtype bool")
    require(text.anomalous.shape == (len(text.sentences),), "anomalous needs a side per sentence")
    both = bool(text.anomalous.any()) and not bool(text.anomalous.all())
    require(both, "both a normal and an anomalous sentence are needed")
    lengths = text.embeddings.norm(dim=-1)
    require_close(lengths, torch.ones_like(lengths), "embeddings are not of unit length")
    sides = [text.embeddings[..., text.anomalous == side, :].mean(-2) for side in (False, True)]
    require(differ(*sides), "both sides mean the same")


PROMISES = (
    (fit_a_backbone,),
    (give_embeddings,),
    (
        each(_once)(alike.repeats),
        each(_once)(alike.takes_each_image_alone),
        each(_once)(alike.keeps_no_state),
    ),
)
