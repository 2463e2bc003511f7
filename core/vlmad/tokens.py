"""From prompts to the token ids that a CLIP's text encoder reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.types import ContextPrompts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Int
    from torch import Tensor


def tokenise(
    tokenizer: Callable[[list[str]], Tensor], prompts: Sequence[str] | ContextPrompts
) -> Int[Tensor, "n c"]:
    """Return token ids (n, context length); fillers stand where learned vectors will.

    Args:
        tokenizer: from sentences to token ids.
        prompts: sentences, or learned vectors and the endings that follow them.
    """
    if isinstance(prompts, ContextPrompts):
        fillers = " ".join(["X"] * prompts.context.shape[1])
        prompts = [f"{fillers} {ending}" for ending in prompts.endings]
    return tokenizer(list(prompts))
