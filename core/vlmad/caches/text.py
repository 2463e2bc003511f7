"""A backbone that encodes no text twice: answers are kept on disk between runs.

The unit is one call: the sentences of a class name, or one set of learned prompts. A file for
each sentence would be hundreds of files for each class name, none of which another shares, and
the last bits of an embedding may depend on the others of its batch.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch

from vlmad.caches.keys import backbone_facts, key_of, tensor_digest
from vlmad.caches.store import open_store
from vlmad.caches.tensors import pack, unpack
from vlmad.types import ContextPrompts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad.assembly import Chosen
    from vlmad.caches.store import Store


class TellsTokens(Protocol):
    """What a backbone offers if its text embeddings may be kept on disk; it need not."""

    @property
    def identity(self) -> str:
        """What changes its numbers beside spec, options and weights, such as a file it reads."""

    def token_ids(self, prompts: Sequence[str] | ContextPrompts) -> Int[Tensor, "n c"] | None:
        """Return the token ids that it would encode, or None if it cannot tell them.

        In the place of learned vectors any id stands. No weight should be loaded for it.
        """


class KeptText:
    """A backbone that looks on disk before it encodes texts; all else is the backbone's own.

    Args:
        chosen: the backbone and where it comes from.
        store: where embeddings are kept.
    """

    def __init__(self, chosen: Chosen, store: Store) -> None:
        self._chosen, self._backbone, self._store = chosen, chosen.part, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings, from disk where they are known."""
        key = None if torch.is_grad_enabled() else self._key(prompts)
        if key is None:
            return self._backbone.encode_text(prompts)  # type: ignore[no-any-return]
        known = unpack(self._store.read(key))
        shape = (_count(prompts), self._backbone.spec.embedding_dim)
        if known is not None and known.shape == shape:
            return known.to(getattr(self._backbone, "device", "cpu"))
        embeddings: Tensor = self._backbone.encode_text(prompts)
        content = pack(embeddings)
        if content is not None:
            self._store.write(key, content)
        return embeddings

    @cached_property
    def _facts(self) -> Mapping[str, Any] | None:
        return backbone_facts(self._chosen)

    def _key(self, prompts: Sequence[str] | ContextPrompts) -> str | None:
        tell = getattr(self._backbone, "token_ids", None)
        ids = tell(prompts) if callable(tell) else None
        if ids is None or self._facts is None:
            return None
        return key_of({"backbone": self._facts, "tokens": tensor_digest(ids), **_learned(prompts)})


def keep_text(chosen: Chosen) -> Any:
    """Return a backbone that keeps texts on disk, or the plain one where there are no caches."""
    store = open_store("text")
    return chosen.part if store is None else KeptText(chosen, store)


def _learned(prompts: Sequence[str] | ContextPrompts) -> dict[str, Any]:
    if not isinstance(prompts, ContextPrompts):
        return {}
    deep = {index: tensor_digest(tokens) for index, tokens in prompts.deep.items()}
    return {"context": tensor_digest(prompts.context), "deep": deep}


def _count(prompts: Sequence[str] | ContextPrompts) -> int:
    return len(prompts.context) if isinstance(prompts, ContextPrompts) else len(prompts)
