"""A plugin whose parts resemble none of the built-in methods, to prove the interfaces.

A backbone that knows no text, and prompts that look at the image; odd scorers are in
examples/cookbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F

from vlmad import (
    Attention,
    Backbone,
    BackboneSpec,
    ClassToken,
    Features,
    ImageBatch,
    Preprocessing,
    Prompts,
    Request,
    TextEmbeddings,
    VisualFeatures,
    hookimpl,
)
from vlmad.parts import PATCH_TOKENS
from vlmad.text import embed_sides

GRID, SIZE = (8, 8), (64, 64)


class ColourMoments(Backbone):
    """Mean and deviation of each patch's colours: an image model without any text.

    Args:
        device: where it computes.
        precision: in which type.
    """

    spec = BackboneSpec(
        name="colour-moments",
        preprocessing=Preprocessing(SIZE, (0.5,) * 3, (0.5,) * 3),
        grid=GRID,
        depth=1,
        vision_width=6,
        embedding_dim=6,
        provides=frozenset({PATCH_TOKENS}),
    )
    weights_hash = "0" * 64  # it has no weights

    def __init__(
        self, device: str = "cpu", precision: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        self.device, self.precision = torch.device(device), precision

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer with moments over patches, or over the image for the class token."""
        kind = getattr(torch, self.precision)
        pixels = batch.pixels(self.spec.preprocessing).to(self.device, kind).float()
        blocks = F.unfold(pixels, 8, stride=8).unflatten(1, (3, 64))  # b c 64 p
        moments = torch.cat([blocks.mean(2), blocks.std(2)], dim=1).transpose(1, 2)
        image = moments.mean(1)
        answers = {r: image if isinstance(r, ClassToken) else moments for r in requests}
        return VisualFeatures(answers, GRID, SIZE)


class Conditioned(Prompts):
    """Sentences whose embeddings are drawn a little towards each image (as in CoCoOp).

    Args:
        pull: how much, 0 to 1.
    """

    looks_at_image = True

    def __init__(self, pull: float = 0.2) -> None:
        self.pull = pull

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Return one set of embeddings for each image."""
        assert features is not None
        plain = embed_sides(backbone, [f"a {class_name}"], [f"a damaged {class_name}"])
        image = F.normalize(features.image, dim=-1)[:, None]
        mixed = (1 - self.pull) * plain.embeddings + self.pull * image
        return TextEmbeddings.of(mixed, (False, True), plain.sentences)


@hookimpl
def register_backbones(register: Any) -> None:
    """Register `colour-moments`."""
    register("colour-moments", ColourMoments, "moments of colours, no text")


@hookimpl
def register_prompts(register: Any) -> None:
    """Register `conditioned`."""
    register("conditioned", "odd_parts:Conditioned", "sentences that look at the image")
