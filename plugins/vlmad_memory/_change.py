"""The scorer that joins a rule with a network which learned on drawn products what a defect is."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Le

from vlmad import Prediction, Scorer
from vlmad.parts import CELLS
from vlmad.regions import inside_regions, only_inside
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_memory._gaussian import Gaussian
from vlmad_memory._rarity import Rarity
from vlmad_memory.cell_grids import to_grid
from vlmad_memory.comparison_channels import ImageCells, all_channels, picked
from vlmad_memory.comparison_network import load_network
from vlmad_memory.image_scores import power_mean
from vlmad_memory.once import OncePerTensor
from vlmad_memory.one_texture import is_one_texture
from vlmad_memory.pooled_gaussian import as_they_are
from vlmad_memory.smoothing import SIGMAS, to_pixels
from vlmad_memory.whole_picture import WholePicture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import BackboneSpec, Features, TextEmbeddings, View
    from vlmad_attribution.attribution import Judge

NETWORK = Path(__file__).parent / "weights" / "comparison.safetensors"
"""What examples/weights/comparison.py makes."""
LEVELS = ("middle", "deep")
CLOSER = "-closer"
"""What a backbone calls levels after it that look at a larger image."""
REMEMBERED = 24
"""Images, or tiles of some, whose cells are remembered; Gaussians take all."""
POWER, POWER_ALONE = 32, 6


class LearnedChange(Scorer):
    """What changed: beside references, or within each image where there are none.

    The rule of `gaussian`, or without references that of `rarity`, times the exponential of
    `weight` times the log-odds of a network, cell by cell; with three references or more, the score
    also counts whether the image is another one as a whole. The network sees nothing but distances
    at the first and the last of the rule's levels.

    Args:
        weight: of the network's log-odds in the image score, beside the logarithm of the rule; 0
            leaves it out.
        map_weight: likewise in the map.
        whole: of how far an image lies from three references or more as a whole
            (`vlmad_memory.whole_picture`); of images cut into tiles each tile is one.
        beside: the references most like an image with which the network compares it.
        sigma: of the Gaussian over the map, in pixels; by default a sixtieth of its side.
    """

    needs = frozenset({CELLS})
    references = "optional"
    adds_exactly = honours_inside = learns_misses = True
    odd_reference = 1.45
    scores_revision = 3

    def __init__(
        self,
        weight: Annotated[float, Ge(0)] = 0.03,
        map_weight: Annotated[float, Ge(0)] = 0.06,
        whole: Annotated[float, Ge(0)] = 1.0,
        beside: Annotated[int, Ge(1), Le(REMEMBERED)] = 2,
        sigma: Annotated[float, Ge(0)] | None = None,
    ) -> None:
        self.weight, self.map_weight, self.whole = weight, map_weight, whole
        self.beside, self.sigma = beside, sigma
        self.rule, self.alone = Gaussian(), Rarity()
        self._remembered = OncePerTensor[list[ImageCells]]()
        self._usual = OncePerTensor[WholePicture]()

    @cached_property
    @torch.inference_mode(False)
    def network(self) -> torch.nn.Module:
        """The trained network; its file is read when the first image is scored."""
        return load_network(NETWORK)

    def notes_on(self, spec: BackboneSpec) -> Iterable[str]:
        """Say on another backbone that the network was not trained on it."""
        if spec.name != "tiny":
            yield f"its network learned on levels of 'tiny', not of '{spec.name}'"

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember what the rule does, and the cells of the first references as they are."""
        first = as_they_are(references).nonzero()[:REMEMBERED, 0]
        levels = zip(LEVELS, _where_it_counts(references), strict=True)
        cells = {name: grids[first].half().contiguous() for name, grids in levels}
        return {**self.rule.fit(references), **cells}

    def views(self, references: int) -> Sequence[View]:
        """Turn and mirror few references, for the rule."""
        return self.rule.views(references)

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Add what the rule adds, and join cells."""
        (cells, rule), (others, added) = map(_cells_and_rule, (memory, more))
        joined = {k: torch.cat([cells[k], others[k]])[:REMEMBERED] for k in LEVELS}
        return {**self.rule.add(rule, added), **joined}

    def learn_miss(self, memory: Mapping[str, Tensor], miss: Features) -> Mapping[str, Tensor]:
        """Let the rule remember in what the most unusual cells differ."""
        cells, rule = _cells_and_rule(memory)
        return {**self.rule.learn_miss(rule, miss), **cells}

    def closer_levels(
        self, memory: Mapping[str, Tensor], spec: BackboneSpec, references: int
    ) -> tuple[str, ...]:
        """Return those of a larger image where so many references, not in tiles, are one texture.

        They are none beyond `REMEMBERED` of them, where larger images would cost too much.
        """
        closer = tuple(name + CLOSER for name in spec.middle)
        whole = len(memory["middle"]) == references
        known = whole and spec.levels.keys() >= set(closer)
        return closer if known and is_one_texture(memory["middle"].float()) else ()

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensors are none of the rule, or no cells of two levels."""
        cells, rule = _cells_and_rule(memory)
        if set(cells) != set(LEVELS):
            return f"it does not hold the cells of {', '.join(LEVELS)}"
        middle, deep = (cells[name].shape for name in LEVELS)
        known = all(len(shape) == 4 and 0 not in shape for shape in (middle, deep))
        if not known or deep[:3] != middle[:3] or middle[0] > REMEMBERED:
            return "its cells are not those of the same references at two levels"
        if any(t.dtype != torch.float16 or not t.isfinite().all() for t in cells.values()):
            return "its cells are not finite numbers of half precision"
        return self.rule.refuses_memory(rule, spec)

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by a power mean over cells."""
        cells, heat = self._cells(features, memory)
        sigma = min(features.image_size) / SIGMAS if self.sigma is None else self.sigma
        return Prediction(
            power_mean(cells, _power(memory)), to_pixels(heat, features.image_size, sigma)
        )

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the cells that decide, as the rule and the network together have them."""
        cells, _ = self._cells(features, memory)
        by: Judge = "references" if memory else "image"
        judged = Judged(features.regions[0], by, cells.flatten(1))
        whole = Addend(by, 1.0, power_mean(cells, _power(memory)), (judged,), "joined", cells)
        return Attribution((whole,), (judged,))

    def _cells(
        self, features: Features, memory: Mapping[str, Tensor] | None
    ) -> tuple[Float[Tensor, "b gh gw"], Float[Tensor, "b gh gw"]]:
        """Return what the score is made of, and what the map is."""
        levels = _where_it_counts(features)
        remembered = _cells_and_rule(memory)[1] if memory else None
        rule = self.rule.cells(features, remembered) if remembered else self.alone.cells(features)
        odds = self._odds(levels, memory).to(rule)
        score, heat = (_joined(features, rule, w * odds) for w in (self.weight, self.map_weight))
        return score * self._changed(levels, memory), heat

    def _changed(
        self, levels: Sequence[Float[Tensor, "b h w c"]], memory: Mapping[str, Tensor] | None
    ) -> Float[Tensor, "b 1 1"]:
        """Return by what the cells of an image are multiplied that differs as a whole."""
        if not memory:
            return levels[0].new_ones(len(levels[0]), 1, 1)
        usual = self._usual(memory["middle"], partial(_usual, memory, levels[0]))
        return (self.whole * usual.departures(levels)).exp()[:, None, None]

    def _odds(
        self, levels: Sequence[Float[Tensor, "b h w c"]], memory: Mapping[str, Tensor] | None
    ) -> Float[Tensor, "b r"]:
        """Return the network's log-odds of all cells, image by image: products round by shape."""
        kept = [memory[name] for name in LEVELS] if memory else []
        references = self._remembered(kept[0], partial(_images, kept)) if kept else []
        return torch.stack([self._odds_of(image, references) for image in _images(levels)])

    def _odds_of(self, image: ImageCells, references: Sequence[ImageCells]) -> Float[Tensor, " r"]:
        beside = _most_like(image, references, self.beside) if references else []
        channels = all_channels(image, beside)
        odds: Tensor = self.network(channels[None], torch.tensor([len(beside)]))
        return odds[0].flatten()


