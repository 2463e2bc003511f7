"""From sentences to embeddings, to two sides, and from cosines to a probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
import torch.nn.functional as F

from vlmad.errors import InputError
from vlmad.types import TextEmbeddings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


class SentenceEncoder(Protocol):
    """What encodes sentences, such as a backbone."""

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Return raw text embeddings."""


def embed_sides(
    backbone: SentenceEncoder, normal: Sequence[str], anomalous: Sequence[str]
) -> TextEmbeddings:
    """Encode sentences of both sides."""
    sides = [False] * len(normal) + [True] * len(anomalous)
    sentences = [*normal, *anomalous]
    return TextEmbeddings.of(backbone.encode_text(sentences), sides, sentences)


def pool_sides(
    text: TextEmbeddings, pooling: Literal["mean", "unit-mean"] = "unit-mean"
) -> Float[Tensor, "*b 2 d"]:
    """Return one embedding for the normal and one for the anomalous side, not normalised.

    `mean` averages the raw embeddings, `unit-mean` those of unit length.
    """
    sentences = text.embeddings
    if pooling == "mean":
        sentences = sentences * text.norms[..., None]
    anomalous = text.anomalous.tolist()  # places, not a mask, whose count a graph cannot know
    places = [[i for i, is_so in enumerate(anomalous) if is_so == side] for side in (False, True)]
    return torch.stack([sentences[..., own, :].mean(-2) for own in places], dim=-2)


def anomaly_probability(
    embeddings: Float[Tensor, "b r d"], sides: Float[Tensor, "*b 2 d"], temperature: float
) -> Float[Tensor, "b r"]:
    """Return the share (0 to 1) of the anomalous side in the softmax over both cosines."""
    directions = F.normalize(sides, dim=-1)
    cosines = F.normalize(embeddings, dim=-1) @ directions.transpose(-1, -2)
    return (cosines / temperature).softmax(-1)[..., 1]


def check_place(text: Any, where: str) -> None:
    """Check that a template is a text with one place for the class name.

    Raises:
        InputError: it is not; `where` begins the message.
    """
    if not isinstance(text, str) or text.count("{}") != 1 or text.count("{") + text.count("}") != 2:
        raise InputError(f"{where}: {text!r} must be a text with exactly one {{}}")
