"""One residual block of a CLIP, step by step, on open_clip's own modules.

The steps are apart so that what several passes have in common is computed once: a block's
queries, keys and values can be handed in, and the last block can be run for the class token
alone. Attention and feed-forward compute in the type of the block's weights, norms and the
stream of tokens in the type that came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from vlmad_openclip._products import attend, linear

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Mix = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]


def run_block(
    block: Any,
    tokens: Float[Tensor, "b t w"],
    mix: Mix | None = None,
    qkv: Float[Tensor, "b t 3w"] | None = None,
) -> Float[Tensor, "b t w"]:
    """Run one residual block, with its own attention or with `mix` in its place.

    `qkv` is what `project_in` makes of the tokens, if that is known already.
    """
    q, k, v = split_heads(block, tokens, qkv)
    mixed = (mix or attend)(q, k, v)
    return feed_forward(block, tokens + merge_heads(block, mixed))


def run_last_block(
    block: Any,
    tokens: Float[Tensor, "b t w"],
    mix: Mix | None = None,
    qkv: Float[Tensor, "b t 3w"] | None = None,
) -> Float[Tensor, "b w"]:
    """Return what `run_block` makes of the class token, without computing the others."""
    if mix is None and qkv is None and tokens.dtype == block.attn.in_proj_weight.dtype:
        added = block.ls_1(block.attn.out_proj(_class_attention(block, tokens)))
        return feed_forward(block, tokens[:, 0] + added)
    q, k, v = split_heads(block, tokens, qkv)
    mixed = attend(q[:, :, :1], k, v) if mix is None else mix(q, k, v)[:, :, :1]
    return feed_forward(block, tokens[:, 0] + merge_heads(block, mixed)[:, 0])


def _class_attention(block: Any, tokens: Float[Tensor, "b t w"]) -> Float[Tensor, "b w"]:
    """Return what the class token gathers, with the key and value matrices moved past the sums.

    q (K x) is (q K) x, and the weighted sum of V x is V times the weighted sum of x: one
    product each for every class token instead of one for every token. The bias of the keys
    is the same for all tokens and drops out of the softmax.
    """
    attn = block.attn
    normed = block.ln_1(tokens)
    queries, keys, values = attn.in_proj_weight.unflatten(0, (3, attn.num_heads, -1))  # a e w
    bias_q, _, bias_v = attn.in_proj_bias.chunk(3)
    q = F.linear(normed[:, 0], queries.flatten(0, 1), bias_q).unflatten(-1, (attn.num_heads, -1))
    sought = torch.einsum("bae,aew->baw", q * q.shape[-1] ** -0.5, keys)
    weights = (sought @ normed.transpose(1, 2)).softmax(-1)  # b a t
    gathered: Tensor = torch.einsum("baw,aew->bae", weights @ normed, values)
    return gathered.flatten(1) + bias_v  # type: ignore[no-any-return]


def project_in(block: Any, tokens: Float[Tensor, "b t w"]) -> Float[Tensor, "b t 3w"]:
    """Return a block's queries, keys and values in one tensor; each token's are its own."""
    attn = block.attn
    normed = block.ln_1(tokens).to(attn.in_proj_weight.dtype)
    return linear(normed, attn.in_proj_weight, attn.in_proj_bias)


def split_heads(
    block: Any, tokens: Float[Tensor, "b t w"], qkv: Float[Tensor, "b t 3w"] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a block's queries, keys and values (b a t e), read after its first norm."""
    qkv = project_in(block, tokens) if qkv is None else qkv
    q, k, v = qkv.unflatten(-1, (3, block.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v


def merge_heads(block: Any, mixed: Float[Tensor, "b a t e"]) -> Float[Tensor, "b t w"]:
    """Return what attention adds to the stream."""
    out = block.attn.out_proj
    merged = linear(mixed.transpose(1, 2).flatten(2), out.weight, out.bias)
    return block.ls_1(merged)  # type: ignore[no-any-return]


def feed_forward(block: Any, tokens: Float[Tensor, "*b w"]) -> Float[Tensor, "*b w"]:
    """Return the stream with what a block's second half adds to it."""
    into, activation, back = block.mlp
    normed = block.ln_2(tokens).to(into.weight.dtype)
    inner = linear(normed, into.weight, into.bias, then=activation)
    return tokens + block.ls_2(linear(inner, back.weight, back.bias))  # type: ignore[no-any-return]
