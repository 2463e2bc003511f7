"""The scorer that learns to tell blended textures from good images (DRAEM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import nn

from vlmad import Prediction
from vlmad.errors import InputError
from vlmad.parts import CELLS
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_families._draem_lesson import DraemLesson
from vlmad_families._draem_networks import (
    draem_networks,
    empty_networks,
    flattened,
    unflattened,
)
from vlmad_families._pixels import image_of, levels_of
from vlmad_families.learned_scorer import LearnedScorer
from vlmad_families.learning import Course, FitTraining, digest_of
from vlmad_run.finding import find_images
from vlmad_run.learning_in_fit import PIXELS
from vlmad_train.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Features

BASES = {"small": (16, 16), "published": (128, 64)}
"""Channels of the first blocks of both networks."""
LEARNING: dict[str, dict[str, Any]] = {
    "small": {"epochs": 40, "batch": 4, "rate": 1e-3, "turned": 0.0},
    "published": {"epochs": 700, "batch": 8, "rate": 1e-4, "turned": 0.3},
}
SMOOTHED = 21
"""Pixels to a side whose mean is looked at."""


class Draem(LearnedScorer[nn.ModuleDict]):
    """The probability of each pixel that something was blended in.

    One network rebuilds the image as if it were good, another compares both. They learn on the
    references, in half of which a texture is blended in where Perlin noise is high. The image score
    is the maximum of the map after a mean over 21 x 21 pixels, zeros outside.

    Args:
        size: small, of 2.9 million numbers, or the published 97 million.
        epochs: how often all references are looked at, or 64 where there are fewer; by default 40,
            of the published size 700.
        batch: references in each step; by default 4, or 8.
        rate: of Adam, a fifth of it after 80 % and again after 90 % of the epochs; by default 1e-3,
            or 1e-4.
        turned: the share of references that are turned, by 90 degrees at most, before they are
            changed; by default 0, or 0.3.
        gamma: of the focal loss.
        textures: a folder of pictures, such as those of DTD, in place of textures drawn by code.
        budget: minutes after which it has to have learned.
        seed: of all that is drawn.
    """

    needs = frozenset({CELLS, PIXELS})
    only_in_fit = frozenset({"textures"})

    def __init__(
        self,
        size: Literal["small", "published"] = "small",
        epochs: Annotated[int, Ge(1)] | None = None,
        batch: Annotated[int, Ge(1)] | None = None,
        rate: Annotated[float, Gt(0)] | None = None,
        turned: Annotated[float, Ge(0), Le(1)] | None = None,
        gamma: Annotated[float, Ge(0)] = 2.0,
        textures: str | None = None,
        budget: Annotated[float, Gt(0)] = 3.0,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        given = {"epochs": epochs, "batch": batch, "rate": rate, "turned": turned}
        usual = LEARNING[size] | {name: v for name, v in given.items() if v is not None}
        self.size, self.turned, self.gamma = size, usual.pop("turned"), gamma
        self.textures, self.budget = textures, budget
        self.schedule = Schedule(**usual, betas=(0.9, 0.999), seed=seed, decay="steps")
        super().__init__()

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Learn from the references, changed by and by."""
        with torch.inference_mode(False), torch.no_grad():
            networks = draem_networks(BASES[self.size], self.schedule.seed)
            pixels, own = image_of(references, "draem"), (self.turned, self.gamma, self.textures)
            lesson = DraemLesson(networks, levels_of(pixels), *own)
            known = [self.size, self.schedule, self.budget, *own, _listed(self.textures)]
            digest = digest_of(known, [pixels])
            course = Course("draem", self.schedule, self.budget, digest)
            FitTraining(lesson, len(references), course).run()
            lesson.settle(self.schedule.seed)
            return {name: flattened(network) for name, network in networks.items()}

    def judge(
        self, features: Features, memory: Mapping[str, Tensor]
    ) -> tuple[Prediction, Attribution]:
        """Score by the highest mean over 21 x 21 pixels."""
        heat = self._map(features, memory)
        cells = F.avg_pool2d(heat[:, None], SMOOTHED, 1, SMOOTHED // 2)[:, 0]
        judged = (Judged(features.regions[0], "references", heat.flatten(1)),)
        highest = Addend("references", 1.0, cells.amax((1, 2)), judged, "smoothed", cells)
        return Prediction(highest.value, heat), Attribution((highest,), judged)

    def _map(self, features: Features, memory: Mapping[str, Tensor]) -> Float[Tensor, "b h w"]:
        both, maps = self.networks(memory), []
        for pixels in image_of(features, "draem"):
            rebuilt = both["rebuilder"](pixels[None])
            maps.append(both["comparer"](rebuilt, pixels[None]).softmax(1)[:, 1])
        return torch.cat(maps)

    def built(self, memory: Mapping[str, Tensor]) -> nn.ModuleDict:
        """Return both networks."""
        networks = empty_networks(BASES[self.size])
        if memory.keys() != {*networks.keys()}:
            raise InputError(f"it does not hold {' and '.join(networks.keys())}")
        for name, network in networks.items():
            unflattened(network, memory[name])
        return networks


def _listed(textures: str | None) -> list[tuple[str, int]]:
    """Return names and sizes of the pictures of a folder."""
    found = [] if textures is None else find_images([textures])
    return [(path.name, path.stat().st_size) for path in found]
