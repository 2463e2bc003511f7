"""Matrix products of blocks in bfloat16, as a processor with instructions for them likes them.

They are so quick there that what lies around them counts: weights that are arranged anew for
each product, biases and GELU as passes of their own, and attention over a handful of tokens.
In float32, on a GPU, and where gradients are wanted, torch's own functions compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float
    from torch import Tensor

FEW = 12
"""Up to as many tokens attention is quicker in bfloat16 as two products and a softmax."""
ROWS = 2048
"""The number of tokens that weights are arranged for; any other can be multiplied, too."""


def arrange(blocks: Iterable[Any]) -> None:
    """Put blocks' matrices of bfloat16 in the order in which oneDNN reads them, in place.

    One after the other, so that no two copies are there. `to_dense` undoes it. Where the
    processor has no instructions for it, or may not use them, they stay as they are.
    """
    for block in blocks:
        attn, mlp = block.attn, block.mlp
        layers = [(layer, "weight") for layer in (attn.out_proj, mlp.c_fc, mlp.c_proj)]
        for part, name in [(attn, "in_proj_weight"), *layers]:
            plain = getattr(part, name)
            if plain.dtype != torch.bfloat16 or plain.device.type != "cpu":
                return
            try:
                arranged = torch.ops.mkldnn._reorder_linear_weight(plain.detach(), ROWS)
            except (AttributeError, RuntimeError):  # no oneDNN, or none of its paths for bfloat16
                return
            setattr(part, name, nn.Parameter(arranged, requires_grad=False))


def linear(
    tokens: Float[Tensor, "*b v"],
    weight: Tensor,
    bias: Float[Tensor, " w"],
    then: nn.Module | None = None,
) -> Float[Tensor, "*b w"]:
    """Multiply tokens by a matrix, add the bias, and apply an activation if one is given."""
    if not weight.is_mkldnn or torch.is_grad_enabled():
        made = F.linear(tokens, weight.to_dense() if weight.is_mkldnn else weight, bias)
        return made if then is None else then(made)
    exact = isinstance(then, nn.GELU) and then.approximate == "none"
    kind = "gelu" if exact else "none"
    made = torch.ops.mkldnn._linear_pointwise(tokens, weight, bias, kind, [], "none")
    return made if then is None or exact else then(made)  # type: ignore[no-any-return]


def attend(
    q: Float[Tensor, "b a s e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
) -> Float[Tensor, "b a s e"]:
    """Return what queries gather by scaled dot products."""
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or k.shape[-2] > FEW:
        return F.scaled_dot_product_attention(q, k, v)
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return weights @ v  # type: ignore[no-any-return]
