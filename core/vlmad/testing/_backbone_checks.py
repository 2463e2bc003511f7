"""The contract of a backbone."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from vlmad.parts import (
    ATTENTION,
    CONTEXT_VECTORS,
    IMAGE_TILES,
    LEVELS,
    PATCH_TOKENS,
    SHARED_WINDOWS,
    TEXT_ENCODER,
    TOKEN_WINDOWS,
    HasTokenIds,
)
from vlmad.regions import tile_boxes, window_cells
from vlmad.testing._examples import UsualAttention, example_images
from vlmad.testing._facts import (
    modules_of,
    require,
    require_close,
    require_repeatable,
    require_tensor,
    unchanged,
)
from vlmad.types import (
    BackboneSpec,
    ClassToken,
    ContextPrompts,
    ImageBatch,
    Level,
    Patches,
    Request,
    Tiles,
    Windows,
)

if TYPE_CHECKING:
    from vlmad.parts import Backbone

SENTENCES = ("a photo of a flawless bolt.", "bolt", "a photo of a damaged metal nut with a scratch")


def check_backbone(backbone: Backbone) -> None:
    """Check everything that a backbone's spec promises (loads its weights)."""
    check_spec(backbone.spec)
    digest = backbone.weights_hash
    require(len(digest) == 64, "weights_hash is no SHA-256 in hexadecimal")
    encode(backbone)  # whatever is loaded lazily is there before the model is looked at
    with unchanged(backbone, name="the backbone"):
        check_vision(backbone)
        if TEXT_ENCODER in backbone.spec.provides:
            check_sentences(backbone)
        if CONTEXT_VECTORS in backbone.spec.provides:
            check_context(backbone)


def check_spec(spec: BackboneSpec) -> None:
    """Check a spec by itself."""
    require(isinstance(spec, BackboneSpec), "spec is no vlmad.BackboneSpec")
    numbers = (*spec.grid, *spec.preprocessing.size, spec.depth, spec.vision_width)
    require(min(*numbers, spec.embedding_dim) > 0, "the spec holds sizes below 1")
    require(min(spec.preprocessing.std) > 0, "the spec's channel deviations must be above 0")
    levels = spec.levels if LEVELS in spec.provides else {}
    require(bool(levels) == (LEVELS in spec.provides), "it provides levels, but names none")
    require(set(spec.middle) <= levels.keys(), "the spec's middle levels are none of its levels")
    if CONTEXT_VECTORS in spec.provides:
        require(
            bool(spec.text_width and spec.text_depth), "learned context needs text_width and depth"
        )


def requests_for(spec: BackboneSpec) -> list[Request]:
    """Return requests of every sort that a spec provides."""
    requests: list[Request] = [ClassToken(), ClassToken(normed=False)]
    if PATCH_TOKENS in spec.provides:
        stages = [Patches(spec.depth, stage=stage) for stage in ("raw", "normed", "projected")]
        requests += [Patches(0, stage="raw"), *stages]
        if ATTENTION in spec.provides:
            requests.append(Patches(spec.depth, "beside"))
    if TOKEN_WINDOWS in spec.provides:
        requests += [Windows(2), Windows(max(spec.grid) + 1)]
    if SHARED_WINDOWS in spec.provides:
        requests += [Windows(2, encoding="shared"), Windows(max(spec.grid) + 1, encoding="shared")]
    if IMAGE_TILES in spec.provides:
        requests.append(Tiles(2))
    if LEVELS in spec.provides:
        requests += [Level(name) for name in spec.levels]
        requests += [Level(name, True) for name, level in spec.levels.items() if level.statistics]
    return requests


def expected_shape(request: Request, spec: BackboneSpec, images: int) -> tuple[int, ...]:
    """Return the shape of the answer to a request."""
    if isinstance(request, ClassToken):
        return images, spec.embedding_dim
    if isinstance(request, Patches):
        width = spec.embedding_dim if request.stage == "projected" else spec.vision_width
        return images, spec.grid[0] * spec.grid[1], width
    if isinstance(request, Windows):
        return images, len(window_cells(spec.grid, request.size)), spec.embedding_dim
    if isinstance(request, Level):
        level = spec.levels[request.name]
        return images, *level.grid, level.width
    return images, len(tile_boxes(request.grid, request.overlap)), spec.embedding_dim


