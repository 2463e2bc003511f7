"""All that a backbone's numbers depend on, for the keys of what is kept of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vlmad_openclip.code_digest import distribution_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int
    from torch import Tensor

    from vlmad.parts import Backbone
    from vlmad.types import ContextPrompts


@runtime_checkable
class HasIdentity(Protocol):
    """A backbone whose numbers depend on more than spec, options and weights."""

    identity: str
    """What they depend on, such as the digest of a file that it reads."""


@runtime_checkable
class HasTokenIds(Protocol):
    """A backbone whose text embeddings may be kept on disk (`vlmad_openclip.text_cache`)."""

    def token_ids(self, prompts: Sequence[str] | ContextPrompts) -> Int[Tensor, "n c"] | None:
        """Return the token ids that it would encode, or None if it cannot tell them.

        In the place of learned vectors -1 stands. No weight should be loaded for it.
        """


def backbone_facts(backbone: Backbone, distribution: str) -> dict[str, object] | None:
    """Return all that a backbone's numbers depend on besides its input, for `key_of`.

    None stands for a distribution whose files cannot be read.

    Args:
        backbone: its optional `identity`, `precision` and `device` count where it has them.
        distribution: which one the backbone's code is in.
    """
    import torch

    from vlmad_openclip.devices import processor_of

    code = [distribution_digest(name) for name in ("vlmad", distribution)]
    if None in code:
        return None
    return {
        "backbone": f"{type(backbone).__module__}.{type(backbone).__qualname__}",
        "spec": asdict(backbone.spec),
        "weights": backbone.weights_hash,
        "identity": backbone.identity if isinstance(backbone, HasIdentity) else None,
        "precision": getattr(backbone, "precision", "float32"),
        "code": code,
        "torch": torch.__version__,
        "processor": processor_of(getattr(backbone, "device", torch.device("cpu"))),
    }
