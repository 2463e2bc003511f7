"""What a backbone promises of the images that it encodes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn

from vlmad.handing import shape_of
from vlmad.images import as_source
from vlmad.parts import (
    ATTENTION,
    IMAGE_TILES,
    LEVELS,
    PATCH_TOKENS,
    SHARED_WINDOWS,
    TOKEN_WINDOWS,
)
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
    require_type,
    tensors_in,
    unchanged,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.types import BackboneSpec, Request, VisualFeatures
    from vlmad_conformance.promises import Subject

OF_TRAINING = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
"""Modules that compute otherwise while they are trained."""
MOST_LAYERS = 4
"""Of a deeper model so many are asked for, the last among them."""


def requests_for(spec: BackboneSpec) -> list[Request]:
    """Return requests of every sort that a spec provides."""
    requests: list[Request] = [ClassToken(), ClassToken(normed=False)]
    if PATCH_TOKENS in spec.provides:
        stages = [Patches(spec.depth, stage=stage) for stage in ("raw", "normed", "projected")]
        requests += stages + [Patches(n, stage="raw") for n in layers_of(spec)[:-1]]
        if spec.depth > 1:
            requests.append(Patches(layers_of(spec)[1]))
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


def layers_of(spec: BackboneSpec) -> list[int]:
    """Return some layers from the embedded image on, the last among them."""
    step = max(1, -(-spec.depth // MOST_LAYERS))
    return sorted({*range(0, spec.depth, step), spec.depth})


def _encode(
    backbone: Any,
    requests: Sequence[Request] | None = None,
    batch: ImageBatch | None = None,
    attention: Any = None,
) -> VisualFeatures:
    asked = requests_for(backbone.spec) if requests is None else requests
    chosen = example_images(2) if batch is None else batch
    return backbone.encode(chosen, asked, attention or UsualAttention())  # type: ignore[no-any-return]


@torch.inference_mode()
def answers(subject: Subject) -> None:
    """It answers each request by a finite tensor of its shape, in float32, in their order."""
    backbone = subject.part
    spec = backbone.spec
    try:
        _check_answers(backbone, requests_for(spec))
    except Exception:
        for request in requests_for(spec):
            with given(f"1 image, {request}"):
                _check_answers(backbone, [request])
        with given("1 image, all requests together"):
            raise
    requests = requests_for(spec)[::-1]
    with given(f"2 images, {len(requests)} requests"):
        visual = _encode(backbone, requests)
        require(list(visual.tensors) == requests, "encode must answer the requests in their order")
        for request in requests:
            require_tensor(visual[request], shape_of(request, spec, 2), str(request))


def _check_answers(backbone: Any, requests: Sequence[Request]) -> None:
    spec = backbone.spec
    visual = _encode(backbone, requests, example_images(1))
    require(visual.grid == spec.grid, "encode gives another grid than the spec")
    size = spec.preprocessing.size
    require(visual.image_size == size, "encode gives another image size")
    for request in requests:
        require(request in visual.tensors, f"encode does not answer {request}")
        require_tensor(visual[request], shape_of(request, spec, 1), str(request))
        if getattr(backbone, "precision", "float32") == "float32":
            require_type(visual[request], torch.float32, str(request))


@torch.inference_mode()
def repeats(subject: Subject) -> None:
    """Asked again it gives the same bits, and it leaves nothing behind on its model."""
    backbone = subject.part
    _encode(backbone)  # whatever is loaded lazily is there before the model is looked at
    modules = (module for model in modules_of(backbone) for module in model.modules())
    trains = [type(m).__name__ for m in modules if m.training and isinstance(m, OF_TRAINING)]
    require(not trains, f"its model is in training mode: {', '.join(sorted({*trains}))}")
    with given("2 images"), unchanged(backbone, name="the backbone"):
        visual = require_repeatable(lambda: _encode(backbone), "encode")
        if ATTENTION in backbone.spec.provides:
            _encode(backbone, attention=_Doubled("stream", backbone.spec.depth))
        kept = {request: tensor.clone() for request, tensor in visual.tensors.items()}
        for tensor in visual.tensors.values():
            if tensor.is_contiguous():
                tensor.fill_(7)
        again = _encode(backbone).tensors
        require_close(again, kept, "what is done to its answers changes later ones")


@torch.inference_mode()
def encodes_each_image_alone(subject: Subject) -> None:
    """What it answers for an image depends on no other, nor on what it encoded before."""
    backbone = subject.part
    batch = example_images(2)
    with given("2 images, and each alone"):
        together = _encode(backbone, batch=batch)
        alone = [_encode(backbone, batch=each) for each in reversed(list(batch.split(1)))]
        for request, tensor in together.tensors.items():
            joined = torch.cat([visual[request] for visual in reversed(alone)])
            require_close(joined, tensor, f"the batch changes {request}")
    if SHARED_WINDOWS in backbone.spec.provides:
        whole = together[Windows(max(backbone.spec.grid) + 1, encoding="shared")][:, 0]
        otherwise = "a shared window of all patches is not the image"
        require_close(whole, together[ClassToken()], otherwise)


@torch.inference_mode()
def tells_layers_apart(subject: Subject) -> None:
    """Each layer is its own, and the same whatever is asked for beside it."""
    backbone = subject.part
    spec = backbone.spec
    if PATCH_TOKENS not in spec.provides or spec.depth < 2:
        return
    numbers = range(1, spec.depth + 1) if spec.depth <= 2 * MOST_LAYERS else layers_of(spec)[1:]
    requests: list[Request] = [Patches(number, stage="raw") for number in numbers]
    with given(f"1 image, {len(requests)} layers"):
        together = _encode(backbone, requests, example_images(1))
        for one, other in itertools.pairwise(requests):
            apart = differ(together[one], together[other])
            require(apart, f"two layers are the same: {one} and {other}")
        middle = requests[len(requests) // 2 - 1]
        alone = _encode(backbone, [middle], example_images(1))[middle]
        require_close(alone, together[middle], f"what is asked beside it changes {middle}")


class _Doubled(UsualAttention):
    """An attention that answers otherwise than the model's own, on one block if it is told."""

    block: int | None = None

    def blocks(self, depth: int) -> range:
        return super().blocks(depth) if self.block is None else range(self.block, self.block + 1)

    def mix(self, q: Any, k: Any, v: Any) -> Any:
        return 2 * super().mix(q, k, v).flip(-2)


