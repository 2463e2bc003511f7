"""Which words of a backbone's vocabulary learned vectors lie nearest to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F

from vlmad.errors import IncompatiblePartsError
from vlmad_documents.documents import Document, FileName
from vlmad_documents.learned_file import LearnedFile
from vlmad_openclip.language import HasVocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Backbone

Distance: TypeAlias = Literal["euclidean", "cosine"]
SAMPLE = 256
"""Words of which the distance to their nearest other one is looked at."""


class NearWord(Document):
    """A word of the vocabulary, and how far it is."""

    word: str
    """One that ends with … is the beginning of words."""
    distance: float


class NearestWords(Document):
    """The nearest words of learned vectors."""

    backbone: str
    distance: Distance
    usual: float
    """How far a word's nearest other word is, the median of a sample."""
    words: dict[str, list[list[NearWord]]]
    """Of each vector of each tensor, by the tensor's name, the nearest first."""


class LearnedDescription(Document):
    """What `vlmad prompts show` says of a file."""

    format: Literal["vlmad learned description 1"] = "vlmad learned description 1"
    file: FileName
    learned: LearnedFile
    shapes: dict[str, list[int]]
    other_weights: str | None = None
    """What is to be said where the words are of other weights than the tensors."""
    nearest: NearestWords | None = None
    """None where no backbone was looked at, or nothing takes the place of words."""


def context_vectors(tensors: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "n w"]]:
    """Return the tensors that stand in the place of words, a row for each vector."""
    names = [name for name in tensors if name.partition(".")[0] == "context"]
    return {name: tensors[name].flatten(0, -2) for name in names if tensors[name].ndim > 1}


def nearest_words(
    vectors: Mapping[str, Float[Tensor, "n w"]], backbone: Backbone, distance: Distance, count: int
) -> NearestWords:
    """Return the nearest words of vectors.

    Raises:
        IncompatiblePartsError: the backbone has no vocabulary to look at, or one of another width.
    """
    name = backbone.spec.name
    if not isinstance(backbone, HasVocabulary):
        raise IncompatiblePartsError(f"backbone '{name}' gives no vocabulary to look at")
    words, embeddings = backbone.vocabulary()
    for tensor, rows in vectors.items():
        if rows.shape[1] != embeddings.shape[1]:
            raise IncompatiblePartsError(
                f"'{tensor}' has width {rows.shape[1]}, the words of '{name}' {embeddings.shape[1]}"
            )
    found = {
        tensor: _nearest(rows, words, embeddings, distance, count)
        for tensor, rows in vectors.items()
    }
    usual = usual_distance(embeddings, distance)
    return NearestWords(backbone=name, distance=distance, usual=usual, words=found)


def _nearest(
    rows: Tensor, words: Sequence[str], embeddings: Tensor, distance: Distance, count: int
) -> list[list[NearWord]]:
    least = distances(rows, embeddings, distance).topk(min(count, len(words)), largest=False)
    pairs = zip(least.values.tolist(), least.indices.tolist(), strict=True)
    return [
        [NearWord(word=words[n], distance=far) for far, n in zip(*both, strict=True)]
        for both in pairs
    ]


def usual_distance(embeddings: Float[Tensor, "v w"], distance: Distance) -> float:
    """Return how far a word's nearest other word is, the median of a sample."""
    some = embeddings[:: max(1, len(embeddings) // SAMPLE)][:SAMPLE]
    two = distances(some, embeddings, distance).topk(min(2, len(embeddings)), largest=False)
    return float(two.values[:, -1].median())


def distances(
    rows: Float[Tensor, "n w"], embeddings: Float[Tensor, "v w"], distance: Distance
) -> Float[Tensor, "n v"]:
    """Return the distances of vectors to all words, cosine ones from 0 to 2."""
    if distance == "cosine":
        return 1 - F.normalize(rows, dim=-1) @ F.normalize(embeddings, dim=-1).T
    return torch.cdist(rows, embeddings)
