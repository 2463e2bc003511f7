"""How DRAEM learns: good images, in half of them a texture where Perlin noise is high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from vlmad.loading import chunks
from vlmad_families.reconstruction_losses import similarity
from vlmad_run.learning_in_fit import circumstances
from vlmad_synthesis.synthetic import choose_defects, seeded
from vlmad_train.losses import focal_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor

NETWORKS = "draem"
GOOD_SHARE = 0.5
"""Of images that stay as they are."""
SETTLED = 32
"""Images by which batch norms find their means in the end."""
TURNED = 90
"""Degrees to either side."""


def draem_terms(
    good: Float[Tensor, "b 3 h w"],
    rebuilt: Float[Tensor, "b 3 h w"],
    logits: Float[Tensor, "b 2 h w"],
    masks: Bool[Tensor, "b h w"],
    gamma: float = 2.0,
) -> dict[str, Tensor]:
    """Return the terms of the loss: squared error, 1 - similarity, focal.

    Args:
        good: images as they were.
        rebuilt: what was made of them after they were changed.
        logits: of good and defective pixels.
        masks: where they were changed.
        gamma: of the focal loss.
    """
    return {
        "l2": F.mse_loss(rebuilt, good),
        "ssim": 1 - similarity(rebuilt, good).mean(),
        "focal": focal_loss(logits.softmax(1), masks, gamma),
    }


class DraemLesson:
    """Good images, and how they are changed.

    Args:
        networks: a rebuilder and a comparer.
        images: levels from 0 to 255.
        turned: the share of images that are turned before.
        gamma: of the focal loss.
        textures: a folder of pictures in place of textures that are drawn.
    """

    def __init__(
        self,
        networks: nn.ModuleDict,
        images: UInt8[np.ndarray, "n h w 3"],
        turned: float,
        gamma: float,
        textures: str | None,
    ) -> None:
        self.networks: Mapping[str, nn.Module] = {NETWORKS: networks}
        self.images, self.turned, self.gamma = images, turned, gamma
        options = {} if textures is None else {"textures": textures}
        self._blend = choose_defects(["perlin"], options)["perlin"]

    def steps(
        self, rows: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Let both networks take a step together."""
        good, changed, masks = self._batch(rows, rng)
        both: Mapping[str, nn.Module] = self.networks[NETWORKS]  # type: ignore[assignment]
        seen = _shares(changed)
        rebuilt = both["rebuilder"](seen)
        logits = both["comparer"](rebuilt, seen)
        yield NETWORKS, draem_terms(_shares(good), rebuilt, logits, masks, self.gamma)

    @torch.no_grad()
    def settle(self, seed: int) -> None:
        """Let batch norms find their means by the last weights, which few steps leave behind."""
        both, rng = self.networks[NETWORKS], seeded(seed, "settle")
        norms = [module for module in both.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all that comes
        both.train()
        rows = [*range(len(self.images))]
        if circumstances().most_steps is None:
            rows = (rows * -(-SETTLED // len(rows)))[:SETTLED]
        for some in chunks(rows, SETTLED // 4):
            for _ in self.steps(some, rng):
                pass
        both.eval()

    def _batch(
        self, rows: Sequence[int], rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "b h w 3"], UInt8[Tensor, "b h w 3"], Bool[Tensor, "b h w"]]:
        drawn = [self._drawn(self.images[row], rng) for row in rows]
        good, changed, masks = (torch.from_numpy(np.stack(e)) for e in zip(*drawn, strict=True))
        return good, changed, masks

    def _drawn(
        self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, "h w"]]:
        """Return an image, perhaps turned; the same, perhaps changed; and where."""
        if rng.random() < self.turned:
            turned = Image.fromarray(image).rotate(
                float(rng.uniform(-TURNED, TURNED)), Image.Resampling.BILINEAR
            )
            image = np.asarray(turned)
        if rng.random() < GOOD_SHARE:
            return image, image, np.zeros(image.shape[:2], bool)
        changed, mask = self._blend(image.copy(), rng)
        return image, changed, mask


def _shares(levels: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    return levels.movedim(-1, 1).float() / 255
