"""The attention `sprout`."""

from typing import Annotated, Literal

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor
from vlmad import Attention


class SproutAttention(Attention):
    """Tokens look at those with a key like theirs, on a second path, in the last blocks.

    Args:
        last: of how many blocks.
    """

    path: Literal["stream", "beside"] = "beside"

    def __init__(self, last: Annotated[int, Ge(1)] = 3) -> None:
        self.last = last

    def blocks(self, depth: int) -> range:
        """Return the last blocks, all of a model that has no more."""
        return range(max(0, depth - self.last), depth)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix by the likeness of keys; the shapes are (images, heads, tokens, width)."""
        return F.scaled_dot_product_attention(k, k, v)
