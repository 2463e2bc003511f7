"""How the scores of cells or pixels become the score of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


def mean_of_top(values: Float[Tensor, " b *shape"], share: float) -> Float[Tensor, " b"]:
    """Return the mean of the highest values of each image; see `top_places`."""
    flat = values.flatten(1)
    return flat.gather(1, top_places(values, share)).mean(1)


def top_places(values: Float[Tensor, " b *shape"], share: float) -> Int[Tensor, "b k"]:
    """Return the indices of the highest values of each image, flattened, the highest first.

    Args:
        values: of cells or pixels.
        share: of them that counts, rounded down to whole ones; 0 is the maximum alone.
    """
    flat = values.flatten(1)
    return flat.topk(max(1, int(share * flat.shape[1])), dim=1).indices


def power_mean(values: Float[Tensor, " b *shape"], exponent: float) -> Float[Tensor, " b"]:
    """Return a power mean of the values of each image, none of them negative.

    It is that mean, of powers, which is nearer to the maximum the larger the exponent.
    """
    flat = values.flatten(1)
    highest = flat.amax(1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)
    return highest[:, 0] * (flat / highest).pow(exponent).mean(1).pow(1 / exponent)
