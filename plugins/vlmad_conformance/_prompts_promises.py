"""What prompts promise."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from vlmad.parts import TEXT
from vlmad.types import TextEmbeddings
from vlmad_conformance._small_backbone import OnlyOffers, SmallBackbone
from vlmad_conformance.examples import example_features, two_layer_backbone
from vlmad_conformance.facts import (
    given,
    require,
    require_close,
    require_pure,
    require_tensor,
    require_type,
)

if TYPE_CHECKING:
    from vlmad.parts import Backbone
    from vlmad.types import Features
    from vlmad_conformance.promises import Subject

ODD_NAMES = ("bolt", "metal nut", "{} [bold] 100%", "Schraube ä 螺丝")


def _backbone_for(subject: Subject) -> Any:
    """Return a backbone that prompts fit, which offers nothing but what they need."""
    prompts = subject.make()
    known = [subject.backbone] if subject.backbone else [SmallBackbone(), two_layer_backbone()]
    for backbone in known:
        if prompts.refuses(backbone.spec) is None:
            return OnlyOffers(backbone, prompts.needs)
    refused = prompts.refuses(known[-1].spec)
    require(False, f"it refuses {known[-1].spec.name}: {refused}; give the check another backbone")
    return None


def _seen(prompts: Any, backbone: Backbone, count: int = 2) -> Features | None:
    """Return the features that prompts are given: none unless they look at the image."""
    features = example_features(count, dimensions=backbone.spec.embedding_dim)
    return features if prompts.looks_at_image else None


def _shown(class_name: str, features: Features | None) -> str:
    return f"class name '{class_name}'" + (f", {len(features)} images" if features else "")


def fits_a_backbone(subject: Subject) -> None:
    """They fit some backbone, and say which class token they were made for."""
    backbone = _backbone_for(subject)
    prompts = subject.made_for(backbone)
    require(prompts.class_token(backbone.spec) in ("normed", "raw"), "class_token is unknown")


def give_embeddings(subject: Subject) -> None:
    """They give unit embeddings of both sides for any class name, from what they need alone."""
    backbone = _backbone_for(subject)
    prompts = subject.made_for(backbone)
    for class_name in ODD_NAMES:
        seen = _seen(prompts, backbone)
        with torch.inference_mode(), given(_shown(class_name, seen)):
            _check_text(prompts(backbone, class_name, seen), prompts, backbone)


def _check_text(text: TextEmbeddings | None, prompts: Any, backbone: Backbone) -> None:
    if TEXT not in prompts.gives:
        require(text is None, "they do not list 'text' in gives, yet return embeddings")
        return
    require(isinstance(text, TextEmbeddings), "they must return vlmad.TextEmbeddings")
    assert text is not None
    images = (2,) if prompts.looks_at_image and text.embeddings.ndim == 3 else ()
    shape = (*images, len(text.sentences))
    require_tensor(text.embeddings, (*shape, backbone.spec.embedding_dim), "embeddings")
    require_tensor(text.norms, shape, "norms")
    require_type(text.embeddings, torch.float32, "embeddings")
    require(text.anomalous.dtype == torch.bool, "anomalous must be of dtype bool")
    require(text.anomalous.shape == (len(text.sentences),), "anomalous needs a side per sentence")
    both = bool(text.anomalous.any()) and not bool(text.anomalous.all())
    require(both, "both a normal and an anomalous sentence are needed")
    lengths = text.embeddings.norm(dim=-1)
    require_close(lengths, torch.ones_like(lengths), "embeddings are not of unit length")


def repeat(subject: Subject) -> None:
    """Asked again they give the same bits, and they change nothing that they are given."""
    backbone = _backbone_for(subject)
    prompts = subject.made_for(backbone)
    seen = _seen(prompts, backbone)
    with torch.inference_mode(), given(_shown("bolt", seen)):
        embed = partial(prompts, backbone, "bolt", seen)
        require_pure(embed, backbone.backbone, seen, name="the prompts")


def remember_no_class_name(subject: Subject) -> None:
    """What they were asked before changes nothing."""
    backbone = _backbone_for(subject)
    used = subject.made_for(backbone)
    for class_name in ("bolt", "metal nut", "bolt"):
        fresh, seen = subject.made_for(backbone), _seen(used, backbone)
        with torch.inference_mode(), given(f"{_shown(class_name, seen)}, after another"):
            known, anew = used(backbone, class_name, seen), fresh(backbone, class_name, seen)
            require_close(known, anew, "what they were asked before changes the embeddings")


def look_at_each_image_alone(subject: Subject) -> None:
    """The text of an image depends on no other."""
    backbone = _backbone_for(subject)
    prompts = subject.made_for(backbone)
    if not prompts.looks_at_image:
        return
    seen = _seen(prompts, backbone)
    assert seen is not None
    with torch.inference_mode(), given(_shown("bolt", seen)):
        together = prompts(backbone, "bolt", seen).embeddings
        for row in (0, 1):
            alone = prompts(backbone, "bolt", seen[[row]]).embeddings
            own = together[row : row + 1] if together.ndim == 3 else together
            require_close(alone, own, "other images change the embeddings")
