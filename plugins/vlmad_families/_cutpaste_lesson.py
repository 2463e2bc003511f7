"""Telling good images from such as a piece of themselves was pasted into (CutPaste)."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from vlmad_synthesis.colours import jitter
from vlmad_synthesis.synthetic import choose_defects
from vlmad_tiny.embedded_trunk import standardised, trunk_cells, trunk_stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

HEAD = "head"
COARSE, FINE = "b4", "b2"
CHANNELS = 112 + 40
"""Of both levels of the embedded trunk."""
STAGES = ("blocks[3]", "blocks[4]")
"""Of the trunk, what leads from the finer level to the other."""
PASTED = ("cutpaste", "scar")
CLASSES = 1 + len(PASTED)


class Head(nn.Module):
    """Two layers over each cell; the image's embedding is the mean of its cells' embeddings.

    Args:
        channels: of a cell.
        width: of the hidden layer.
        code: numbers of an embedding.
        tuned: how many of the last two stages of the embedded trunk are its own, and learn; with
            none it is given frozen cells, with some the trunk's map before both stages.
    """

    def __init__(self, channels: int, width: int, code: int, tuned: int = 0) -> None:
        super().__init__()
        stages = [*trunk_stages()[2].children()][len(STAGES) - tuned :] if tuned else []
        self.stages = nn.ModuleList(deepcopy(stage) for stage in stages).requires_grad_(True)
        self.cells = nn.Sequential(
            nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, code), nn.ReLU()
        )
        self.classes = nn.Linear(code, CLASSES)

    def forward(self, cells: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        """Return the embedding of each cell."""
        embedded: Tensor = self.cells(self.tuned_cells(cells) if len(self.stages) else cells)
        return embedded

    def tuned_cells(self, finer: Float[Tensor, "b h w c"]) -> Float[Tensor, "b g k c"]:
        """Return cells of both levels, of the trunk's map before the last stages."""
        frozen = [*trunk_stages()[2].children()][: -len(self.stages)]
        coarse = finer.movedim(-1, 1)
        for stage in (*frozen, *self.stages):
            coarse = stage(coarse)
        return joined(standardised(COARSE, coarse.movedim(1, -1)), standardised(FINE, finer))

    def logits(self, cells: Float[Tensor, "b h w c"]) -> Float[Tensor, "b k"]:
        """Return how much each image looks good, with a patch, with a scar."""
        found: Tensor = self.classes(self(cells).mean((1, 2)))
        return found


def three_way(logits: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of images that are good, patch and scar in turn."""
    classes = torch.arange(len(logits), device=logits.device) % CLASSES
    return F.cross_entropy(logits, classes)


def frozen_cells(pixels: Float[Tensor, "3 h w"], tuned: int = 0) -> Float[Tensor, "1 g k c"]:
    """Return what a head is given of an image.

    Args:
        pixels: from 0 to 1.
        tuned: how many stages are the head's own.
    """
    if not tuned:
        found = trunk_cells(pixels * 255, (FINE, COARSE))
        return joined(found[COARSE][None], found[FINE][None])
    first, second, _ = trunk_stages()
    finer: Tensor = second(first(pixels[None] * 2 - 1))
    return finer.movedim(1, -1)


def joined(
    coarse: Float[Tensor, "b g k c"], finer: Float[Tensor, "b h w d"]
) -> Float[Tensor, "b g k e"]:
    """Return cells of a level of the trunk, and the finer one's mean around each of them."""
    around = F.interpolate(finer.movedim(-1, 1), size=coarse.shape[1:3], mode="area")
    return torch.cat([coarse, around.movedim(1, -1)], -1)


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
            tuned = len(self.head.stages)
            cells = torch.cat([frozen_cells(shares(levels), tuned) for levels in drawn])
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
