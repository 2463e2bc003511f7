"""Whether a picture as a whole is another one: what changed everywhere stands out nowhere.

Means and deviations of a level's channels over all cells are compared with those of references, in
units of how much they vary within and between these. It takes `FEWEST` references that are alike
by that measure themselves, each left out in turn; of others it says nothing, since their light or
place changes more from picture to picture than a defect does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

FEWEST = 3
FLOOR, LEAST = 0.1, 1e-6
"""Of the median variance, and that at least: channels that hardly ever vary are not blown up."""
SMALLEST = 4
"""Rows and columns, so that there are quadrants."""
USUAL, MOST = math.log(0.9), 0.2
"""The logarithm of a distance from which on it counts, and by how much it counts at most."""


class WholePicture:
    """What references are like as a whole.

    Args:
        references: levels of theirs (n, h, w, c), standardised.
    """

    def __init__(self, references: Sequence[Float[Tensor, "n h w c"]]) -> None:
        number = len(references[0])
        sides = [side for each in references for side in each.shape[1:3]]
        self._usual: list[UsualLevel] = []
        if number < FEWEST or min(sides) < SMALLEST:
            return
        kept = [_statistics(each) for each in references]
        left_out = [
            _distances(
                [each[n, :1] for each in kept], [UsualLevel(_without(each, n)) for each in kept]
            )
            for n in range(number)
        ]
        if torch.cat(left_out).mean() <= 0:
            self._usual = [UsualLevel(each) for each in kept]

    def departures(self, levels: Sequence[Float[Tensor, "b h w c"]]) -> Float[Tensor, " b"]:
        """Return how far images as a whole lie from them, as an addend of a logarithm."""
        if not self._usual:
            return levels[0].new_zeros(len(levels[0]))
        own = [_mean_and_deviation(each.flatten(1, 2)) for each in levels]
        return (_distances(own, self._usual) - USUAL).clamp(0.0, MOST)


class UsualLevel:
    """The mean of a level's statistics, and how much they vary.

    Args:
        kept: statistics of references, over each image and over its quadrants.
    """

    def __init__(self, kept: Float[Tensor, "n 5 s"]) -> None:
        whole, quadrants = kept[:, 0], kept[:, 1:]
        variance = torch.maximum(quadrants.var(1).mean(0) / 4, whole.var(0))
        self.mean = whole.mean(0)
        self.variance = variance + FLOOR * variance.median().clamp_min(LEAST)

    def __call__(self, statistics: Float[Tensor, "b s"]) -> Float[Tensor, " b"]:
        """Return the logarithm of the root mean square distance."""
        squares = (statistics - self.mean).square() / self.variance
        return squares.mean(1).clamp_min(1e-12).log() / 2


def _without(kept: Float[Tensor, "n 5 s"], number: int) -> Float[Tensor, "m 5 s"]:
    return torch.cat([kept[:number], kept[number + 1 :]])


def _statistics(images: Float[Tensor, "b h w c"]) -> Float[Tensor, "b 5 s"]:
    """Return mean and deviation of every channel, over each image and over its quadrants."""
    rows, columns = images.shape[1] // 2, images.shape[2] // 2
    halves = (images[:, :rows], images[:, rows:])
    quadrants = [half[:, :, part] for half in halves
                 for part in (slice(columns), slice(columns, None))]  # fmt: skip
    flat = [each.flatten(1, 2) for each in (images, *quadrants)]
    return torch.stack([_mean_and_deviation(each) for each in flat], 1)


def _mean_and_deviation(cells: Float[Tensor, "b r c"]) -> Float[Tensor, "b s"]:
    mean = cells.mean(1)
    return torch.cat([mean, (cells - mean[:, None]).square_().mean(1).sqrt()], 1)


def _distances(
    statistics: Sequence[Float[Tensor, "b s"]], usual: Sequence[UsualLevel]
) -> Float[Tensor, " b"]:
    """Return the mean over levels of the logarithm of the distance."""
    return torch.stack([of(own) for of, own in zip(usual, statistics, strict=True)]).mean(0)
