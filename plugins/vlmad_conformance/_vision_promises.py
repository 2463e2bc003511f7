"""What a backbone promises of the images that it encodes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn

from vlmad import parts
from vlmad.images import as_source
from vlmad.regions import shape_of
from vlmad.types import ClassToken, ImageBatch, Level, Patches, Tiles, Windows
from vlmad_conformance.examples import UsualAttention, example_images
from vlmad_conformance.facts import (
    differ,
    given,
    modules_of,
    require,
    require_close,
    require_repeatable,
    require_tensor,
    unchanged,
)
from vlmad_conformance.promises import each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad.types import BackboneSpec, Request, VisualFeatures
    from vlmad_conformance.promises import Promise, Subject

OF_TRAINING = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
"""Modules that compute otherwise while they are trained."""
MOST_LAYERS = 4
"""Of a deeper model so many are asked for, the last among them."""


def requests_for(spec: BackboneSpec) -> list[Request]:
    """Return requests of every sort that a spec provides."""
    requests: list[Request] = [ClassToken(), ClassToken(normed=False)]
    if parts.PATCH_TOKENS in spec.provides:
        stages = [Patches(spec.depth, stage=stage) for stage in ("raw", "normed", "projected")]
        requests += stages + [Patches(n, stage="raw") for n in layers_of(spec)[:-1]]
        if spec.depth > 1:
            requests.append(Patches(layers_of(spec)[1]))
        if parts.ATTENTION in spec.provides:
            requests.append(Patches(spec.depth, "beside"))
    if parts.TOKEN_WINDOWS in spec.provides:
        requests += [Windows(2), Windows(max(spec.grid) + 1)]
    if parts.SHARED_WINDOWS in spec.provides:
        requests += [Windows(2, encoding="shared"), Windows(max(spec.grid) + 1, encoding="shared")]
    if parts.IMAGE_TILES in spec.provides:
        requests.append(Tiles(2))
    if parts.LEVELS in spec.provides:
        requests += [Level(name) for name in spec.levels]
        requests += [Level(name, True) for name, level in spec.levels.items() if level.statistics]
    return requests


def layers_of(spec: BackboneSpec) -> list[int]:
    """Return some layers from the embedded image on, the last among them."""
    step = max(1, -(-spec.depth // MOST_LAYERS))
    return sorted({*range(0, spec.depth, step), spec.depth})


def where_it_provides(*words: str) -> Callable[[Callable[[Any], None]], Promise]:
    """Make a promise of a fact of backbones that provide something."""

    def backbones(subject: Subject) -> list[Any]:
        return [subject.part] if {*words} <= subject.part.spec.provides else []

    return each(backbones, lambda _: "")


def encode(
    backbone: Any,
    requests: Sequence[Request] | None = None,
    batch: ImageBatch | None = None,
    attention: Any = None,
) -> VisualFeatures:
    """Ask it, by default for all that it provides of two images."""
    asked = requests_for(backbone.spec) if requests is None else requests
    chosen = example_images(2) if batch is None else batch
    return backbone.encode(chosen, asked, attention or UsualAttention())  # type: ignore[no-any-return]


@where_it_provides()
def answers(backbone: Any) -> None:
    """It answers each request by a finite tensor of its shape, in float32, in their order."""
    requests = requests_for(backbone.spec)
    try:
        _check_answers(backbone, requests, 1)
    except Exception:
        for request in requests:
            with given(f"1 image, {request}"):
                _check_answers(backbone, [request], 1)
        with given("1 image, all requests together"):
            raise
    with given(f"a square, a wide and a tall image, {len(requests)} requests"):
        _check_answers(backbone, requests[::-1], 3)


def _check_answers(backbone: Any, requests: Sequence[Request], images: int) -> None:
    spec = backbone.spec
    visual = encode(backbone, requests, example_images(images))
    require(visual.grid == spec.grid, "encode gives another grid than the spec")
    size = spec.preprocessing.size
    require(visual.image_size == size, "encode gives another image size")
    exact = getattr(backbone, "precision", "float32") == "float32"
    for request in requests:
        require(request in visual.tensors, f"encode does not answer {request}")
        shape = shape_of(request, spec, images)
        kind = torch.float32 if exact else None
        require_tensor(visual[request], shape, str(request), kind)
    ordered = list(visual.tensors) == list(requests)
    require(ordered, "encode must answer the requests in their order")


@where_it_provides()
def repeats(backbone: Any) -> None:
    """Asked again it gives the same bits, and it leaves nothing behind on its model."""
    encode(backbone)  # whatever is loaded lazily is there before the model is looked at
    modules = (module for model in modules_of(backbone) for module in model.modules())
    trains = {type(m).__name__ for m in modules if m.training and isinstance(m, OF_TRAINING)}
    require(not trains, f"its model is in training mode: {', '.join(sorted(trains))}")
    with given("2 images"), unchanged(backbone, name="the backbone"):
        visual = require_repeatable(lambda: encode(backbone), "encode")
        if parts.ATTENTION in backbone.spec.provides:
            encode(backbone, attention=Doubled("stream", backbone.spec.depth))
        kept = {request: tensor.clone() for request, tensor in visual.tensors.items()}
        for tensor in visual.tensors.values():
            if tensor.is_contiguous():
                tensor.fill_(7)
        otherwise = "what is done to its answers changes later ones"
        require_close(encode(backbone).tensors, kept, otherwise)


@where_it_provides()
def encodes_each_image_alone(backbone: Any) -> None:
    """What it answers for an image depends on no other, nor on what it encoded before."""
    batch = example_images(2)
    with given("2 images, and each alone"):
        together = encode(backbone, batch=batch)
        second, first = (encode(backbone, batch=each) for each in [*batch.split(1)][::-1])
        for request, tensor in together.tensors.items():
            joined = torch.cat([first[request], second[request]])
            require_close(joined, tensor, f"the batch changes {request}")
        token = ClassToken()
        require(differ(first[token], second[token]), "another image has the same class token")
    if parts.SHARED_WINDOWS in backbone.spec.provides:
        whole = together[Windows(max(backbone.spec.grid) + 1, encoding="shared")][:, 0]
        otherwise = "a shared window of all patches is not the image"
        require_close(whole, together[token], otherwise)


@where_it_provides(parts.PATCH_TOKENS)
def tells_layers_apart(backbone: Any) -> None:
    """Each layer is its own, and the same whatever is asked for beside it."""
    depth = backbone.spec.depth
    numbers = range(1, depth + 1) if depth <= 2 * MOST_LAYERS else layers_of(backbone.spec)[1:]
    requests: list[Request] = [Patches(number, stage="raw") for number in numbers]
    with given(f"1 image, {len(requests)} layers"):
        together = encode(backbone, requests, example_images(1))
        for one, other in itertools.pairwise(requests):
            apart = differ(together[one], together[other])
            require(apart, f"two layers are the same: {one} and {other}")
        middle = requests[(len(requests) - 1) // 2]
        alone = encode(backbone, [middle], example_images(1))[middle]
        require_close(alone, together[middle], f"what is asked beside it changes {middle}")


class Doubled(UsualAttention):
    """An attention that answers otherwise than the model's own, on one block if it is told."""

    block: int | None = None

    def blocks(self, depth: int) -> range:
        return super().blocks(depth) if self.block is None else range(self.block, self.block + 1)

    def mix(self, q: Any, k: Any, v: Any) -> Any:
        return 2 * super().mix(q, k, v).flip(-2)


