"""The backbone `sprout`."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from vlmad import (
    Attention,
    Backbone,
    BackboneSpec,
    ClassToken,
    ContextPrompts,
    ImageBatch,
    Preprocessing,
    Request,
    VisualFeatures,
)
from vlmad.parts import PATCH_TOKENS

PATCH = 16
"""Pixels of a patch's side."""


class SproutBackbone(Backbone):
    """Mean and deviation of each patch's colours: a model of images without weights or text."""

    spec = BackboneSpec(
        name="sprout",
        preprocessing=Preprocessing((224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        grid=(224 // PATCH, 224 // PATCH),
        depth=1,
        vision_width=6,
        embedding_dim=6,
        provides=frozenset({PATCH_TOKENS}),
    )
    weights_hash = "0" * 64  # there are none

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer the class token by the mean of all patches, and patches by their moments."""
        pixels = batch.pixels(self.spec.preprocessing)
        blocks = F.unfold(pixels, PATCH, stride=PATCH)
        blocks = blocks.reshape(len(batch), 3, PATCH * PATCH, -1)
        patches = torch.cat([blocks.mean(2), blocks.std(2)], dim=1).mT
        answers = {
            request: patches.mean(1) if isinstance(request, ClassToken) else patches.clone()
            for request in requests
        }
        return VisualFeatures(answers, self.spec.grid, self.spec.preprocessing.size)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Tensor:
        """Refuse: the spec provides no text encoder, so that nobody asks."""
        raise NotImplementedError
