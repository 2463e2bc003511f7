"""One loop over the blocks of a CLIP's text tower, so that learned vectors can enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from vlmad.types import ContextPrompts
from vlmad_openclip._blocks import run_block
from vlmad_openclip._tokens import tokenise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float
    from torch import Tensor

SENTENCES_AT_ONCE = 64


class TextLoop:
    """A causal CLIP text encoder, run block by block so that learned vectors can enter.

    Args:
        tower: open_clip's CLIP or TextTransformer, never modified.
        tokenizer: from sentences to token ids (n, context length).
    """

    def __init__(self, tower: Any, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self.tower, self.tokenizer = tower, tokenizer
        self.blocks = list(tower.transformer.resblocks)

    def encode(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw embeddings of sentences, or of learned vectors and what follows them."""
        if isinstance(prompts, ContextPrompts):
            return self._encode_context(prompts)
        return self._encode_sentences(prompts)

    def _encode_sentences(self, sentences: Sequence[str]) -> Float[Tensor, "n d"]:
        """Encode those of like length together, cut to the longest.

        Cutting is exact: with a causal mask no token sees what follows it, and the
        embedding is read at the end token.
        """
        device = self.tower.positional_embedding.device
        ids = tokenise(self.tokenizer, sentences).to(device)  # n c
        order = ids.argmax(dim=1).argsort(stable=True)
        encoded = []
        for some in ids[order].split(SENTENCES_AT_ONCE):
            some = some[:, : int(some.argmax(dim=1).max()) + 1]
            tokens = (
                self.tower.token_embedding(some) + self.tower.positional_embedding[: some.shape[1]]
            )
            encoded.append(self._run(tokens, some.argmax(dim=1), {}))
        return torch.cat(encoded)[order.argsort()]

    def _encode_context(self, prompts: ContextPrompts) -> Float[Tensor, "n d"]:
        """Encode sentences that begin with learned vectors, cut likewise."""
        length = prompts.context.shape[1]
        device = self.tower.positional_embedding.device
        ids = tokenise(self.tokenizer, prompts).to(device)
        deepest = max((len(deep) for deep in prompts.deep.values()), default=0)
        ids = ids[:, : 1 + max(int(ids.argmax(dim=1).max()), deepest)]
        words = self.tower.token_embedding(ids)  # n c w
        context = prompts.context.to(device)
        tokens = torch.cat([words[:, :1], context, words[:, 1 + length :]], dim=1)
        tokens = tokens + self.tower.positional_embedding[: tokens.shape[1]]
        return self._run(tokens, ids.argmax(dim=1), prompts.deep)

    def _run(self, tokens: Float[Tensor, "n c w"], ends: Tensor, deep: Any) -> Float[Tensor, "n d"]:
        """Run the blocks, overwriting positions 1 to t with deep tokens on the way."""
        mask = self.tower.attn_mask[: tokens.shape[1], : tokens.shape[1]]
        for index, block in enumerate(self.blocks):
            if index in deep:
                own = deep[index].to(tokens.device).expand(len(tokens), -1, -1)
                tokens = torch.cat([tokens[:, :1], own, tokens[:, 1 + own.shape[1] :]], dim=1)
            tokens = run_block(block, tokens, lambda q, k, v: _masked(q, k, v, mask))
        tokens = self.tower.ln_final(tokens)[torch.arange(len(tokens)), ends]
        projection = self.tower.text_projection
        if projection is None:
            return tokens
        projected: Tensor
        projected = projection(tokens) if isinstance(projection, nn.Linear) else tokens @ projection
        return projected


def causal_mask(length: int) -> Float[Tensor, "c c"]:
    """Return what is added to attention so that no token sees what follows it."""
    return torch.full((length, length), float("-inf")).triu(1)


def _masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
