"""APRIL-GAN's scorers: by text and, with references, by distances of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt

from vlmad import Prediction, Scorer
from vlmad.errors import WeightsError
from vlmad.parts import CLASS_TOKEN, PATCHES, TEXT
from vlmad.text import anomaly_probability, pool_sides
from vlmad_aprilgan.layer_maps import layer_maps, to_aligned_pixels
from vlmad_attribution.attribution import Addend, Attribution, Judged, pooled_attribution

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import BackboneSpec, Features, Regions, TextEmbeddings

NEARLY = 1e-3
"""How far the length of a unit embedding is from 1 at most."""


class ProjectedScorer(Scorer):
    """The class token's probability, and the patches' summed over layers (APRIL-GAN).

    With references, the distance of each patch, as it was before its map, to the nearest patch of
    theirs is added to the map, summed over layers, and the map's highest pixel to the score.

    Args:
        temperature: of the softmax over the two sides.
        pooling: how a side's sentences become one: mean (of raw embeddings) or unit-mean.
    """

    needs = frozenset({CLASS_TOKEN, PATCHES, TEXT})
    references: Literal["none", "optional", "required"] = "optional"
    adds_exactly = True

    def __init__(
        self,
        temperature: Annotated[float, Gt(0)] = 0.01,
        pooling: Literal["mean", "unit-mean"] = "unit-mean",
    ) -> None:
        self.temperature, self.pooling = temperature, pooling

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember the unit patches of all references, by layer."""
        return {
            regions.name: F.normalize(regions.embeddings.float().flatten(0, 1), dim=-1)
            for regions in compared(references)
        }

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Join the patches, those before first."""
        return {name: torch.cat([kept, more[name]]) for name, kept in memory.items()}

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensor is no list of unit patches of the backbone's."""
        widths = (spec.vision_width, spec.embedding_dim)
        for name, kept in memory.items():
            if kept.dtype != torch.float32 or kept.ndim != 2 or kept.shape[1] not in widths:
                return f"'{name}' is no list of patches of the backbone's width, in float32"
            if not len(kept) or not bool(((kept.norm(dim=-1) - 1).abs() < NEARLY).all()):
                return f"'{name}' holds what are no unit embeddings"
        return None

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by text and, if there is a memory, by references."""
        score, heat = self.judge(features, text, memory)
        return Prediction(score if memory is None else score + heat.amax((1, 2)), heat)

    def judge(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b h w"]]:
        """Return the class token's probability and the map."""
        assert text is not None
        sides, size = pool_sides(text, self.pooling), features.image_size
        score = anomaly_probability(features.image[:, None], sides, self.temperature)[:, 0]
        heat = [
            layer_maps(each.embeddings, sides, features.grid, size, self.temperature)[:, 1]
            for each in features.aligned
        ]
        for regions in compared(features) if memory is not None else ():
            cells = reference_distances(regions, memory or {})[0].unflatten(1, features.grid)
            heat.append(to_aligned_pixels(cells[:, None], size)[:, 0])
        return score, torch.stack(heat).sum(0)

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the class token's probability and, with a memory, the map's highest pixel."""
        assert text is not None
        by_text = pooled_attribution(features, text, self.pooling, self.temperature)
        if memory is None:
            return by_text
        judged = [
            Judged(regions, "references", *reference_distances(regions, memory))
            for regions in compared(features)
        ]
        heat = self.judge(features, text, memory)[1]
        cells = F.adaptive_avg_pool2d(heat[:, None], features.grid)[:, 0]
        levels = (*by_text.judged, *judged)
        highest = Addend("map", 1.0, heat.amax((1, 2)), levels, "smoothed", cells)
        return Attribution((*by_text.addends, highest), levels, by_text.voices)


class ScaledScorer(ProjectedScorer):
    """APRIL-GAN's few-shot score: the mean of the class token's and the map's highest pixel.

    The latter is scaled to 0 to 1 over all images of the set, so that every score depends on the
    others: no threshold holds for another set. As APRIL-GAN was evaluated.

    Args:
        temperature: of the softmax over the two sides.
        pooling: how a side's sentences become one: mean (of raw embeddings) or unit-mean.
    """

    references = "required"
    scope = "set"

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score images among themselves."""
        return next(self.score_set([features], text, memory))

    def score_set(
        self,
        images: Sequence[Features],
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Iterator[Prediction]:
        """Find the highest pixel of each, then make each map again and yield it."""
        highest = [self.judge(each, text, memory)[1].amax((1, 2)) for each in images]
        lowest, most = torch.cat(highest).aminmax()
        for features, own in zip(images, highest, strict=True):
            score, heat = self.judge(features, text, memory)
            scaled = (own - lowest) / (most - lowest).clamp_min(torch.finfo(own.dtype).tiny)
            yield Prediction((score + scaled) / 2, heat)

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Take the score apart as without scaling, and tell what scaling makes of it."""
        apart = super().attribute(features, text, memory)
        difference = self(features, text, memory).score - sum(each.value for each in apart.addends)
        return Attribution(
            (*apart.addends, Addend("map", 1.0, difference)), apart.judged, apart.voices
        )


def compared(features: Features) -> list[Regions]:
    """Return the patches as they were or, of extractors that give only these, those for text."""
    plain = [regions for regions in features.regions if not regions.aligned]
    return plain or [*features.regions]


def reference_distances(
    regions: Regions, memory: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "b p"], Int[Tensor, "b p"]]:
    """Return 1 - the largest cosine of each patch to those remembered, and to which."""
    kept = memory.get(regions.name)
    if kept is None or kept.shape[1] != regions.embeddings.shape[-1]:
        raise WeightsError(f"the references' memory is not of '{regions.name}'; fit it anew")
    units = F.normalize(regions.embeddings.float(), dim=-1)
    nearest = [(image @ kept.T).max(-1) for image in units]  # one by one, since kept may be long
    distances = 1 - torch.stack([each.values for each in nearest])
    return distances, torch.stack([each.indices for each in nearest])
