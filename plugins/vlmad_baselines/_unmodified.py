"""The attention that is no modification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from vlmad import Attention

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class Unmodified(Attention):
    """The backbone's own attention in every block."""

    needs = frozenset()

    def blocks(self, depth: int) -> range:
        """Act on no block."""
        return range(0)

    def mix(
        self, q: Float[Tensor, "b a t e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
    ) -> Float[Tensor, "b a t e"]:
        """Mix as usual."""
        return F.scaled_dot_product_attention(q, k, v)
