"""Attention modifiers: three of a second path, and one within the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import torch.nn.functional as F
from annotated_types import Ge, Interval

from vlmad import Attention
from vlmad.parts import ATTENTION, PATCHES

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

PUBLISHED_BLOCKS, PUBLISHED_DEPTH = 19, 24
"""AnomalyCLIP modifies the last 19 of ViT-L's 24 blocks."""


Count: TypeAlias = Annotated[int, Ge(1)]


class Beside(Attention):
    """The second path of AnomalyCLIP (section 3.3): only patch features read it."""

    needs = frozenset({ATTENTION, PATCHES})
    path = "beside"
    attending: ClassVar[Literal["q", "k", "v"]]
    """Which of queries, keys and values attend to themselves."""

    def __init__(self, blocks: Count | None = None) -> None:
        self.count = blocks

    def blocks(self, depth: int) -> range:
        """Return the last blocks."""
        published = max(1, round(depth * PUBLISHED_BLOCKS / PUBLISHED_DEPTH))
        return _last(depth, published if self.count is None else self.count)

    def mix(
        self, q: Float[Tensor, "b a t e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
    ) -> Float[Tensor, "b a t e"]:
        """Let queries, keys or values attend to themselves: softmax(X X^T / sqrt(e)) V."""
        x = {"q": q, "k": k, "v": v}[self.attending]
        return F.scaled_dot_product_attention(x, x, v)


class ValueValue(Beside):
    """Values attend to values, AnomalyCLIP's choice, on a second path that only patches read.

    Args:
        blocks: how many of the last blocks write it; by default the published share, 19 of 24.
    """

    attending = "v"


class QueryQuery(Beside):
    """Queries attend to queries, on a second path that only patches read.

    Args:
        blocks: how many of the last blocks write it; by default the published share, 19 of 24.
    """

    attending = "q"


class KeyKey(Beside):
    """Keys attend to keys, on a second path that only patches read.

    Args:
        blocks: how many of the last blocks write it; by default the published share, 19 of 24.
    """

    attending = "k"


class Diagonal(Attention):
    """More weight on each token itself: A' = A + gamma diag(A), A after its softmax.

    Args:
        gamma: the weight; 0 is the unmodified attention, bit for bit.
        blocks: how many of the last blocks are modified; all by default.
        renormalise: whether the rows of A' are scaled to sum to 1 again.
    """

    needs = frozenset({ATTENTION})

    def __init__(
        self,
        gamma: Annotated[float, Interval(ge=-1000, le=1000)] = 1.0,
        blocks: Count | None = None,
        renormalise: bool = False,
    ) -> None:
        self.gamma, self.renormalise = gamma, renormalise
        self.count = blocks

    def blocks(self, depth: int) -> range:
        """Return the last blocks; none if gamma is 0, so that not a bit can differ."""
        if self.gamma == 0:
            return range(0)
        return _last(depth, depth if self.count is None else self.count)

    def mix(
        self, q: Float[Tensor, "b a t e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
    ) -> Float[Tensor, "b a t e"]:
        """Add gamma diag(A) V to the usual result, which may stay fused."""
        usual = F.scaled_dot_product_attention(q, k, v)
        if self.gamma == 0:
            return usual
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        weight = logits.diagonal(dim1=-2, dim2=-1) - logits.logsumexp(-1)  # b a t
        extra = self.gamma * weight.exp()[..., None]
        mixed: Tensor = usual + extra * v
        return mixed / (1 + extra) if self.renormalise else mixed


def _last(depth: int, count: int) -> range:
    return range(max(0, depth - count), depth)
