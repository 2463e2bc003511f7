"""Telling kinds of defect by the embedded trunk; examples/weights/kinds.py makes the weights."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from vlmad_tiny.embedded_trunk import trunk_cells

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from vlmad_explain._found_regions import RegionView

WEIGHTS = Path(__file__).parent / "weights" / "kinds.safetensors"
FACTS = "vlmad"
"""Under which the file says what it was made of, and how certainties are counted."""
NOTHING = "nothing"
"""The class of regions without a defect."""
KINDS = (
    "scratch", "crack", "thread", "stain", "specks", "discolouration", "hole", "dent",
    "missing piece", "foreign body", "distortion", "displaced strip", "patch", NOTHING,
)  # fmt: skip
LEVELS = ("b2", "b4")
"""Of the embedded trunk."""
SURROUNDINGS, FAINT = 0.3, 1e-3
"""Below which height of the map cells are surroundings, and what all cells weigh at least."""
FARTHEST = 4.0
"""Deviations beyond which a feature counts no more."""
HIDDEN, FEATURES = 48, 6 * (40 + 112) + 2


class KindNet(nn.Module):
    """One hidden layer over standardised features."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.hidden = nn.Linear(FEATURES, HIDDEN)
        self.tell = nn.Linear(HIDDEN, len(KINDS))
        self.few, self.many = nn.Dropout(0.1), nn.Dropout(0.4)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Return a logit for each of `KINDS`."""
        offsets = ((features - self.mean) / self.deviation).clamp(-FARTHEST, FARTHEST)
        return self.tell(self.many(F.gelu(self.hidden(self.few(offsets)))))  # type: ignore[no-any-return]


class ShippedNet(NamedTuple):
    """A network with its weights, and how certainties are counted."""

    net: KindNet
    temperature: float
    """What logits are divided by."""
    least: float
    """The chance from which on a kind is told."""


@torch.inference_mode()
def features_of(view: RegionView) -> Float[Tensor, " f"]:
    """Return what the trunk sees in a region and about it.

    Of each channel of two levels, weighted by the map: mean in the region less that of the
    surroundings, deviation there, mean and deviation of the surroundings, and the extremes in the
    region. And the logarithms of the side of the view and the area of the region.
    """
    pixels = torch.tensor(view.pixels).permute(2, 0, 1).float()
    heat = torch.tensor(view.heat).clamp(0, 1)
    found = [_pooled(cells, heat) for cells in trunk_cells(pixels, LEVELS).values()]
    return torch.cat([*found, torch.tensor([math.log(view.side), math.log(view.area)])])


def _pooled(cells: Float[Tensor, "g g w"], heat: Float[Tensor, "h h"]) -> Float[Tensor, " 6*w"]:
    high = F.adaptive_avg_pool2d(heat[None, None], cells.shape[0]).flatten()
    inside = _shares(high.square() + FAINT)
    around = _shares((high < SURROUNDINGS).float() + FAINT)
    flat = cells.flatten(0, 1)
    mean, usual = inside @ flat, around @ flat
    off = high.sqrt()[:, None] * (flat - usual)
    return torch.cat(
        [
            mean - usual,
            (inside @ (flat - mean).square()).sqrt(),
            usual,
            (around @ (flat - usual).square()).sqrt(),
            off.amax(0),
            off.amin(0),
        ]
    )


def _shares(weights: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    return weights / weights.sum()


def kind_of(view: RegionView) -> tuple[str | None, float | None]:
    """Return the kind of defect that a view shows, and how certain that is; None if unsure."""
    shipped = _shipped()
    chances = (shipped.net(features_of(view)[None])[0].double() / shipped.temperature).softmax(0)
    certainty, number = float(chances.max()), int(chances.argmax())
    if KINDS[number] == NOTHING or certainty < shipped.least:
        return None, None
    return KINDS[number], certainty


@cache
def _shipped() -> ShippedNet:
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        net = KindNet()
        with safe_open(WEIGHTS, "pt") as file:
            names = file.keys()  # it is no dict
            net.load_state_dict({name: file.get_tensor(name) for name in names})
            facts = json.loads(file.metadata()[FACTS])
    return ShippedNet(net.eval().requires_grad_(False), facts["temperature"], facts["least"])
