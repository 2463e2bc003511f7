"""Losses of class tokens and of maps, with the defaults that were published.

Maps are of two sides, normal first: probabilities that sum to 1. Masks are of pixels, bool or
0 to 1; above one half is defective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.regions import upsample

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

FOCAL_SMOOTHING = 1e-5


def side_logits(
    embeddings: Float[Tensor, "*b d"], sides: Float[Tensor, "*k 2 d"], temperature: float = 0.07
) -> Float[Tensor, "*b 2"]:
    """Return the cosines with the normal and the anomalous side, over the temperature."""
    return F.normalize(embeddings, dim=-1) @ F.normalize(sides, dim=-1).mT / temperature


def image_loss(
    image: Float[Tensor, "b d"],
    sides: Float[Tensor, "*k 2 d"],
    labels: Int[Tensor, " b"] | Float[Tensor, " b"],
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """Return the cross-entropy of class tokens; a label is the share, 0 to 1, that is defective."""
    anomalous = labels.to(image)
    targets = torch.stack([1 - anomalous, anomalous], dim=-1)
    logits = side_logits(image[:, None], sides, temperature)[:, 0]
    return F.cross_entropy(logits, targets)


def side_maps(
    patches: Float[Tensor, "b p d"],
    sides: Float[Tensor, "*k 2 d"],
    grid: tuple[int, int],
    size: tuple[int, int],
    temperature: float = 0.07,
) -> Float[Tensor, "b 2 h w"]:
    """Return the softmax of one layer's patches, row by row, brought to pixels (AnomalyCLIP)."""
    probabilities = side_logits(patches, sides, temperature).softmax(-1)
    cells = probabilities.movedim(-1, 1).flatten(0, 1).unflatten(1, grid)
    maps: Tensor = upsample(cells, size).unflatten(0, (len(patches), 2))
    return maps


def focal_loss(
    maps: Float[Tensor, "b 2 h w"], masks: Bool[Tensor, "b h w"], gamma: float = 2.0
) -> Float[Tensor, ""]:
    """Return the mean of -(1 - p)^gamma log p, p being a pixel's probability of its own side.

    Targets stay 1e-5 away from 0 and 1, and p has 1e-5 more, so that no logarithm is of 0.
    """
    target = _defective(maps, masks).clamp(FOCAL_SMOOTHING, 1 - FOCAL_SMOOTHING)
    right = (1 - target) * maps[:, 0] + target * maps[:, 1] + FOCAL_SMOOTHING
    wrong = (1 - right).clamp_min(torch.finfo(right.dtype).eps)  # or some powers have no slope
    return (-(wrong**gamma) * right.log()).mean()


def dice_loss(
    probability: Float[Tensor, "b h w"], masks: Bool[Tensor, "b h w"], smoothing: float = 1.0
) -> Float[Tensor, ""]:
    """Return 1 - 2 |P M| / (|P| + |M|), the mean over images, `smoothing` added above and below."""
    mask = _defective(probability, masks)
    both = (probability * mask).flatten(1).sum(1)
    sizes = (probability + mask).flatten(1).sum(1)
    return (1 - (2 * both + smoothing) / (sizes + smoothing)).mean()


def two_sided_map_loss(
    maps: Float[Tensor, "b 2 h w"], masks: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Return AnomalyCLIP's loss of one layer: focal, and dice on the map of either side.

    Summed over layers it was weighted by 4 beside `image_loss`.
    """
    normal = dice_loss(maps[:, 0], 1 - _defective(maps, masks))
    return focal_loss(maps, masks) + dice_loss(maps[:, 1], masks) + normal


def anomalous_map_loss(
    maps: Float[Tensor, "b 2 h w"], masks: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Return APRIL-GAN's loss of one layer: focal, and dice on the anomalous map alone."""
    return focal_loss(maps, masks) + dice_loss(maps[:, 1], masks)


def _defective(like: Tensor, masks: Tensor) -> Tensor:
    return (masks > 0.5).to(like)
