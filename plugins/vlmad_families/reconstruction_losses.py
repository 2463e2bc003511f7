"""Losses of reconstructions, and the errors by which they are judged."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""Of the Gaussian that structural similarity is taken under (Wang et al., 2004)."""
STEADY = (0.01, 0.03)
"""Shares of the range of values whose squares keep its quotients from 0 / 0."""


def similarity(
    one: Float[Tensor, "b c h w"],
    other: Float[Tensor, "b c h w"],
    extent: float | Tensor = 1.0,
    window: int = WINDOW,
    sigma: float = SIGMA,
) -> Float[Tensor, "b h w"]:
    """Return the structural similarity about each cell, the mean over channels.

    Args:
        one: maps.
        other: what they are compared with.
        extent: the difference between the largest and the smallest value that there can be.
        window: the side of the Gaussian, beyond the edge of which maps go on as they end.
        sigma: its deviation.
    """
    first, second = ((share * extent) ** 2 for share in STEADY)
    means = [_weighed(each, window, sigma) for each in (one, other)]
    squares = [_weighed(each * each, window, sigma) for each in (one, other)]
    variances = [each - mean * mean for each, mean in zip(squares, means, strict=True)]
    covariance = _weighed(one * other, window, sigma) - means[0] * means[1]
    above = (2 * means[0] * means[1] + first) * (2 * covariance + second)
    below = (means[0] ** 2 + means[1] ** 2 + first) * (variances[0] + variances[1] + second)
    return (above / below).mean(1)


def _weighed(maps: Float[Tensor, "b c h w"], window: int, sigma: float) -> Tensor:
    half, channels = window // 2, maps.shape[1]
    taps = maps.new_tensor(_taps(window, sigma))
    padded = F.pad(maps, (half,) * 4, mode="replicate")
    rows = F.conv2d(padded, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


@lru_cache(maxsize=8)
def _taps(window: int, sigma: float) -> list[float]:
    away = torch.arange(window, dtype=torch.float64) - window // 2
    weights = (-away.square() / (2 * sigma * sigma)).exp()
    taps: list[float] = (weights / weights.sum()).tolist()
    return taps


def divergence(mean: Float[Tensor, " b *z"], log_variance: Float[Tensor, " b *z"]) -> Tensor:
    """Return how far each image's Gaussian is from the standard one: KL, the sum over numbers."""
    each: Tensor = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return each.flatten(1).sum(1)


def reparametrised(
    mean: Float[Tensor, " b *z"],
    log_variance: Float[Tensor, " b *z"],
    noise: Float[Tensor, " b *z"],
) -> Float[Tensor, " b *z"]:
    """Return what noise makes a draw of; gradients flow to both."""
    return mean + (log_variance / 2).exp() * noise
