"""One loop over the blocks of a CLIP's text tower, so that learned vectors can enter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import nn

from vlmad.errors import InputError
from vlmad.types import ContextPrompts
from vlmad_openclip._blocks import run_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

SENTENCES_AT_ONCE = 64
LEARNED = -1
"""What stands among token ids for a learned vector: no word's id."""


@runtime_checkable
class HasVocabulary(Protocol):
    """A backbone that shows the words that its text encoder reads."""

    def vocabulary(self) -> tuple[Sequence[str], Float[Tensor, "v w"]]:
        """Return its words and their embeddings before the first block."""


class TextLoop:
    """A causal CLIP text encoder, run block by block so that learned vectors can enter.

    Args:
        tower: open_clip's CLIP or TextTransformer, never modified.
        tokenizer: one of open_clip's, see `clip_tokenizer`.
    """

    def __init__(self, tower: Any, tokenizer: Any) -> None:
        self.tower, self.tokenizer = tower, tokenizer
        self.blocks = list(tower.transformer.resblocks)

    def encode(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw embeddings of sentences, some of whose words may be learned vectors.

        Those of like length go together, cut to the longest. Cutting is exact: with a causal
        mask no token sees what follows it, and the embedding is read at the end token.
        """
        ids = tokenise(self.tokenizer, prompts).to(self.tower.positional_embedding.device)  # n c
        if isinstance(prompts, ContextPrompts):
            return self._encode_context(ids, prompts)
        order = ids.argmax(dim=1).argsort(stable=True)
        encoded = []
        for some in ids[order].split(SENTENCES_AT_ONCE):
            some = some[:, : int(some.argmax(dim=1).max()) + 1]
            encoded.append(self._run(self.tower.token_embedding(some), some.argmax(dim=1), {}))
        return torch.cat(encoded)[order.argsort()]

    def vocabulary(self) -> tuple[list[str], Float[Tensor, "v w"]]:
        """Return all words and beginnings of words (with …), and their embeddings."""
        embeddings = self.tower.token_embedding.weight.detach()
        special = set(self.tokenizer.all_special_ids)
        ids = [
            n for n in range(len(embeddings)) if n in self.tokenizer.decoder and n not in special
        ]
        whole = (self.tokenizer.decode([number]) for number in ids)
        words = [word.rstrip() if word.endswith(" ") else f"{word}…" for word in whole]
        return words, embeddings[ids].float()

    def _encode_context(
        self, ids: Int[Tensor, "n c"], prompts: ContextPrompts
    ) -> Float[Tensor, "n d"]:
        deepest = max((len(deep) for deep in prompts.deep.values()), default=0)
        if deepest >= ids.shape[1]:
            raise InputError(
                f"{deepest} learned tokens and the first are more than the {ids.shape[1]} "
                "that the model reads"
            )
        ids = ids[:, : 1 + max(int(ids.argmax(dim=1).max()), deepest)]
        return self._run(self.embed(ids, prompts.context), ids.argmax(dim=1), prompts.deep)

    def embed(
        self, ids: Int[Tensor, "n c"], context: Float[Tensor, "n v w"]
    ) -> Float[Tensor, "n c w"]:
        """Return the words' vectors, the learned ones in their places (`tokenise`)."""
        words = self.tower.token_embedding(ids.clamp_min(0))
        return words.masked_scatter((ids == LEARNED)[..., None], context.to(words))  # type: ignore[no-any-return]

    def _run(self, words: Float[Tensor, "n c w"], ends: Tensor, deep: Any) -> Float[Tensor, "n d"]:
        """Run the blocks, overwriting positions 1 to t with deep tokens on the way."""
        tokens = words + self.tower.positional_embedding[: words.shape[1]]
        mask = causal_mask(words.shape[1]).to(words.device)
        for index, block in enumerate(self.blocks):
            if index in deep:
                own = deep[index].to(tokens.device).expand(len(tokens), -1, -1)
                tokens = torch.cat([tokens[:, :1], own, tokens[:, 1 + own.shape[1] :]], dim=1)
            tokens = run_block(block, tokens, lambda q, k, v: _masked(q, k, v, mask))
        tokens = self.tower.ln_final(tokens)[torch.arange(len(tokens)), ends]  # n w
        projection = self.tower.text_projection
        if projection is not None:
            linear = isinstance(projection, nn.Linear)
            tokens = projection(tokens) if linear else tokens @ projection
        return tokens  # type: ignore[no-any-return]


def causal_mask(length: int) -> Float[Tensor, "c c"]:
    """Return what is added to attention so that no token sees what follows it."""
    return torch.full((length, length), float("-inf")).triu(1)


def _masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@lru_cache(maxsize=8)  # making one reads 49,152 words, as long as loading a small model takes
def clip_tokenizer(context_length: int) -> Any:
    """Return open_clip's tokenizer of CLIP's words, one for each length in a process."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=context_length)


def tokenise(tokenizer: Any, prompts: Sequence[str] | ContextPrompts) -> Int[Tensor, "n c"]:
    """Return token ids (n, context length), `LEARNED` where learned vectors stand.

    Raises:
        InputError: a sentence has more words than the model reads; cut off, it would lose its
            end, where templates say what matters. Or it has no X for each learned vector.
    """
    if isinstance(prompts, ContextPrompts):
        return _tokenise_context(tokenizer, prompts)
    length: int = tokenizer.context_length
    ids: Tensor = tokenizer(list(prompts), length + 1)
    too_long = ids[:, -1].nonzero()
    if len(too_long):
        raise InputError(
            f"the sentence '{prompts[int(too_long[0])][:40]}…' is longer than the {length} tokens "
            "that the model reads; give a shorter class name or template"
        )
    return ids[:, :-1]


def _tokenise_context(tokenizer: Any, prompts: ContextPrompts) -> Int[Tensor, "n c"]:
    """Find the places of learned vectors: there, and only there, another filler is another id."""
    words = [sentence.split() for sentence in prompts.sentences]
    ids, other = (
        tokenise(tokenizer, [" ".join(filler if w == "X" else w for w in s) for s in words])
        for filler in ("x", "y")
    )
    count = prompts.context.shape[1]
    for sentence, places in zip(prompts.sentences, ids != other, strict=True):
        if int(places.sum()) != count:
            raise InputError(f"'{sentence[:60]}' must have an X for each of {count} vectors")
    return ids.masked_fill(ids != other, LEARNED)
