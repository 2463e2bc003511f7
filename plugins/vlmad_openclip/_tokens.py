"""From prompts to the token ids that a CLIP's text encoder reads."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError
from vlmad.types import ContextPrompts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Int
    from torch import Tensor


@lru_cache(maxsize=8)  # making one reads 49,152 words, as long as loading a small model takes
def clip_tokenizer(context_length: int) -> Any:
    """Return open_clip's tokenizer of CLIP's words, one for each length in a process."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=context_length)


def tokenise(
    tokenizer: Callable[[list[str]], Tensor], prompts: Sequence[str] | ContextPrompts
) -> Int[Tensor, "n c"]:
    """Return token ids (n, context length); fillers stand where learned vectors will.

    Args:
        tokenizer: from sentences to token ids.
        prompts: sentences, or learned vectors and the endings that follow them.

    Raises:
        InputError: a sentence has more words than the model reads; cut off, it would lose its
            end, where templates say what matters.
    """
    if isinstance(prompts, ContextPrompts):
        fillers = " ".join(["X"] * prompts.context.shape[1])
        prompts = [f"{fillers} {ending}" for ending in prompts.endings]
    ids = tokenizer(list(prompts))
    for sentence, row in zip(prompts, ids, strict=True):
        if int(row[-1]) != 0 and _length(tokenizer, sentence) > len(row):
            raise InputError(
                f"the sentence '{sentence[:40]}…' is longer than the {len(row)} tokens that the "
                "model reads; give a shorter class name or template"
            )
    return ids


def _length(tokenizer: Any, sentence: str) -> int:
    """Return a sentence's tokens with start and end, or 0 where the tokenizer does not tell."""
    encode = getattr(tokenizer, "encode", None)
    return len(encode(sentence)) + 2 if encode is not None else 0
