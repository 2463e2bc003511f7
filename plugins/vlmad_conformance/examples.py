"""Small seeded things to check parts with: a model, images, features and text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import vlmad
from vlmad.images import as_source
from vlmad.parts import CELLS, PATCHES, Attention
from vlmad.regions import patch_cells, window_cells
from vlmad.registry import Registry
from vlmad.types import Features, ImageBatch, Regions, TextEmbeddings
from vlmad_run.learning_in_fit import PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.parts import Backbone

TWO_LAYERS = Path(vlmad.__file__).parent / "testing" / "two_layer.json"
"""open_clip's configuration of a CLIP with two blocks: 80 pixels, 5 x 5 patches."""
GRID, PATCH, DIMENSIONS = (5, 5), 16, 64
FINE = 8
"""Pixels of a patch where pixels themselves are the cells."""
SIZES = ((80, 80), (120, 60), (33, 70))
"""Width and height of the example images: square, wide and tall."""


def two_layer_backbone(seed: int = 0) -> Backbone:
    """Return a CLIP of two blocks with seeded random weights, made in a moment by `openclip`."""
    factory = Registry.discover().get("backbone", "openclip").resolve()
    settings = {"weights": f"random:{seed}", "device": "cpu", "precision": "float32"}
    return cast("Backbone", factory(str(TWO_LAYERS), **settings))


def example_images(count: int = 3, seed: int = 0) -> ImageBatch:
    """Return images of several sizes, with structure and not only noise."""
    rng = np.random.default_rng(seed)
    images = []
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        images.append(coarse.resize(SIZES[index % len(SIZES)], Image.Resampling.BICUBIC))
    return ImageBatch(tuple(as_source(image, i) for i, image in enumerate(images)))


def example_features(
    count: int = 3,
    *,
    gives: Iterable[str] = (),
    dimensions: int = DIMENSIONS,
    seed: int = 0,
    grid: tuple[int, int] = GRID,
) -> Features:
    """Return features as an extractor makes them.

    Args:
        count: images.
        gives: words of `vlmad.parts`; with `CELLS` there are two levels that text cannot judge,
            with `vlmad_run.learning_in_fit.PIXELS` the image itself is the only one; with
            `PATCHES` the aligned regions are single patches, otherwise windows, beside patches
            that are not aligned.
        dimensions: of an embedding.
        seed: of the embeddings.
        grid: rows and columns of patches, of 16 pixels each.
    """
    generator = torch.Generator().manual_seed(seed)

    def embeddings(*shape: int) -> Tensor:
        return torch.randn(*shape, dimensions, generator=generator)

    size = (PATCH * grid[0], PATCH * grid[1])
    if PIXELS in gives:
        size = (FINE * grid[0], FINE * grid[1])
        shares = torch.rand(count, math.prod(size), 3, generator=generator)
        level = Regions(PIXELS, shares, patch_cells(size), False, size)
        return Features(shares.mean(1), (level,), size, size)
    if CELLS in gives:
        grids = {"level 1": (2 * grid[0], 2 * grid[1]), "level 2": grid}
        levels = [
            Regions(name, embeddings(count, math.prod(each)), patch_cells(each), False, each)
            for name, each in grids.items()
        ]
        return Features(embeddings(count), tuple(levels), grid, size)
    windows, patches = window_cells(grid, 2), patch_cells(grid)
    single = PATCHES in gives
    first = Regions("layer 1", embeddings(count, len(patches)), patches, aligned=single)
    cells = patches if single else windows
    second = Regions("layer 2" if single else "window 2", embeddings(count, len(cells)), cells)
    return Features(embeddings(count), (first, second), grid, size)


def example_text(dimensions: int = DIMENSIONS, seed: int = 0) -> TextEmbeddings:
    """Return three normal and two anomalous sentences with random embeddings."""
    generator = torch.Generator().manual_seed(seed)
    sides = [False, False, False, True, True]
    sentences = [f"sentence {index}" for index in range(len(sides))]
    raw = torch.randn(len(sides), dimensions, generator=generator)
    return TextEmbeddings.of(raw, sides, sentences)


class UsualAttention(Attention):
    """The model's own attention, in the stream or beside it, to check backbones with."""

    def __init__(self, path: Literal["stream", "beside"] = "stream", count: int = 0) -> None:
        self.path, self.count = path, count

    def blocks(self, depth: int) -> range:
        """Act on the last `count` blocks."""
        return range(max(0, depth - self.count), depth)

    def mix(
        self, q: Float[Tensor, "b a t e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
    ) -> Float[Tensor, "b a t e"]:
        """Mix as usual."""
        return F.scaled_dot_product_attention(q, k, v)
