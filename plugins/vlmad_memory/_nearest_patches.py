"""The scorer of nearest reference patches."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Interval, Le, Len

from vlmad import Prediction, Scorer, View
from vlmad.errors import OptionError
from vlmad.parts import CELLS
from vlmad.regions import inside_regions, only_inside
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_memory.coreset import (
    coreset_size,
    farthest_first,
    merged_and_reduced,
    random_projection,
)
from vlmad_memory.foreground import foreground
from vlmad_memory.image_scores import mean_of_top, top_places
from vlmad_memory.patch_memory import IMAGES, PatchMemory, refused
from vlmad_memory.patch_search import PatchSearch
from vlmad_memory.reweighting import novelty_weight
from vlmad_memory.smoothing import SIGMAS, Border, Interpolation, to_pixels
from vlmad_memory.whitening import whitening_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from vlmad import BackboneSpec, Features, Regions, TextEmbeddings


class NearestPatches(Scorer):
    """The distance of every cell to the nearest cell of all references.

    Args:
        distance: cosine (1 - cosine), euclidean, or squared.
        neighbours: over how many of the nearest the distance is averaged (euclidean: its square).
        whitening: the share of a round covariance in the one by which cells are whitened; none
            whitens nothing.
        variance: the share of their variance that is kept when they are, by principal components.
        coreset: what is kept of the cells: a share up to 1, above it a number; chosen greedily,
            each next one the farthest from those chosen.
        merge: after how many references the coreset is made, of those and then of coresets, as of
            a stream; by default of all at once.
        seed: of the coreset's start and of the random projection under which it is chosen.
        reweighting: by how many of the memory's own neighbours of the nearest patch the image
            score is re-weighted (PatchCore); 1 is not at all.
        radius: how many rows and columns away a reference's cell may be; none is anywhere.
        images: only with the cells of so many references is compared, those most like the image.
        turns: in how many positions of a full turn references are remembered.
        mirrored: whether they are mirrored, too.
        foreground: of which images cells count only on the object, which is where their first
            principal component is above a threshold: none, queries, references, or both.
        foreground_threshold: that one, by default of DINOv2's features (AnomalyDINO).
        level_weights: what each level counts in the mean; by default all the same.
        top: the share of the highest whose mean is the image score; 0 is the maximum alone.
        score_of: whether the image score is made of cells or of the smooth map's pixels.
        sigma: of the Gaussian over the map, in pixels; by default a sixtieth of its side.
        taps: how many pixels it reaches to each side; by default four sigma.
        border: how the map goes on outside: mirrored without its edge (reflect), or with.
        interpolation: between the cells of the map.
    """

    needs = frozenset({CELLS})
    references = "required"
    honours_inside = True
    odd_reference = 1.4

    def __init__(
        self,
        distance: Literal["cosine", "euclidean", "squared"] = "cosine",
        neighbours: Annotated[int, Ge(1), Le(1000)] = 1,
        whitening: Annotated[float, Gt(0), Le(1)] | None = None,
        variance: Annotated[float, Gt(0), Le(1)] = 1.0,
        coreset: Annotated[float, Gt(0)] = 1.0,
        merge: Annotated[int, Ge(1)] | None = None,
        seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0,
        reweighting: Annotated[int, Ge(1), Le(1000)] = 1,
        radius: Annotated[int, Ge(0)] | None = None,
        images: Annotated[int, Ge(1)] | None = None,
        turns: Annotated[int, Ge(1), Le(360)] = 1,
        mirrored: bool = False,
        foreground: Literal["none", "queries", "references", "both"] = "none",
        foreground_threshold: Annotated[float, Interval(ge=-1e6, le=1e6)] = 10.0,
        level_weights: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1, 64)] | None = None,
        top: Annotated[float, Ge(0), Le(1)] = 0.01,
        score_of: Literal["cells", "pixels"] = "cells",
        sigma: Annotated[float, Ge(0), Le(1000)] | None = None,
        taps: Annotated[int, Ge(1), Le(4000)] | None = None,
        border: Border = "reflect",
        interpolation: Interpolation = "bilinear",
    ) -> None:
        if reweighting > 1 and (top > 0 or score_of == "pixels"):
            raise OptionError("re-weighting is of the highest cell: set top=0, score_of=cells")
        if variance < 1 and whitening is None:
            raise OptionError("variance is what whitening keeps: set whitening, too")
        self.distance, self.neighbours = distance, neighbours
        self.whitening, self.variance = whitening, variance
        self.coreset, self.merge, self.seed = coreset, merge, seed
        self.reweighting, self.radius, self.images = reweighting, radius, images
        self.turns, self.mirrored = turns, mirrored
        self.foreground, self.foreground_threshold = foreground, foreground_threshold
        self.level_weights, self.top, self.score_of = level_weights, top, score_of
        self.sigma, self.taps, self.border, self.interpolation = sigma, taps, border, interpolation
        if whitening is None:  # whitened cells cannot be added to: their measure would change
            self.adds_exactly = coreset == 1

    def views(self, references: int) -> Sequence[View]:
        """Turn and mirror each reference."""
        degrees = [360 * turn / self.turns for turn in range(self.turns)]
        mirrored = (False, True) if self.mirrored else (False,)
        return [View(d, m) for m, d in product(mirrored, degrees) if d or m]

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Remember the cells of each level, or a coreset of them, and the images themselves."""
        memory = {IMAGES: references.image.float()}
        for regions in references.regions:
            memory |= self._remembered(references, regions).stored(regions.name)
        return memory

    def _remembered(self, references: Features, regions: Regions) -> PatchMemory:
        counting = self._counting(references, regions, "references")
        origins = counting.nonzero() if counting.any() else torch.ones_like(counting).nonzero()
        rows = regions.embeddings.float()[tuple(origins.T)]
        whitening = None
        if self.whitening is not None:
            whitening = whitening_of(rows, self.whitening, self.variance)
            rows = whitening(rows)
        rows = self._comparable(rows)
        kept = self._chosen(rows, origins[:, 0])
        return PatchMemory(rows[kept], origins[kept], whitening)

    def _comparable(self, rows: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return F.normalize(rows, dim=-1) if self.distance == "cosine" else rows

    def _chosen(
        self, rows: Float[Tensor, "m d"], images: Int[Tensor, " m"]
    ) -> Int[Tensor, " k"] | slice:
        count = coreset_size(self.coreset, len(rows))
        if count == len(rows):
            return slice(None)
        if self.merge is not None:
            batches = [(images // self.merge == batch) for batch in (images // self.merge).unique()]
            return merged_and_reduced(rows, [b.nonzero()[:, 0] for b in batches], count, count)
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(rows), (1,), generator=generator))
        projection = random_projection(len(rows), rows.shape[1], self.seed)
        narrow = rows if projection is None else rows @ projection.to(rows).T
        return farthest_first(narrow, count, start)

    def _counting(self, features: Features, regions: Regions, whose: str) -> Bool[Tensor, "b r"]:
        """Return which cells lie inside of what counts, and on the object where that is asked."""
        inside = inside_regions(features, regions)
        counting = torch.ones_like(regions.embeddings[..., 0], dtype=torch.bool)
        counting = counting if inside is None else inside
        if self.foreground in (whose, "both"):
            grid = regions.grid or features.grid
            cells, mask = regions.embeddings.unflatten(1, grid), counting.unflatten(1, grid)
            counting = counting & foreground(cells, self.foreground_threshold, mask).flatten(1)
        return counting

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Join the cells; those of two coresets of a number become one of that number."""
        joined = {IMAGES: torch.cat([memory[IMAGES], more[IMAGES]])}
        for name in [each.removesuffix(".rows") for each in memory if each.endswith(".rows")]:
            one, other = PatchMemory.read(memory, name), PatchMemory.read(more, name)
            shift = torch.tensor([len(memory[IMAGES]), 0], device=other.origins.device)
            both = PatchMemory(
                torch.cat([one.rows, other.rows]), torch.cat([one.origins, other.origins + shift])
            )
            if self.coreset > 1 and len(both.rows) > self.coreset:
                kept = farthest_first(both.rows, round(self.coreset))
                both = replace(both, rows=both.rows[kept], origins=both.origins[kept])
            joined |= both.stored(name)
        return joined

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return which tensors are no remembered cells."""
        return refused(memory, self.distance == "cosine", self.whitening is not None)

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the distances of the highest cells, mean over levels."""
        assert memory is not None
        levels = self._judged(features, memory)
        cells, heat = self._cells(features, levels), self._heat(features, levels)
        value = mean_of_top(cells if self.score_of == "cells" else heat, self.top)
        return Prediction(self._weight(features, memory, levels, cells) * value, heat)

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Name the highest cells, and of each cell the nearest one of the references."""
        assert memory is not None
        levels = self._judged(features, memory)
        cells = self._cells(features, levels)
        weight = self._weight(features, memory, levels, cells)
        if self.score_of == "pixels":
            cells = self._heat(features, levels)
        mean: Literal["arithmetic", "smoothed"]
        mean = "arithmetic" if self.score_of == "cells" else "smoothed"
        count, value = top_places(cells, self.top).shape[1], mean_of_top(cells, self.top)
        addend = Addend("references", weight, value, tuple(levels), mean, cells, count)
        return Attribution((addend,), tuple(levels))

    def _judged(self, features: Features, memory: Mapping[str, Tensor]) -> list[Judged]:
        """Return how far each cell is from the nearest one of the references, level by level."""
        weights = self.level_weights or (1.0,) * len(features.regions)
        if len(weights) != len(features.regions):
            raise OptionError(f"{len(weights)} level_weights for {len(features.regions)} levels")
        images = None
        if self.images is not None and self.images < len(memory[IMAGES]):
            own, others = F.normalize(features.image.float(), dim=1), F.normalize(memory[IMAGES])
            images = (own @ others.T).topk(self.images).indices
        judged = []
        for weight, regions in zip(weights, features.regions, strict=True):
            remembered = PatchMemory.for_level(memory, regions)
            search = PatchSearch(remembered, regions.grid or features.grid, self.radius, images)
            squared, nearest = search(self._queries(regions, remembered), self.neighbours)
            values = self._distance(squared) * weight * len(weights) / sum(weights)
            if self.foreground in ("queries", "both"):
                values = values.where(self._counting(features, regions, "queries"), 0)
            values = only_inside(values, inside_regions(features, regions))
            judged.append(Judged(regions, "references", values, nearest))
        return judged

    def _queries(self, regions: Regions, remembered: PatchMemory) -> Float[Tensor, "b r d"]:
        rows = regions.embeddings.float()
        whitening = remembered.whitening
        return self._comparable(rows if whitening is None else whitening(rows))

    def _distance(self, squared: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        if self.distance == "euclidean":
            return squared.sqrt()
        return squared / 2 if self.distance == "cosine" else squared

    def _cells(self, features: Features, levels: Sequence[Judged]) -> Float[Tensor, "b gh gw"]:
        """Return the mean over levels on the finest grid, of the cells that cover each there."""
        grids = [level.regions.grid or features.grid for level in levels]
        finest = max(grids, key=math.prod)
        maps = [level.values.unflatten(1, g) for level, g in zip(levels, grids, strict=True)]
        brought = [F.interpolate(m[:, None], finest, mode="nearest-exact")[:, 0] for m in maps]
        return torch.stack(brought).mean(0)

    def _heat(self, features: Features, levels: Sequence[Judged]) -> Float[Tensor, "b h w"]:
        size = features.image_size
        sigma = min(size) / SIGMAS if self.sigma is None else self.sigma
        maps = [level.values.unflatten(1, level.regions.grid or features.grid) for level in levels]
        drawn = [
            to_pixels(cells, size, sigma, self.taps, self.border, self.interpolation)
            for cells in maps
        ]
        return torch.stack(drawn).mean(0)

    def _weight(
        self,
        features: Features,
        memory: Mapping[str, Tensor],
        levels: Sequence[Judged],
        cells: Float[Tensor, "b gh gw"],
    ) -> float | Float[Tensor, " b"]:
        """Return by what the highest cell is re-weighted: the mean over levels."""
        if self.reweighting == 1:
            return 1.0
        place, (rows, columns) = cells.flatten(1).argmax(1), cells.shape[1:]
        each, weights = torch.arange(len(cells), device=cells.device), []
        for level in levels:
            gh, gw = level.regions.grid or features.grid
            down = (2 * (place // columns) + 1) * gh // (2 * rows)
            across = (2 * (place % columns) + 1) * gw // (2 * columns)
            remembered = PatchMemory.for_level(memory, level.regions)
            query = self._queries(level.regions, remembered)[each, down * gw + across]
            reweighting = (self.reweighting, self._distance)
            weights.append(novelty_weight(query, remembered.rows, *reweighting))
        return torch.stack(weights).mean(0)
