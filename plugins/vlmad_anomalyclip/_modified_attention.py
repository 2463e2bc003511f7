"""Attention modifiers: three of a second path, and one within the stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from annotated_types import Ge, Interval
from torch import Tensor

from vlmad import Attention
from vlmad.errors import WeightsError
from vlmad.parts import ATTENTION, PATCHES
from vlmad_documents.learned_file import read_learned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

    from vlmad import BackboneSpec

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
        file: a file with a gamma that was learned, which takes the place of the option.
    """

    needs = frozenset({ATTENTION})

    def __init__(
        self,
        gamma: Annotated[float, Interval(ge=-1000, le=1000)] = 1.0,
        blocks: Count | None = None,
        renormalise: bool = False,
        file: Path | None = None,
    ) -> None:
        self.gamma: float | Tensor = gamma if file is None else read_gamma(file)
        self.renormalise = renormalise
        self.count = blocks

    def blocks(self, depth: int) -> range:
        """Return the last blocks; none if gamma is 0, so that not a bit can differ."""
        if self._is_none:
            return range(0)
        return _last(depth, depth if self.count is None else self.count)

    def mix(
        self, q: Float[Tensor, "b a t e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
    ) -> Float[Tensor, "b a t e"]:
        """Add gamma diag(A) V to the usual result, which may stay fused."""
        usual = F.scaled_dot_product_attention(q, k, v)
        if self._is_none:
            return usual
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        weight = logits.diagonal(dim1=-2, dim2=-1) - logits.logsumexp(-1)  # b a t
        gamma = self.gamma.to(weight) if isinstance(self.gamma, Tensor) else self.gamma
        extra = gamma * weight.exp()[..., None]
        mixed: Tensor = usual + extra * v
        return mixed / (1 + extra) if self.renormalise else mixed

    @property
    def _is_none(self) -> bool:
        """Whether it is 0 for good: one that is being learned may start there."""
        return not isinstance(self.gamma, Tensor) and self.gamma == 0

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return gamma, as it was given; see `vlmad_documents.learned_file.Learns`."""
        with torch.inference_mode(False):  # or it could never be learned
            self.gamma = torch.tensor([float(self.gamma)])
        return {"gamma": self.gamma}

    def facts(self) -> Mapping[str, str]:
        """Return nothing: gamma says it all."""
        return {}


def read_gamma(path: Path) -> float:
    """Return the gamma of a file.

    Raises:
        WeightsError: it is missing, damaged, or holds something else.
    """
    tensors, _ = read_learned(path, "attention", "diagonal")
    gamma = tensors.get("gamma")
    if gamma is None or len(tensors) > 1 or gamma.numel() != 1:
        raise WeightsError(f"{path} holds no gamma: a single number")
    return float(gamma)


def _last(depth: int, count: int) -> range:
    return range(max(0, depth - count), depth)
