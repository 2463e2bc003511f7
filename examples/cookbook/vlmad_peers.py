"""The scorer `peers`: images of a set judge each other, without references (as in MuSc)."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vlmad import Features, Prediction, Scorer, TextEmbeddings, hookimpl
from vlmad.hookspecs import Register
from vlmad.parts import REGIONS
from vlmad.regions import mean_map, upsample


class Peers(Scorer):
    """The mean distance of each patch to the most similar one of every other image."""

    needs = frozenset({REGIONS})
    scope: Literal["set"] = "set"

    def __call__(
        self, features: Features, text: TextEmbeddings | None, memory: Mapping[str, Tensor] | None
    ) -> Prediction:
        """Score all images against each other; one alone has nothing to differ from."""
        patches = features.regions[0]
        units = F.normalize(patches.embeddings, dim=-1)
        found = [units.new_zeros(units.shape[1]) for _ in units]
        for index in range(len(units)) if len(units) > 1 else ():
            others = torch.cat([units[:index], units[index + 1 :]])
            similar = torch.einsum("rd,osd->ors", units[index], others).amax(-1)
            found[index] = (1 - similar).mean(0)
        heat = mean_map(torch.stack(found), patches.cells, features.grid)
        return Prediction(heat.amax((1, 2)), upsample(heat, features.image_size))


@hookimpl
def register_scorers(register: Register) -> None:
    """Register the scorer."""
    register("peers", Peers, "images of a set against each other")
