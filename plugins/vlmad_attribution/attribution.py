"""What a score is made of, in numbers that rebuild it.

A scorer may have a method ``attribute(features, text, memory) -> Attribution``, from which
`vlmad explain` is written. For every image

    score = sum over addends of weight * value

and an addend's value is either a judgement of the whole image or the mean of the highest cells
(one, unless a share of them counts), where a cell has the mean over levels of the mean of the
regions that cover it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F

from vlmad.regions import harmonic_map, mean_map
from vlmad.text import anomaly_probability, pool_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad.types import Features, Regions, TextEmbeddings

Judge = Literal["text", "references", "nearest", "others", "image", "map"]
"""What a region was judged by: all references or the `nearest` place of them, where both are asked;
`others` are the other images of a set, `image` is the rest of its own image; `map` where only the
scorer's finished map is known."""
Mean = Literal["arithmetic", "harmonic", "smoothed", "joined"]
"""How regions become a cell; `smoothed` is a pixel of the blurred map, about what they are, and
`joined` is a rule of the scorer's own for levels, under a soft maximum over all cells."""
Pooling = Literal["mean", "unit-mean"]
MEANS = {"arithmetic": mean_map, "harmonic": harmonic_map}


@dataclass(frozen=True, slots=True)
class Judged:
    """How the regions of one level were judged; higher is more anomalous."""

    regions: Regions
    by: Judge
    values: Float[Tensor, "b r"]
    nearest: Int[Tensor, "b r"] | None = None
    """Of each region the nearest one of all references, or of the others: image * r + region."""


@dataclass(frozen=True, slots=True)
class Addend:
    """One addend of the image score: a judgement of the whole image, or the highest cells."""

    by: Judge
    weight: float | Float[Tensor, " b"]
    value: Float[Tensor, " b"]
    levels: tuple[Judged, ...] = ()
    """The regions that cells are made of; empty if it is a judgement of the whole image."""
    mean: Mean = "arithmetic"
    """How regions that cover a cell become one; levels always have their arithmetic mean."""
    cells: Float[Tensor, "b gh gw"] | None = None
    highest_count: int = 1
    """Of how many of the highest cells the value is the mean."""

    @classmethod
    def highest(
        cls, by: Judge, weight: float, levels: Sequence[Judged], mean: Mean, grid: tuple[int, int]
    ) -> Addend:
        """Make the addend whose value is the highest cell's."""
        maps = [MEANS[mean](level.values, level.regions.cells, grid) for level in levels]
        cells = torch.stack(maps).mean(0)
        return cls(by, weight, cells.amax((1, 2)), tuple(levels), mean, cells)


@dataclass(frozen=True, slots=True)
class Voices:
    """What each sentence adds to the judgement of an embedding.

    The pushes of all sentences sum to ln(p / (1 - p)) of the anomaly probability p, or to the
    cosine that is the region's score.
    """

    unit: Literal["log-odds", "cosine"]
    pushes: Callable[[Float[Tensor, "b r d"]], Float[Tensor, "b r n"]]


@dataclass(frozen=True, slots=True)
class Attribution:
    """How the scores of a batch came about."""

    addends: tuple[Addend, ...]
    judged: tuple[Judged, ...]
    """All regions that were judged, whether they entered the image score or only the map."""
    voices: Voices | None = None


@runtime_checkable
class HasAttribution(Protocol):
    """A scorer that can say what its scores are made of; ``vlmad explain`` asks."""

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Take the score of the same features, text and memory apart."""


def pooled_attribution(
    features: Features, text: TextEmbeddings, pooling: Pooling, temperature: float
) -> Attribution:
    """Take a score apart that is the class token's probability alone; see `pooled_voices`."""
    sides = pool_sides(text, pooling)
    score = anomaly_probability(features.image[:, None], sides, temperature)[:, 0]
    judged = tuple(
        Judged(regions, "text", anomaly_probability(regions.embeddings, sides, temperature))
        for regions in features.aligned
    )
    voices = pooled_voices(text, pooling, temperature)
    return Attribution((Addend("text", 1.0, score),), judged, voices)


def pooled_voices(text: TextEmbeddings, pooling: Pooling, temperature: float) -> Voices:
    """Return the voices of sentences that are pooled by side, under a softmax of two sides.

    The cosine of x to a side of n sentences e_i with mean m is a sum, c_i = x . e_i / (n |m|).
    With the middle b of both cosines, an anomalous sentence pushes by (c_i - b/n) / temperature,
    a normal one by the negative of it: together the log-odds of `anomaly_probability`.
    """
    vectors = text.embeddings
    if pooling == "mean":
        vectors = vectors * text.norms[..., None]
    lengths = pool_sides(text, pooling).norm(dim=-1)  # (*b, 2): normal, anomalous
    side = text.anomalous.long()
    counts = torch.bincount(side, minlength=2)[side]
    vectors = vectors / (counts * lengths[..., side])[..., None]
    signs = torch.where(text.anomalous, 1.0, -1.0).to(vectors)

    def pushes(embeddings: Float[Tensor, "b r d"]) -> Float[Tensor, "b r n"]:
        parts = F.normalize(embeddings, dim=-1) @ vectors.transpose(-1, -2)
        middle = parts.sum(-1, keepdim=True) / 2
        pushes: Tensor = signs * (parts - middle / counts) / temperature
        return pushes

    return Voices("log-odds", pushes)
