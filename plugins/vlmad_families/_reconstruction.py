"""The scorer that learns to reconstruct good images, and scores what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from vlmad import Prediction
from vlmad.errors import InputError, OptionError
from vlmad.parts import CELLS
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_families._reconstructing import (
    CRITIC,
    NOTHING,
    REBUILDER,
    Error,
    RebuildOptions,
    Reconstructing,
    error_of,
    make_networks,
)
from vlmad_families.learned_scorer import LearnedScorer
from vlmad_families.learning import Course, FitTraining, digest_of
from vlmad_memory.image_scores import mean_of_top
from vlmad_memory.smoothing import SIGMAS, to_pixels
from vlmad_train.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Features, Regions

STATISTICS = ("mean", "deviation", "extent", "scale")
NETWORK = "network."
FLOOR = 0.3
"""Of the deviation of all channels, that of each counts as at least: some hardly ever vary."""


class Reconstruction(LearnedScorer[nn.ModuleDict]):
    """How far cells are from what an autoencoder makes of them that learned the references.

    Each level has an autoencoder of its own; the map is the mean over levels of their errors, each
    divided by its mean over the references. Pixels are taken as they are, other cells are
    standardised by the references.

    Args:
        code: channels of the bottleneck: too many reconstruct defects too.
        width: channels of the other layers.
        halvings: of a grid before the bottleneck; by default down to 16 cells to a side.
        loss: what is learned: l1, l2, ssim or cosine.
        error: by what cells are judged; critic takes the features of the adversary.
        variational: whether codes are drawn from Gaussians while it learns.
        beta: of the divergence of these from the standard one, beside the loss; both are means
            over the numbers of an image.
        adversarial: the weight of a critic on patches beside the loss; 0 has none.
        top: the share of the highest pixels whose mean is the image score; 0 is the maximum.
        sigma: of the Gaussian over the map, in pixels; by default a sixtieth of its side.
        epochs: how often all references are looked at, or 64 where there are fewer.
        batch: references in each step.
        rate: of Adam; it falls by a cosine.
        weight_decay: how strongly weights are drawn towards 0.
        budget: minutes after which it has to have learned.
        seed: of all that is drawn.
    """

    needs = frozenset({CELLS})

    def __init__(
        self,
        code: Annotated[int, Ge(1), Le(512)] = 16,
        width: Annotated[int, Ge(1), Le(512)] = 64,
        halvings: Annotated[int, Ge(0), Le(6)] | None = None,
        loss: Literal["l1", "l2", "ssim", "cosine"] = "l2",
        error: Error = "l2",
        variational: bool = False,
        beta: Annotated[float, Ge(0)] = 1.0,
        adversarial: Annotated[float, Ge(0)] = 0.0,
        top: Annotated[float, Ge(0), Le(1)] = 0.01,
        sigma: Annotated[float, Ge(0)] | None = None,
        epochs: Annotated[int, Ge(1)] = 40,
        batch: Annotated[int, Ge(1)] = 8,
        rate: Annotated[float, Gt(0)] = 1e-3,
        weight_decay: Annotated[float, Ge(0)] = 1e-5,
        budget: Annotated[float, Gt(0)] = 3.0,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if error == "critic" and not adversarial:
            raise OptionError("error critic needs one: --set scorer.adversarial=0.1")
        self.options = RebuildOptions(
            code, width, halvings, loss, variational, beta, adversarial, seed
        )
        self.error, self.top, self.sigma, self.budget = error, top, sigma, budget
        self.schedule = Schedule(
            epochs, batch, rate, (0.9, 0.999), seed, weight_decay=weight_decay, decay="cosine"
        )
        super().__init__()

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Learn to reconstruct the cells of each level."""
        with torch.inference_mode(False), torch.no_grad():
            memory: dict[str, Tensor] = {}
            levels, scaled = [], []
            for place, regions in enumerate(references.regions):
                cells = _maps(regions, references).clone()
                memory |= _statistics(place, cells, _are_pixels(regions, references))
                levels.append(cells)
                scaled.append(_scaled(place, cells, memory))
            extents = [memory[f"{place}.extent"] for place in range(len(levels))]
            lesson = Reconstructing(self.options, scaled, extents)
            digest = digest_of([self.options, self.schedule, self.budget], levels)
            course = Course("autoencoder", self.schedule, self.budget, digest)
            FitTraining(lesson, len(references), course).run()
            networks = nn.ModuleDict(lesson.networks)
            for place, cells in enumerate(scaled):
                errors = [self._errors(networks, place, c[None], memory).mean() for c in cells]
                memory[f"{place}.scale"] = torch.stack(errors).mean()[None].clamp_min(NOTHING)
            weights = networks.state_dict()
            return memory | {NETWORK + name: t.detach().clone() for name, t in weights.items()}

    def judge(
        self, features: Features, memory: Mapping[str, Tensor]
    ) -> tuple[Prediction, Attribution]:
        """Score by the highest pixels of the smooth map, and name the cells of each level."""
        judged = self._judged(features, memory)
        heat = self._map(features, judged)
        score = mean_of_top(heat, self.top)
        cells = torch.nn.functional.adaptive_max_pool2d(heat, features.grid)
        highest = Addend("references", 1.0, score, judged, "smoothed", cells)
        return Prediction(score, heat), Attribution((highest,), judged)

    def _judged(self, features: Features, memory: Mapping[str, Tensor]) -> tuple[Judged, ...]:
        networks = self.networks(memory)
        if len(networks[REBUILDER]) != len(features.regions):  # type: ignore[arg-type]
            raise InputError("it learned other levels than it is shown; fit it anew")
        levels = []
        for place, regions in enumerate(features.regions):
            cells = _scaled(place, _maps(regions, features), memory)
            errors = [self._errors(networks, place, each[None], memory) for each in cells]
            values = torch.cat(errors).flatten(1) / memory[f"{place}.scale"]
            levels.append(Judged(regions, "references", values))
        return tuple(levels)

    def _map(self, features: Features, levels: tuple[Judged, ...]) -> Float[Tensor, "b h w"]:
        size, maps = features.image_size, []
        sigma = min(size) / SIGMAS if self.sigma is None else self.sigma
        for level in levels:
            cells = level.values.unflatten(1, level.regions.grid or features.grid)
            maps.append(to_pixels(cells, size, sigma))
        return torch.stack(maps).mean(0)

    def _errors(
        self,
        networks: nn.ModuleDict,
        place: int,
        cells: Float[Tensor, "1 c h w"],
        memory: Mapping[str, Tensor],
    ) -> Float[Tensor, "1 h w"]:
        """Return the errors of an image by itself: batches would round otherwise."""
        name = str(place)
        rebuilt = networks[REBUILDER][name](cells).cells  # type: ignore[index]
        critic = networks[CRITIC][name] if CRITIC in networks else None  # type: ignore[index]
        return error_of(cells, rebuilt, self.error, memory[f"{place}.extent"], critic)

    def built(self, memory: Mapping[str, Tensor]) -> nn.ModuleDict:
        """Return an autoencoder for each level, of the memory's channels and grids."""
        _check_statistics(memory)
        weights = {k.removeprefix(NETWORK): t for k, t in memory.items() if k.startswith(NETWORK)}
        count = len([name for name in memory if name.endswith(".mean")])
        first = [weights.get(f"{REBUILDER}.{n}.first.weight") for n in range(count)]
        if not count or any(each is None or each.ndim != 4 for each in first):
            raise InputError("it does not hold an autoencoder for each level")
        halvings = [
            len([n for n in weights if n.startswith(f"{REBUILDER}.{place}.down.")]) // 2
            for place in range(count)
        ]
        channels = [each.shape[1] for each in first if each is not None]
        networks = nn.ModuleDict(make_networks(self.options, channels, halvings))
        networks.load_state_dict({name: t.clone() for name, t in weights.items()})
        return networks.to(memory["0.mean"].device)


