"""Pieces of the image itself, elsewhere: CutPaste, its scar, and SmoothBlend.

Li et al., CVPR 2021, arXiv 2104.04015 (CutPaste), with the ranges of public code; Zou et al.,
ECCV 2022, arXiv 2207.14315 (SPD's SmoothBlend), whose ranges are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le
from PIL import Image

from vlmad_synthesis.colours import jitter
from vlmad_synthesis.spans import Shares, Span, drawn_by_factor, drawn_from
from vlmad_synthesis.surface import Painting

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from vlmad_synthesis.synthetic import Drawn

MADE_FOR = 256
"""Pixels of the side of the images that the scar's size in pixels is meant for."""


def _side(wanted: float, most: int) -> int:
    return min(most, max(1, round(wanted)))


def _piece_size(
    shape: tuple[int, ...], area: Shares, aspect: Span, rng: np.random.Generator
) -> tuple[int, int]:
    """Draw a height and width, aspects uniform in the logarithm."""
    pixels = drawn_from(area, rng) * shape[0] * shape[1]
    ratio = drawn_by_factor(aspect, rng)
    return _side(np.sqrt(pixels * ratio), shape[0]), _side(np.sqrt(pixels / ratio), shape[1])


def _corner(
    shape: tuple[int, ...], size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Draw where a piece lies, inside of the image if it is smaller."""
    top, left = (int(rng.integers(max(1, n - m + 1))) for n, m in zip(shape, size, strict=False))
    return top, left


def _cut(
    image: UInt8[np.ndarray, "h w 3"],
    size: tuple[int, int],
    amount: float,
    rng: np.random.Generator,
) -> Image.Image:
    """Cut a piece out anywhere, its colours changed a little."""
    top, left = _corner(image.shape, size, rng)
    piece = image[top : top + size[0], left : left + size[1]]
    return jitter(Image.fromarray(piece), amount, rng)


class CutPaste:
    """A rectangle of the image, its colours changed a little, pasted elsewhere.

    Args:
        area: share of the image, least and most.
        aspect: of height to width, least and most.
        jitter: of brightness, contrast, saturation and hue.
    """

    def __init__(
        self,
        area: Shares = (0.02, 0.15),
        aspect: Span = (0.3, 1 / 0.3),
        jitter: Annotated[float, Ge(0), Le(0.5)] = 0.1,
    ) -> None:
        self.area, self.aspect, self.jitter = area, aspect, jitter

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Cut and paste; both places are inside of the image."""
        size = _piece_size(image.shape, self.area, self.aspect, rng)
        piece = np.asarray(_cut(image, size, self.jitter, rng), np.float32)
        painting = Painting(image)
        painting.lay(piece, self._opacity(size), _corner(image.shape, size, rng))
        return painting.drawn()

    def _opacity(self, size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
        return np.ones(size, np.float32)


class Scar:
    """A thin piece of the image, its colours changed a little, turned and pasted elsewhere.

    Args:
        width: least and most, in pixels of an image of 256.
        height: least and most, likewise.
        turn: degrees to either side, at most.
        jitter: of brightness, contrast, saturation and hue.
    """

    def __init__(
        self,
        width: Span = (2, 16),
        height: Span = (10, 25),
        turn: Annotated[float, Ge(0), Le(180)] = 45,
        jitter: Annotated[float, Ge(0), Le(0.5)] = 0.1,
    ) -> None:
        self.width, self.height, self.turn, self.jitter = width, height, turn, jitter

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Cut, turn and paste."""
        unit = min(image.shape[:2]) / MADE_FOR
        size = (_side(drawn_from(self.height, rng) * unit, image.shape[0]),
                _side(drawn_from(self.width, rng) * unit, image.shape[1]))  # fmt: skip
        piece = _cut(image, size, self.jitter, rng)
        piece.putalpha(255)
        angle = rng.uniform(-self.turn, self.turn)
        turned = np.asarray(piece.rotate(angle, Image.Resampling.BILINEAR, expand=True), np.float32)
        corner = _corner(image.shape, turned.shape[:2], rng)
        painting = Painting(image)
        painting.lay(turned[..., :3], turned[..., 3] / 255, corner)
        return painting.drawn()


class SmoothBlend(CutPaste):
    """A small piece of the image, its colours changed, that fades in elsewhere.

    Args:
        area: share of the image, least and most.
        aspect: of height to width, least and most.
        jitter: of brightness, contrast, saturation and hue.
    """

    def __init__(
        self,
        area: Shares = (0.003, 0.02),
        aspect: Span = (0.3, 1 / 0.3),
        jitter: Annotated[float, Ge(0), Le(0.5)] = 0.15,
    ) -> None:
        super().__init__(area, aspect, jitter)

    def _opacity(self, size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
        """Return a bell, 1 in the middle and 0 at the edge."""
        down, across = (np.abs(np.arange(n) * 2 + 1 - n) / n for n in size)
        away = np.sqrt(down[:, None] ** 2 + across[None, :] ** 2)
        height = 1.4 * np.cos(np.clip(away, 0, 1) * np.pi / 2)
        bell: Float[np.ndarray, "h w"] = np.clip(height, 0, 1).astype(np.float32)
        return bell