def _joined(
    features: Features, rule: Float[Tensor, "b gh gw"], odds: Float[Tensor, "b r"]
) -> Float[Tensor, "b gh gw"]:
    """Multiply the rule's cells by the exponential of the network's weighed odds."""
    joined = rule.flatten(1) * odds.exp()
    return only_inside(joined, inside_regions(features, features.regions[0])).view(rule.shape)


def _usual(memory: Mapping[str, Tensor], like: Tensor) -> WholePicture:
    return WholePicture([memory[name].to(like) for name in LEVELS])


def _power(memory: Mapping[str, Tensor] | None) -> float:
    return POWER if memory else POWER_ALONE


def _images(levels: Sequence[Float[Tensor, "b h w c"]]) -> list[ImageCells]:
    """Return the cells of each image, on the processor, where all numbers are the same."""
    on_processor = [each.float().cpu() for each in levels]
    return [ImageCells(*cells) for cells in zip(*on_processor, strict=True)]


def _most_like(image: ImageCells, references: Sequence[ImageCells], count: int) -> list[ImageCells]:
    """Return so many references, the one with the most similar mean cell first."""
    means = torch.stack([each.mean for each in references])
    cosines = torch.cosine_similarity(means, image.mean[None], dim=1)
    order = cosines.argsort(descending=True, stable=True)[:count]
    if torch.compiler.is_compiling():  # a graph looks nothing up in a list
        return [picked(references, number) for number in order]
    return [references[n] for n in order.tolist()]


def _where_it_counts(features: Features) -> list[Float[Tensor, "b h w c"]]:
    """Return middle and deep cells, these on the grid of those; outside are zeros."""
    found = []
    for regions in (features.regions[0], features.regions[-1]):
        inside = inside_regions(features, regions)
        cells = regions.embeddings if inside is None else regions.embeddings * inside[..., None]
        found.append(cells.unflatten(1, regions.grid or features.grid))
    rows, columns = found[0].shape[1:3]
    return [found[0], to_grid(found[1], (rows, columns), "bilinear")]


def _cells_and_rule(
    memory: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the remembered cells, and the rule's memory."""
    cells = {name: memory[name] for name in LEVELS if name in memory}
    return cells, {name: tensor for name, tensor in memory.items() if name not in LEVELS}
