"""Telling good images from such as a piece of themselves was pasted into (CutPaste)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from vlmad_synthesis.colours import jitter
from vlmad_synthesis.synthetic import choose_defects
from vlmad_tiny.embedded_trunk import trunk_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

HEAD = "head"
COARSE, FINE = "b4", "b2"
CHANNELS = 112 + 40
"""Of both levels of the embedded trunk."""
PASTED = ("cutpaste", "scar")
CLASSES = 1 + len(PASTED)


class Head(nn.Module):
    """Two layers over each cell; the image's embedding is the mean of its cells' embeddings.

    Args:
        channels: of a cell.
        width: of the hidden layer.
        code: numbers of an embedding.
    """

    def __init__(self, channels: int, width: int, code: int) -> None:
        super().__init__()
        self.cells = nn.Sequential(
            nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, code), nn.ReLU()
        )
        self.classes = nn.Linear(code, CLASSES)

    def forward(self, cells: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        """Return the embedding of each cell."""
        embedded: Tensor = self.cells(cells)
        return embedded

    def logits(self, cells: Float[Tensor, "b h w c"]) -> Float[Tensor, "b k"]:
        """Return how much each image looks good, with a patch, with a scar."""
        found: Tensor = self.classes(self(cells).mean((1, 2)))
        return found


def three_way(logits: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of images that are good, patch and scar in turn."""
    classes = torch.arange(len(logits), device=logits.device) % CLASSES
    return F.cross_entropy(logits, classes)


def frozen_cells(pixels: Float[Tensor, "3 h w"]) -> Float[Tensor, "1 g k c"]:
    """Return cells of the embedded trunk: a level, and the finer one's mean around each cell.

    Args:
        pixels: from 0 to 1.
    """
    found = trunk_cells(pixels * 255, (FINE, COARSE))
    coarse = found[COARSE]
    finer = found[FINE].movedim(-1, 0)[None]
    around = F.interpolate(finer, size=coarse.shape[:2], mode="area")[0].movedim(0, -1)
    return torch.cat([coarse, around], -1)[None]


class CutPasteLesson:
    """Good images, and what is pasted into them.

    Args:
        head: learns.
        images: levels from 0 to 255.
        area: of a patch, its share of the image.
        jitter: of the colours of what is pasted.
        disturbed: of the colours of every image, before.
    """

    def __init__(
        self,
        head: Head,
        images: UInt8[np.ndarray, "n h w 3"],
        area: tuple[float, ...],
        jitter: float,
        disturbed: float,
    ) -> None:
        self.networks: Mapping[str, nn.Module] = {HEAD: head}
        self.head, self.images, self.disturbed = head, images, disturbed
        self._defects = choose_defects(PASTED, {"area": area, "jitter": jitter})

    def steps(
        self, rows: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Tell three kinds of each image apart."""
        with torch.no_grad():
            drawn = [each for row in rows for each in self.drawn(row, rng)]
            cells = torch.cat([frozen_cells(shares(levels)) for levels in drawn])
        yield HEAD, {"cross-entropy": three_way(self.head.logits(cells))}

    def drawn(self, row: int, rng: np.random.Generator) -> list[UInt8[np.ndarray, "h w 3"]]:
        """Return an image as it is, with a patch, and with a scar; its colours a little changed."""
        image = self.images[row]
        if self.disturbed:
            image = np.asarray(jitter(Image.fromarray(image), self.disturbed, rng))
        return [image, *(self._defects[kind](image.copy(), rng)[0] for kind in PASTED)]


def shares(levels: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 h w"]:
    """Return levels as numbers from 0 to 1."""
    return torch.from_numpy(levels.copy()).movedim(-1, 0).float() / 255
