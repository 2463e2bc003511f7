"""What a backbone promises of itself and of its text; of images see `_vision_promises`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import torch

from vlmad.options import options_of
from vlmad.parts import CONTEXT_VECTORS, LEVELS, TEXT_ENCODER
from vlmad.types import BackboneSpec, ClassToken, ContextPrompts
from vlmad_conformance.examples import UsualAttention, example_images
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
    require_type,
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
    if CONTEXT_VECTORS in seen.provides:
        require(
            bool(seen.text_width and seen.text_depth), "learned context needs text_width and depth"
        )
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
    hexadecimal = (
        isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    )
    require(hexadecimal, "weights_hash is no SHA-256 in hexadecimal")
    with given("the same options twice"):
        require(twin.weights_hash == digest, "weights_hash is another for the same options")
        require_close(_token(twin), _token(backbone), "the same options give other weights")
        if TEXT_ENCODER in backbone.spec.provides:
            with torch.inference_mode():
                texts = [each.encode_text(SENTENCES[:1]) for each in (twin, backbone)]
            require_close(texts[0], texts[1], "the same options give other weights of text")
        weights = chain.from_iterable(m.parameters() for m in modules_of(backbone))
        named = len(set(digest)) > 1 or next(weights, None) is None
        require(named, "weights_hash does not tell the weights")
    other = _with_another_seed(subject)
    if other is not None:
        with given("another seed"):
            same = other.weights_hash == digest
            require(not same, "weights_hash is the same for another seed")
            require(differ(_token(other), _token(backbone)), "another seed gives the same weights")


def _token(backbone: Any) -> torch.Tensor:
    token = ClassToken()
    with torch.inference_mode():
        visual = backbone.encode(example_images(1), [token], UsualAttention())
    return visual[token]  # type: ignore[no-any-return]


def _with_another_seed(subject: Subject) -> Any:
    """Return the backbone with another seed, if one of its options is one."""
    if subject.factory is None:
        return None
    options = dict(subject.options)
    for name, value in options.items():
        if isinstance(value, str) and value.startswith(RANDOM):
            return subject.factory(**options | {name: f"{value}1"})
    offered = options_of(subject.factory)
    seed = next((name for name in offered if "seed" in name), None)
    if seed is None:
        return None
    first = options.get(seed, offered[seed].default)
    return subject.factory(**options | {seed: first + 1 if isinstance(first, int) else 1})


def encodes_sentences(subject: Subject) -> None:
    """A sentence has one finite embedding, whatever others are encoded beside or before it."""
    backbone = subject.part
    if TEXT_ENCODER not in backbone.spec.provides:
        return
    width = backbone.spec.embedding_dim
    with torch.inference_mode():
        with given("1 sentence"):
            require_tensor(backbone.encode_text(SENTENCES[:1]), (1, width), "encode_text")
        with given("3 sentences"):
            together = require_repeatable(lambda: backbone.encode_text(SENTENCES), "encode_text")
            require_tensor(together, (len(SENTENCES), width), "encode_text")
            require_type(together, torch.float32, "encode_text")
            alone = [backbone.encode_text([sentence]) for sentence in SENTENCES]
            require_close(torch.cat(alone), together, "the batch changes encode_text")


def tells_sentences_apart(subject: Subject) -> None:
    """Texts that the optional `token_ids` cannot tell apart share cached embeddings."""
    backbone = subject.part
    if TEXT_ENCODER not in backbone.spec.provides or not isinstance(backbone, HasTokenIds):
        return
    with given("3 sentences"):
        ids = backbone.token_ids(SENTENCES)
        if ids is None:
            return
        require(
            ids.ndim == 2 and len(ids) == len(SENTENCES), "token_ids must give a row per sentence"
        )
        require(not ids.is_floating_point(), "token_ids must be integers")
        require(len(ids.unique(dim=0)) == len(SENTENCES), "token_ids takes two sentences for one")
        require_equal(ids, backbone.token_ids(SENTENCES), "token_ids is not repeatable")


def lets_gradients_through(subject: Subject) -> None:
    """Gradients reach learned vectors, be it loaded while none are counted, and nothing else."""
    backbone = subject.part
    encodes = TEXT_ENCODER in backbone.spec.provides
    _token(backbone)  # as a run loads it: where no gradients are counted
    with given("1 image, gradients counted"):
        visual = backbone.encode(example_images(1), [ClassToken()], UsualAttention())
        leaks = visual[ClassToken()].requires_grad
        require(not leaks, "gradients leak: what encode gives wants some")
    if encodes:
        with given("1 sentence, gradients counted"):
            leaks = backbone.encode_text(SENTENCES[:1]).requires_grad
            require(not leaks, "gradients leak: what encode_text gives wants some")
    if CONTEXT_VECTORS in backbone.spec.provides:
        with given("2 sentences of 4 learned vectors"):
            _check_context(backbone)
    weights = chain.from_iterable(m.parameters() for m in modules_of(backbone))
    require(all(p.grad is None for p in weights), "gradients are left behind on the model")


def _check_context(backbone: Backbone) -> None:
    seen = backbone.spec
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(2, 4, seen.text_width or 0, generator=generator).requires_grad_()
    deep = torch.randn(3, seen.text_width or 0, generator=generator).requires_grad_()
    has_deep = (seen.text_depth or 0) > 1
    sentences = ("X X X X bolt.", "X X damaged bolt X X .")
    prompts = ContextPrompts(context, sentences, {1: deep} if has_deep else {})
    embeddings = backbone.encode_text(prompts)
    require_tensor(embeddings.detach(), (2, seen.embedding_dim), "encode_text of learned context")
    embeddings.square().sum().backward()
    for tensor in [context, deep] if has_deep else [context]:
        flows = tensor.grad is not None and bool(tensor.grad.abs().sum() > 0)
        require(flows, "no gradient reaches the learned vectors")
    with torch.inference_mode():
        inside = backbone.encode_text(prompts)
    require_close(inside, embeddings.detach(), "inference mode changes encode_text")
