"""The backbone `pixels`, for parts that look at the image itself."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Interval

from vlmad import Backbone, BackboneSpec, ClassToken, Level, Preprocessing, VisualFeatures
from vlmad.errors import InputError
from vlmad.parts import LEVELS
from vlmad.types import LevelSpec
from vlmad_run.learning_in_fit import PIXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from jaxtyping import Float, UInt8
    from torch import Tensor

    from vlmad import Attention, Features, ImageBatch, Request


class Pixels(Backbone):
    """No model: its one level, `pixels`, is the image, by red, green and blue from 0 to 1.

    Its class token is their mean.

    Args:
        size: pixels to a side.
    """

    precision = "float32"

    def __init__(self, size: Annotated[int, Interval(ge=16, le=1024)] = 256) -> None:
        self.size, self.device = size, torch.device("cpu")

    @cached_property
    def spec(self) -> BackboneSpec:
        """One level, as fine as the image."""
        sides = (self.size, self.size)
        return BackboneSpec(
            name="pixels",
            preprocessing=Preprocessing(sides, (0.0,) * 3, (1.0,) * 3),
            grid=sides,
            depth=1,
            vision_width=3,
            embedding_dim=3,
            provides=frozenset({LEVELS, PIXELS}),
            licence="none is needed",
            levels={PIXELS: LevelSpec(sides, 3)},
            middle=(PIXELS,),
        )

    @property
    def weights_hash(self) -> str:
        """The digest of nothing: there are no weights."""
        return hashlib.sha256().hexdigest()

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer with the pixels."""
        pixels = batch.pixels(self.spec.preprocessing).movedim(1, -1).contiguous()
        answers: dict[Request, Tensor] = {}
        for request in requests:
            of_all = isinstance(request, ClassToken)
            answers[request] = pixels.mean((1, 2)) if of_all else pixels.clone()
            assert of_all or isinstance(request, Level)
        return VisualFeatures(answers, self.spec.grid, self.spec.preprocessing.size)


def image_of(features: Features, part: str) -> Float[Tensor, "b 3 h w"]:
    """Return the image itself.

    Args:
        features: of the backbone `pixels`.
        part: what asks, for messages.

    Raises:
        InputError: the extractor gives something else.
    """
    first = features.regions[0]
    grid = first.grid or features.grid
    if grid != features.image_size or first.embeddings.shape[-1] != 3:
        raise InputError(f"{part} looks at pixels as they are: leave the extractor as it is")
    cells: Tensor = first.embeddings.unflatten(1, grid)
    return cells.movedim(-1, 1)


def levels_of(pixels: Float[Tensor, "b 3 h w"]) -> UInt8[np.ndarray, "b h w 3"]:
    """Return pixels from 0 to 1 as levels from 0 to 255."""
    levels = (pixels * 255).round().clamp(0, 255).byte().movedim(1, -1)
    return levels.contiguous().cpu().numpy()