def _are_pixels(regions: Regions, features: Features) -> bool:
    """Return whether cells are the image itself."""
    grid = regions.grid or features.grid
    return grid == features.image_size and regions.embeddings.shape[-1] == 3


def _maps(regions: Regions, features: Features) -> Float[Tensor, "b c h w"]:
    cells: Tensor = regions.embeddings.unflatten(1, regions.grid or features.grid)
    return cells.movedim(-1, 1)


def _statistics(place: int, cells: Float[Tensor, "n c h w"], pixels: bool) -> dict[str, Tensor]:
    """Return how cells are standardised, and how far apart the values are then."""
    channels = cells.shape[1]
    mean, deviation = cells.new_zeros(channels), cells.new_ones(channels)
    extent = cells.new_ones(1)
    if not pixels:
        each = cells.movedim(1, 0).flatten(1)
        mean, deviation = each.mean(1), each.std(1, correction=0)
        least = FLOOR * deviation.square().mean().sqrt()
        deviation = deviation.maximum(least).clamp_min(NOTHING)
        scaled = (cells - mean[:, None, None]) / deviation[:, None, None]
        extent = (scaled.amax() - scaled.amin())[None].clamp_min(NOTHING)
    found = {"mean": mean, "deviation": deviation, "extent": extent}
    return {f"{place}.{name}": value for name, value in found.items()}


def _scaled(
    place: int, cells: Float[Tensor, "b c h w"], memory: Mapping[str, Tensor]
) -> Float[Tensor, "b c h w"]:
    mean, deviation = (memory[f"{place}.{name}"] for name in STATISTICS[:2])
    if len(mean) != cells.shape[1]:
        shown = f"{cells.shape[1]} channels, and learned {len(mean)}"
        raise InputError(f"the autoencoder is shown cells of {shown}; fit it anew")
    return (cells - mean[:, None, None]) / deviation[:, None, None]


def _check_statistics(memory: Mapping[str, Tensor]) -> None:
    for name, tensor in memory.items():
        place, _, statistic = name.partition(".")
        known = name.startswith(NETWORK) or (place.isdecimal() and statistic in STATISTICS)
        if not known:
            raise InputError(f"'{name[:60]}' is none of its tensors")
        if statistic in ("deviation", "extent", "scale") and not (tensor > 0).all():
            raise InputError(f"'{name[:60]}' is not above 0")
    places = {name.partition(".")[0] for name in memory if not name.startswith(NETWORK)}
    for place in places:
        if any(f"{place}.{statistic}" not in memory for statistic in STATISTICS):
            raise InputError(f"it lacks statistics of level {place}")
