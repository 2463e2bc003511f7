"""Which reviewed images are hard: what the run got wrong, and what it may have mistaken it for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class HardExamples:
    """Mistakes, and for each the images of the other class that look most like it."""

    opposites: dict[int, tuple[int, ...]]
    """By mistake, the nearest first."""

    @property
    def images(self) -> set[int]:
        """All of them."""
        return {*self.opposites, *(other for near in self.opposites.values() for other in near)}

    def weights(self, among: Sequence[int], emphasis: float) -> Float[Tensor, " n"]:
        """Return how often each of some images is drawn: hard ones `emphasis` times as often."""
        hard = self.among(among).images
        return torch.tensor([emphasis if image in hard else 1.0 for image in among])

    def among(self, images: Sequence[int]) -> HardExamples:
        """Return those of some images alone."""
        kept = set(images)
        inside = {
            one: tuple(other for other in near if other in kept)
            for one, near in self.opposites.items()
            if one in kept
        }
        return HardExamples(inside)


def find_hard_examples(
    embeddings: Float[Tensor, "n d"],
    anomalous: Bool[np.ndarray, " n"],
    called: Bool[np.ndarray, " n"],
    count: int,
) -> HardExamples:
    """Find misses and false alarms, and the `count` nearest images of the other class by cosine.

    Args:
        embeddings: of the images.
        anomalous: what they are.
        called: what the run called them.
        count: how many opposites of each mistake.
    """
    unit = F.normalize(embeddings, dim=-1)
    found = {}
    for one in np.flatnonzero(anomalous != called).tolist():
        others = np.flatnonzero(anomalous != anomalous[one])
        cosines = unit[torch.from_numpy(others)] @ unit[one]
        nearest = cosines.topk(min(count, len(others))).indices.numpy()
        found[one] = tuple(others[nearest].tolist())
    return HardExamples(found)