def encode(backbone: Backbone, batch: ImageBatch | None = None, **attention: Any) -> Any:
    """Ask for everything that a backbone provides."""
    requests = requests_for(backbone.spec)
    with torch.inference_mode():
        return backbone.encode(batch or example_images(), requests, UsualAttention(**attention))


def check_vision(backbone: Backbone) -> None:
    """Check shapes, determinism, independence of the batch, and attention."""
    spec = backbone.spec
    visual = require_repeatable(lambda: encode(backbone), "encode")
    require(visual.grid == spec.grid, "encode gives another grid than the spec")
    require(visual.image_size == spec.preprocessing.size, "encode gives another image size")
    requests = requests_for(spec)
    require(list(visual.tensors) == requests, "encode must answer the requests in their order")
    for request in requests:
        require_tensor(visual[request], expected_shape(request, spec, 3), str(request))
    alone = [ImageBatch((source,)) for source in reversed(example_images().sources)]
    single = [encode(backbone, batch).tensors for batch in alone]
    for request in requests:
        joined = torch.cat([tensors[request] for tensors in reversed(single)])
        require_close(joined, visual[request], f"the batch changes {request}")
    if SHARED_WINDOWS in spec.provides:
        whole = visual[Windows(max(spec.grid) + 1, encoding="shared")][:, 0]
        otherwise = "a shared window of all patches is not the image"
        require_close(whole, visual[ClassToken()], otherwise)
    if ATTENTION in spec.provides:
        same = encode(backbone, path="stream", count=spec.depth)
        require_close(
            same.tensors, visual.tensors, "exchanging attention for the usual changes encode"
        )


def check_sentences(backbone: Backbone) -> None:
    """Check text embeddings: shapes, determinism, independence of the batch."""
    spec = backbone.spec
    if isinstance(backbone, HasTokenIds):
        check_tokens(backbone)
    with torch.inference_mode():
        together = require_repeatable(lambda: backbone.encode_text(SENTENCES), "encode_text")
        alone = [backbone.encode_text([sentence]) for sentence in SENTENCES]
    require_tensor(together, (len(SENTENCES), spec.embedding_dim), "encode_text")
    require_close(torch.cat(alone), together, "the batch changes encode_text")


def check_tokens(backbone: Any) -> None:
    """Check the optional `token_ids`: texts that it cannot tell apart share cached embeddings."""
    ids = backbone.token_ids(SENTENCES)
    if ids is None:
        return
    require(ids.ndim == 2 and len(ids) == len(SENTENCES), "token_ids must give a row per sentence")
    require(not ids.is_floating_point(), "token_ids must be integers")
    require(len(ids.unique(dim=0)) == len(SENTENCES), "token_ids takes two sentences for one")
    require(torch.equal(ids, backbone.token_ids(SENTENCES)), "token_ids is not repeatable")


def check_context(backbone: Backbone) -> None:
    """Check that learned vectors enter the text encoder and that gradients flow back."""
    spec = backbone.spec
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(2, 4, spec.text_width or 0, generator=generator).requires_grad_()
    deep = torch.randn(3, spec.text_width or 0, generator=generator).requires_grad_()
    has_deep = (spec.text_depth or 0) > 1
    sentences = ("X X X X bolt.", "X X damaged bolt X X .")
    prompts = ContextPrompts(context, sentences, {1: deep} if has_deep else {})
    embeddings = backbone.encode_text(prompts)
    require_tensor(embeddings.detach(), (2, spec.embedding_dim), "encode_text of learned context")
    embeddings.square().sum().backward()
    learned = [context, deep] if has_deep else [context]
    for tensor in learned:
        flows = tensor.grad is not None and bool(tensor.grad.abs().sum() > 0)
        require(flows, "no gradient reaches the learned vectors")
    weights = chain.from_iterable(m.parameters() for m in modules_of(backbone))
    require(all(p.grad is None for p in weights), "gradients are left behind on the model")
