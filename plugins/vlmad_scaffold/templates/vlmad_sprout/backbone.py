"""The backbone `sprout`."""

from collections.abc import Sequence

import torch
from vlmad import (
    Attention,
    Backbone,
    BackboneSpec,
    ClassToken,
    ImageBatch,
    LevelSpec,
    Preprocessing,
    Request,
    VisualFeatures,
)
from vlmad.parts import LEVELS

SIZE, GRID = (224, 224), (14, 14)


class SproutBackbone(Backbone):
    """Mean and deviation of each patch's colours: a model of images without weights or text."""

    spec = BackboneSpec(
        name="sprout",
        preprocessing=Preprocessing(SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        grid=GRID,
        depth=1,
        vision_width=6,
        embedding_dim=6,
        provides=frozenset({LEVELS}),
        levels={"colours": LevelSpec(GRID, width=6)},
        middle=("colours",),
    )
    weights_hash = "0" * 64  # there are none

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer the level by a row of numbers for each patch, the class token by their mean."""
        pixels = batch.pixels(self.spec.preprocessing)
        patches = pixels.unfold(2, 16, 16).unfold(3, 16, 16).flatten(4)
        moments = torch.cat([patches.mean(-1), patches.std(-1)], dim=1).permute(0, 2, 3, 1)
        answers = {
            request: moments.mean((1, 2)) if isinstance(request, ClassToken) else moments.clone()
            for request in requests
        }
        return VisualFeatures(answers, GRID, SIZE)
