"""Another texture where Perlin noise is high: Zavrtanik et al., ICCV 2021, arXiv 2108.07610."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le, Len
from PIL import Image

from vlmad.images import decode
from vlmad_run.finding import find_images
from vlmad_synthesis._textures import change_texture, draw_texture
from vlmad_synthesis.noise_fields import perlin_noise
from vlmad_synthesis.spans import Shares, drawn_from
from vlmad_synthesis.surface import Painting

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from vlmad_synthesis.synthetic import Drawn

MOST = 10
"""The largest power of two of cells, 1024."""
FINEST = 4
"""Pixels that a cell of the noise measures at least."""


def _powers(values: tuple[int, ...]) -> tuple[int, ...]:
    if not 0 <= values[0] <= values[1] <= MOST:
        raise ValueError(values)
    return values


class PerlinBlend:
    """Another texture in spots of Perlin noise, through which the image shows.

    Args:
        cells: the noise has 2^k cells down and across, each k drawn from least to most.
        threshold: above which the noise is a defect.
        opacity: of the texture, least and most.
        textures: a folder of pictures, such as those of DTD, in place of textures drawn by code.
    """

    def __init__(
        self,
        cells: Annotated[tuple[int, ...], Len(2, 2), _powers] = (0, 5),
        threshold: Annotated[float, Ge(-1), Le(1)] = 0.5,
        opacity: Shares = (0.2, 1),
        textures: Path | None = None,
    ) -> None:
        self.cells, self.threshold, self.opacity = cells, threshold, opacity
        self.textures = textures

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Blend a texture in where turned noise exceeds the threshold."""
        shape = (image.shape[0], image.shape[1])
        cells = [max(1, min(2 ** int(k), n // FINEST)) for k, n in zip(
            rng.integers(self.cells[0], self.cells[1] + 1, 2), shape, strict=True)]  # fmt: skip
        noise = Image.fromarray(perlin_noise(shape, (cells[0], cells[1]), rng).astype(np.float32))
        turned = noise.rotate(float(rng.uniform(-90, 90)), Image.Resampling.BILINEAR)
        texture = change_texture(self._texture(shape, rng), rng)
        inside = np.asarray(turned) > self.threshold
        painting = Painting(image)
        painting.lay(texture, np.where(inside, drawn_from(self.opacity, rng), 0))
        return painting.drawn()

    def _texture(
        self, shape: tuple[int, int], rng: np.random.Generator
    ) -> Float[np.ndarray, "h w 3"]:
        if self.textures is None:
            return draw_texture(shape, rng)
        picture = decode(self._pictures[rng.integers(len(self._pictures))])
        return np.asarray(picture.resize(shape[::-1]), np.float32)

    @cached_property
    def _pictures(self) -> list[Path]:
        assert self.textures is not None
        return find_images([self.textures])
