"""Text embeddings kept on disk, so that a backbone encodes no text twice.

The unit is one call: the sentences of a class name, or one set of learned prompts. A file for
each sentence would be hundreds of files for each class name, none of which another shares, and
the last bits of an embedding may depend on the others of its batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vlmad.parts import HasDevice
from vlmad.types import ContextPrompts
from vlmad_openclip.backbone_facts import HasTokenIds, backbone_facts
from vlmad_openclip.store import key_of, open_store, pack, tensor_digest, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.parts import Backbone


def encode_once(
    backbone: Backbone,
    distribution: str,
    prompts: Sequence[str] | ContextPrompts,
    encode: Callable[[], Tensor],
) -> Float[Tensor, "n d"]:
    """Return what `encode` makes of prompts, from disk if an earlier start encoded the same.

    A backbone calls it within its `encode_text`. Whatever is encoded while gradients are
    recorded is neither looked up nor kept, nor are texts of a backbone that gives no token ids.

    Args:
        backbone: its `token_ids`, weights, spec and `identity` are what an entry depends on
            (`HasTokenIds`, `HasIdentity`).
        distribution: which one the backbone's code is in; an edit of it makes new entries.
        prompts: as `encode_text` takes them.
        encode: computes the raw embeddings.
    """
    store = None if torch.is_grad_enabled() else open_store("text")
    key = None if store is None else _key(backbone, distribution, prompts)
    if store is None or key is None:
        return encode()
    known = unpack(store.read(key))
    sentences = prompts.sentences if isinstance(prompts, ContextPrompts) else prompts
    if known is not None and known.shape == (len(sentences), backbone.spec.embedding_dim):
        return known.to(backbone.device) if isinstance(backbone, HasDevice) else known
    embeddings = encode()
    content = pack(embeddings)
    if content is not None:
        store.write(key, content)
    return embeddings


def _key(
    backbone: Backbone, distribution: str, prompts: Sequence[str] | ContextPrompts
) -> str | None:
    ids = backbone.token_ids(prompts) if isinstance(backbone, HasTokenIds) else None
    facts = None if ids is None else backbone_facts(backbone, distribution)
    if ids is None or facts is None:
        return None
    facts["tokens"] = tensor_digest(ids)
    if isinstance(prompts, ContextPrompts):
        facts["context"] = tensor_digest(prompts.context)
        facts["deep"] = {index: tensor_digest(tokens) for index, tokens in prompts.deep.items()}
    return key_of(facts)