@where_it_provides(parts.ATTENTION)
def exchanges_attention(backbone: Any) -> None:
    """An attention modifier acts on the blocks that it names, and on no layer before them."""
    spec, batch = backbone.spec, example_images(1)
    with given("1 image, the model's own attention in its own place"):
        plain = encode(backbone, batch=batch)
        same = encode(backbone, batch=batch, attention=UsualAttention("stream", spec.depth))
        otherwise = "exchanging attention for the usual changes encode"
        require_close(same.tensors, plain.tensors, otherwise)
    for block in sorted({0, spec.depth // 2, spec.depth - 1}):
        with given(f"1 image, other attention in block {block} alone"):
            _check_block(backbone, block, plain)
    if parts.PATCH_TOKENS in spec.provides:
        with given("1 image, other attention on the second path"):
            beside = encode(backbone, batch=batch, attention=Doubled("beside", 1))
            path, token = Patches(spec.depth, "beside"), ClassToken()
            require(differ(beside[path], plain[path]), "it ignores attention on the second path")
            require_close(beside[token], plain[token], "attention beside changes the stream")


def _check_block(backbone: Any, block: int, plain: VisualFeatures) -> None:
    attention = Doubled("stream")
    attention.block = block
    exchanged = encode(backbone, batch=example_images(1), attention=attention)
    used = differ(exchanged[ClassToken()], plain[ClassToken()])
    require(used, f"it ignores the attention of block {block}")
    for request in plain.tensors:
        if isinstance(request, Patches) and request.stage == "raw" and request.path == "plain":
            changed, after = differ(exchanged[request], plain[request]), request.layer > block
            wrong = "is not changed by" if after else "is changed by"
            require(changed == after, f"{request} {wrong} the attention of block {block}")


@where_it_provides()
def takes_a_uniform_image(backbone: Any) -> None:
    """An image of one colour is encoded to numbers."""
    for colour in ("black", "white"):
        source = as_source(Image.new("RGB", (64, 48), colour), 0)
        with given(f"1 image of 64 x 48 {colour} pixels"):
            for tensor in encode(backbone, batch=ImageBatch((source,))).tensors.values():
                finite = bool(tensor.isfinite().all())
                require(finite, "encode gives values that are not finite")


REST = (
    repeats,
    encodes_each_image_alone,
    tells_layers_apart,
    exchanges_attention,
    takes_a_uniform_image,
)
