"""WinCLIP's scorer, with and without references."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt

from vlmad import Prediction, Scorer
from vlmad.errors import WeightsError
from vlmad.regions import harmonic_map, harmonic_mean, upsample
from vlmad.text import anomaly_probability, pool_sides
from vlmad_attribution.attribution import Addend, Attribution, Judged, pooled_attribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import BackboneSpec, Features, Regions, TextEmbeddings


FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
NEARLY = 0.02
"""How far the length of a unit embedding is from 1 at most, in the coarsest of these."""


class Harmonic(Scorer):
    """WinCLIP (section 4): harmonic means over windows, scales and the whole image.

    The image score is the whole image's probability of the anomalous side; the map is the
    harmonic mean of that probability over all windows that cover a patch, over scales, and
    with the whole image's. With references (WinCLIP+, section 4.3) half of the score is the
    largest distance to them, and half of the map the mean distance over the scales.

    Args:
        temperature: of the softmax over the two sides; 0.07 (anomalib), 0.01 (others).
        pooling: how a side's sentences become one: mean (of raw embeddings, as anomalib)
            or unit-mean (of unit embeddings).
        full_image: whether the whole image's score enters the map.
    """

    references = "optional"
    adds_exactly = True

    def __init__(
        self,
        temperature: Annotated[float, Gt(0)] = 0.07,
        pooling: Literal["mean", "unit-mean"] = "mean",
        full_image: bool = True,
    ) -> None:
        self.temperature = temperature
        self.pooling, self.full_image = pooling, full_image

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember the unit embeddings of all regions of all references, by scale."""
        return {
            regions.name: F.normalize(regions.embeddings.flatten(0, 1), dim=-1)
            for regions in references.regions
        }

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Join the embeddings, those before first."""
        return {name: torch.cat([kept, more[name]]) for name, kept in memory.items()}

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensor is no list of unit embeddings of the backbone's."""
        widths = {spec.embedding_dim, spec.vision_width}
        for name, kept in memory.items():
            if kept.dtype not in FLOATING or kept.ndim != 2 or kept.shape[1] not in widths:
                kind = str(kept.dtype).removeprefix("torch.")
                shapes = " or ".join(f"(regions, {width})" for width in sorted(widths))
                return f"'{name}' is {kind} {tuple(kept.shape)}, not floating-point {shapes}"
            lengths = kept.float().norm(dim=-1)
            if not len(kept) or not bool(((lengths - 1).abs() < NEARLY).all()):
                return f"'{name}' holds what are no unit embeddings"
        return None

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by text and, if there is a memory, by references."""
        assert text is not None
        sides = pool_sides(text, self.pooling)
        score = anomaly_probability(features.image[:, None], sides, self.temperature)[:, 0]
        grid_map = self._text_map(features, sides, score)
        if memory is not None:
            distances = torch.stack(
                [reference_map(regions, memory, features.grid) for regions in features.regions]
            ).mean(0)
            score = (score + distances.amax((1, 2))) / 2
            grid_map = (grid_map + distances) / 2
        return Prediction(score, upsample(grid_map, features.image_size))

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the class token's probability and, with a memory, the largest distance."""
        assert text is not None
        by_text = pooled_attribution(features, text, self.pooling, self.temperature)
        if memory is None:
            return by_text
        compared = []
        for regions in features.regions:
            distances, nearest = reference_distances(regions, memory)
            compared.append(Judged(regions, "references", distances, nearest))
        farthest = Addend.highest("references", 0.5, compared, "harmonic", features.grid)
        halved = replace(by_text.addends[0], weight=0.5)
        return Attribution((halved, farthest), (*by_text.judged, *compared), by_text.voices)

    def _text_map(
        self, features: Features, sides: Float[Tensor, "*b 2 d"], score: Float[Tensor, " b"]
    ) -> Float[Tensor, "b gh gw"]:
        """Fuse the scales and the whole image (equations 4 and 5 of the paper)."""
        maps = []
        for regions in features.aligned:
            scores = anomaly_probability(regions.embeddings, sides, self.temperature)
            maps.append(harmonic_map(scores, regions.cells, features.grid))
        if self.full_image:
            maps.append(score[:, None, None].expand_as(maps[0]))
        return harmonic_mean(torch.stack(maps))


def reference_distances(
    regions: Regions, memory: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "b r"], Int[Tensor, "b r"]]:
    """Return half the cosine distance of each region to the nearest in memory, and which it is."""
    kept = memory.get(regions.name)
    if kept is None or kept.shape[-1] != regions.embeddings.shape[-1]:
        raise WeightsError(f"the references' memory is not of '{regions.name}'; fit it anew")
    nearest = (F.normalize(regions.embeddings, dim=-1) @ kept.T).max(-1)
    return (1 - nearest.values) / 2, nearest.indices


def reference_map(
    regions: Regions, memory: Mapping[str, Tensor], grid: tuple[int, int]
) -> Float[Tensor, "b gh gw"]:
    """Return the distances of `reference_distances` as a map."""
    return harmonic_map(reference_distances(regions, memory)[0], regions.cells, grid)
