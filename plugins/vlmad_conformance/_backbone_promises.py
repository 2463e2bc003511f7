"""What a backbone promises of itself and of its text; of images see `_vision_promises`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import torch

from vlmad.options import options_of
from vlmad.parts import CONTEXT_VECTORS, LEVELS, TEXT_ENCODER
from vlmad.types import BackboneSpec, ClassToken, ContextPrompts
from vlmad_conformance import _vision_promises as vision
from vlmad_conformance.examples import example_images
from vlmad_conformance.facts import (
    differ,
    given,
    modules_of,
    require,
    require_close,
    require_equal,
    require_quick,
    require_repeatable,
    require_tensor,
)
from vlmad_openclip.backbone_facts import HasTokenIds

if TYPE_CHECKING:
    from vlmad.parts import Backbone
    from vlmad_conformance.promises import Subject

SENTENCES = ("a photo of a flawless bolt.", "bolt", "a photo of a damaged metal nut with a scratch")
RANDOM = "random:"
"""How weights begin that follow from a seed."""


def spec(subject: Subject) -> None:
    """Its spec holds what is possible, at once, without loading weights."""
    require_quick(lambda: subject.make().spec, "spec")
    backbone = subject.make()
    seen = backbone.spec
    require(isinstance(seen, BackboneSpec), "spec is no vlmad.BackboneSpec")
    numbers = (*seen.grid, *seen.preprocessing.size, seen.depth, seen.vision_width)
    require(min(*numbers, seen.embedding_dim) > 0, "the spec holds sizes below 1")
    require(min(seen.preprocessing.std) > 0, "the spec's channel deviations must be above 0")
    levels = seen.levels if LEVELS in seen.provides else {}
    require(bool(levels) == (LEVELS in seen.provides), "it provides levels, but names none")
    require(set(seen.middle) <= levels.keys(), "the spec's middle levels are none of its levels")
    text = CONTEXT_VECTORS not in seen.provides or bool(seen.text_width and seen.text_depth)
    require(text, "learned context needs text_width and text_depth")
    require(backbone.spec == seen and subject.make().spec == seen, "its spec is not repeatable")


def says_how_it_computes(subject: Subject) -> None:
    """It says what is in force of the options `device` and `precision`: caches rely on it."""
    if subject.factory is None:
        return
    offered = options_of(subject.factory)
    for name, kind in (("device", torch.device), ("precision", str)):
        if name in offered:
            said = getattr(subject.make(), name, None)
            require(isinstance(said, kind), f"it takes {name}, but its {name} is {said!r}")
    for word in get_args(offered["precision"].type) if "precision" in offered else ():
        if isinstance(word, str) and word != "auto":
            with given(f"precision={word}"):
                said = subject.factory(**{**subject.options, "precision": word}).precision
                require(said == word, f"its precision is {said!r}")


def names_its_weights(subject: Subject) -> None:
    """`weights_hash` is a SHA-256 of the weights: the same for the same, another for others."""
    backbone, twin = subject.part, subject.make()
    digest = backbone.weights_hash
    right = isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    require(right, "weights_hash is no SHA-256 in hexadecimal")
    with given("the same options twice"):
        require(twin.weights_hash == digest, "weights_hash is another for the same options")
        vision.encode(twin, [ClassToken()], example_images(1, seed=1))
        otherwise = "the same options give other weights, or what it encoded before changes encode"
        require_close(_token(twin), _token(backbone), otherwise)
        if TEXT_ENCODER in backbone.spec.provides:
            with torch.inference_mode():
                texts = [each.encode_text(SENTENCES[:1]) for each in (twin, backbone)]
            require_close(texts[0], texts[1], "the same options give other weights of text")
        named = len(set(digest)) > 1 or not _parameters(backbone)
        require(named, "weights_hash does not tell the weights")
    other = _with_another_seed(subject)
    if other is not None:
        with given("another seed"):
            same = other.weights_hash == digest
            require(not same, "weights_hash is the same for another seed")
            require(differ(_token(other), _token(backbone)), "another seed gives the same weights")


def _parameters(backbone: Backbone) -> list[torch.Tensor]:
    return list(chain.from_iterable(model.parameters() for model in modules_of(backbone)))


@torch.inference_mode()
def _token(backbone: Any) -> torch.Tensor:
    return vision.encode(backbone, [ClassToken()], example_images(1))[ClassToken()]


def _with_another_seed(subject: Subject) -> Any:
    """Return it with other weights, or None if no option names their seed."""
    options = dict(subject.options)
    drawn = [n for n, v in options.items() if isinstance(v, str) and v.startswith(RANDOM)]
    if drawn:
        return subject.factory(**options | {drawn[0]: f"{options[drawn[0]]}1"})
    offered = options_of(subject.factory) if subject.factory else {}
    seed = next((name for name in offered if "seed" in name), None)
    if seed is None:
        return None
    first = options.get(seed, offered[seed].default)
    return subject.factory(**options | {seed: first + 1 if isinstance(first, int) else 1})


@vision.where_it_provides(TEXT_ENCODER)
def encodes_sentences(backbone: Any) -> None:
    """A sentence has one finite embedding, whatever others are encoded beside or before it."""
    width = backbone.spec.embedding_dim
    with given("1 sentence"):
        require_tensor(backbone.encode_text(SENTENCES[:1]), (1, width), "encode_text")
    with given("3 sentences"):
        together = require_repeatable(lambda: backbone.encode_text(SENTENCES), "encode_text")
        require_tensor(together, (len(SENTENCES), width), "encode_text")
        alone = [backbone.encode_text([sentence]) for sentence in SENTENCES]
        require_close(torch.cat(alone), together, "the batch changes encode_text")
        require(differ(*alone[:2]), "encode_text takes two sentences for one")


@vision.where_it_provides(TEXT_ENCODER)
def tells_sentences_apart(backbone: Any) -> None:
    """Texts that the optional `token_ids` cannot tell apart share cached embeddings."""
    ids = backbone.token_ids(SENTENCES) if isinstance(backbone, HasTokenIds) else None
    if ids is None:
        return
    with given("3 sentences"):
        rows = ids.ndim == 2 and len(ids) == len(SENTENCES) and not ids.is_floating_point()
        require(rows, "token_ids must give a row of integers per sentence")
        require(len(ids.unique(dim=0)) == len(SENTENCES), "token_ids takes two sentences for one")
        require_equal(ids, backbone.token_ids(SENTENCES), "token_ids is not repeatable")


def lets_gradients_through(subject: Subject) -> None:
    """Gradients reach learned vectors, be it loaded while none are counted, and nothing else."""
    backbone, provides = subject.part, subject.part.spec.provides
    _token(backbone)  # as a run loads it: where no gradients are counted
    with given("1 image, gradients counted"):
        visual = vision.encode(backbone, [ClassToken()], example_images(1))
        leaks = visual[ClassToken()].requires_grad
        require(not leaks, "gradients leak: what encode gives wants some")
    if TEXT_ENCODER in provides:
        with given("1 sentence, gradients counted"):
            leaks = backbone.encode_text(SENTENCES[:1]).requires_grad
            require(not leaks, "gradients leak: what encode_text gives wants some")
    if CONTEXT_VECTORS in provides:
        with given("2 sentences of 4 learned vectors"):
            _check_context(backbone)
    left = [p for p in _parameters(backbone) if p.grad is not None]
    require(not left, "gradients are left behind on the model")


def _check_context(backbone: Backbone) -> None:
    width, depth = backbone.spec.text_width or 0, backbone.spec.text_depth or 0
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(2, 4, width, generator=generator).requires_grad_()
    deep = [torch.randn(3, width, generator=generator).requires_grad_()] if depth > 1 else []
    sentences = ("X X X X bolt.", "X X damaged bolt X X .")
    prompts = ContextPrompts(context, sentences, dict(enumerate(deep, 1)))
    embeddings = backbone.encode_text(prompts)
    shape = (2, backbone.spec.embedding_dim)
    require_tensor(embeddings.detach(), shape, "encode_text of learned context")
    embeddings.square().sum().backward()
    for tensor in [context, *deep]:
        flows = tensor.grad is not None and bool(tensor.grad.abs().sum() > 0)
        require(flows, "no gradient reaches the learned vectors")
    with torch.inference_mode():
        inside = backbone.encode_text(prompts)
    require_close(inside, embeddings.detach(), "inference mode changes encode_text")


PROMISES = (
    (spec, vision.answers),
    (
        says_how_it_computes,
        names_its_weights,
        *vision.REST,
        encodes_sentences,
        tells_sentences_apart,
        lets_gradients_through,
    ),
)
