"""A plugin whose parts resemble none of the built-in methods, to prove the interfaces.

A backbone that knows no text, a scorer that needs references, prompts that look at the image,
and a scorer over the whole set of images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F

from vlmad import (
    Attention,
    Backbone,
    BackboneSpec,
    ClassToken,
    Features,
    ImageBatch,
    Prediction,
    Preprocessing,
    Prompts,
    Request,
    Scorer,
    TextEmbeddings,
    VisualFeatures,
    hookimpl,
)
from vlmad.parts import PATCH_TOKENS, PATCHES, REGIONS
from vlmad.regions import mean_map, upsample
from vlmad.text import embed_sides

GRID, SIZE = (8, 8), (64, 64)


class ColourMoments(Backbone):
    """Mean and deviation of each patch's colours: an image model without any text."""

    spec = BackboneSpec(
        name="colour-moments",
        preprocessing=Preprocessing(SIZE, (0.5,) * 3, (0.5,) * 3),
        grid=GRID,
        depth=1,
        vision_width=6,
        embedding_dim=6,
        provides=frozenset({PATCH_TOKENS}),
    )
    weights_hash = "0" * 64  # it has no weights

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer with moments over patches, or over the image for the class token."""
        pixels = batch.pixels(self.spec.preprocessing)
        blocks = F.unfold(pixels, 8, stride=8).unflatten(1, (3, 64))  # b c 64 p
        moments = torch.cat([blocks.mean(2), blocks.std(2)], dim=1).transpose(1, 2)
        image = moments.mean(1)
        answers = {r: image if isinstance(r, ClassToken) else moments for r in requests}
        return VisualFeatures(answers, GRID, SIZE)

    def encode_text(self, prompts: Any) -> Any:
        """Refuse: it does not list a text encoder in what it provides."""
        raise NotImplementedError


class Closest(Scorer):
    """The distance of each patch to the nearest one of the references."""

    needs = frozenset({PATCHES})
    references: Literal["required"] = "required"

    def fit(self, references: Features) -> Mapping[str, torch.Tensor]:
        """Remember all patches."""
        return {r.name: r.embeddings.flatten(0, 1) for r in references.regions}

    def __call__(self, features: Features, text: Any, memory: Any) -> Prediction:
        """Score by the largest distance."""
        regions = features.regions[0]
        distances = torch.cdist(regions.embeddings, memory[regions.name]).amin(-1)
        grid_map = mean_map(distances, regions.cells, features.grid)
        return Prediction(grid_map.amax((1, 2)), upsample(grid_map, features.image_size))


class Conditioned(Prompts):
    """Sentences whose embeddings are drawn a little towards each image (as in CoCoOp).

    Args:
        pull: how much, 0 to 1.
    """

    looks_at_image = True

    def __init__(self, pull: float = 0.2) -> None:
        self.pull = pull

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Return one set of embeddings for each image."""
        assert features is not None
        plain = embed_sides(backbone, [f"a {class_name}"], [f"a damaged {class_name}"])
        image = F.normalize(features.image, dim=-1)[:, None]
        mixed = (1 - self.pull) * plain.embeddings + self.pull * image
        return TextEmbeddings.of(mixed, (False, True), plain.sentences)


class Peers(Scorer):
    """Each patch's distance to the most similar patch of every other image (as in MuSc)."""

    needs = frozenset({REGIONS})
    scope: Literal["set"] = "set"

    def __call__(self, features: Features, text: Any, memory: Any) -> Prediction:
        """Score all images against each other."""
        regions = features.regions[0]
        units = F.normalize(regions.embeddings, dim=-1)
        maps = []
        for index in range(len(features)):
            others = torch.cat([units[:index], units[index + 1 :]])
            distances = 1 - torch.einsum("rd,osd->ors", units[index], others).amax(-1)
            maps.append(distances.mean(0) if len(others) else torch.zeros(units.shape[1]))
        grid_map = mean_map(torch.stack(maps), regions.cells, features.grid)
        return Prediction(grid_map.amax((1, 2)), upsample(grid_map, features.image_size))


@hookimpl
def register_backbones(register: Any) -> None:
    """Register `colour-moments`."""
    register("colour-moments", ColourMoments, "moments of colours, no text")


@hookimpl
def register_prompts(register: Any) -> None:
    """Register `conditioned`."""
    register("conditioned", "odd_parts:Conditioned", "sentences that look at the image")


@hookimpl
def register_scorers(register: Any) -> None:
    """Register `closest` and `peers`."""
    register("closest", Closest)
    register("peers", Peers)