@torch.inference_mode()
def exchanges_attention(subject: Subject) -> None:
    """An attention modifier acts on the blocks that it names, and on no layer before them."""
    backbone = subject.part
    spec = backbone.spec
    if ATTENTION not in spec.provides:
        return
    batch = example_images(1)
    with given("1 image, the model's own attention in its own place"):
        plain = _encode(backbone, batch=batch)
        same = _encode(backbone, batch=batch, attention=UsualAttention("stream", spec.depth))
        otherwise = "exchanging attention for the usual changes encode"
        require_close(same.tensors, plain.tensors, otherwise)
    for block in sorted({0, spec.depth // 2, spec.depth - 1}):
        _check_block(backbone, block, plain)
    if PATCH_TOKENS in spec.provides:
        with given("1 image, other attention beside the stream"):
            beside = _encode(backbone, batch=batch, attention=_Doubled("beside", 1))
            path = Patches(spec.depth, "beside")
            require(differ(beside[path], plain[path]), "it ignores attention beside the stream")
            token, otherwise = ClassToken(), "attention beside changes the stream"
            require_close(beside[token], plain[token], otherwise)


def _check_block(backbone: Any, block: int, plain: VisualFeatures) -> None:
    attention = _Doubled("stream")
    attention.block = block
    with given(f"1 image, other attention in block {block} alone"):
        exchanged = _encode(backbone, batch=example_images(1), attention=attention)
        used = differ(exchanged[ClassToken()], plain[ClassToken()])
        require(used, f"it ignores the attention of block {block}")
        for request in plain.tensors:
            if isinstance(request, Patches) and request.stage == "raw" and request.path == "plain":
                changed = differ(exchanged[request], plain[request])
                before = request.layer <= block
                wrong = "is not changed by" if not before else "is changed by"
                require(changed != before, f"{request} {wrong} the attention of block {block}")


@torch.inference_mode()
def takes_a_uniform_image(subject: Subject) -> None:
    """An image of one colour is encoded to numbers."""
    backbone = subject.part
    for colour in ("black", "white"):
        source = as_source(Image.new("RGB", (64, 48), colour), 0)
        with given(f"1 image of 64 x 48 {colour} pixels"):
            for tensor in tensors_in(_encode(backbone, batch=ImageBatch((source,)))):
                finite = bool(tensor.isfinite().all())
                require(finite, "encode gives values that are not finite")
