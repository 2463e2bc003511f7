"""Registration learned across categories: features of images of one product made alike (RegAD)."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from vlmad_tiny.embedded_trunk import trunk_stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from jaxtyping import Float, UInt8
    from torch import Tensor

NETWORK = "registration"
WIDTHS = (24, 40, 112)
"""Channels of the trunk's three stages."""
CONVOLVED, POOLED = (64, 16), 7
"""Channels of a transformer's convolutions, and cells to a side of what its layers see."""


def turns_and_scales(numbers: Float[Tensor, "b 3"]) -> Float[Tensor, "b 2 3"]:
    """Return maps of places: a turn after two scales.

    Args:
        numbers: of each the turn in radians, and the logarithms of the scales to the right and
            down; all 0 is the identity.
    """
    turn, scales = numbers[:, 0], numbers[:, 1:].exp()
    cosine, sine = turn.cos(), turn.sin()
    rotation = torch.stack([cosine, -sine, sine, cosine], -1).unflatten(-1, (2, 2))
    return F.pad(rotation * scales[:, None], (0, 1))  # each column by its scale: R diag(s)


def chained(first: Float[Tensor, "b 2 3"], then: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 2 3"]:
    """Return the map of places by `then`, and of what that gives by `first`."""
    shift = first[:, :, :2] @ then[:, :, 2:] + first[:, :, 2:]
    return torch.cat([first[:, :, :2] @ then[:, :, :2], shift], -1)


def inverse(places: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 2 3"]:
    """Return the map of places that leads back."""
    a, b, c, d = places[:, :, :2].flatten(1).unbind(1)
    adjugate = torch.stack([d, -b, -c, a], 1).unflatten(1, (2, 2))
    back = adjugate / (a * d - b * c)[:, None, None]
    return torch.cat([back, -back @ places[:, :, 2:]], -1)


def moved(cells: Float[Tensor, "b c h w"], places: Float[Tensor, "b 2 3"]) -> Tensor:
    """Return maps whose every place shows what is where it leads; borders are mirrored."""
    grid = F.affine_grid(places, list(cells.shape), align_corners=False)
    return F.grid_sample(cells, grid, padding_mode="reflection", align_corners=False)


class Transformer(nn.Module):
    """Finds the turn and scales by which a map is to be read; at first it is read as it is.

    Args:
        channels: of the map.
        hidden: numbers between its two layers.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, momentum=None, affine=False)
        first, second = CONVOLVED
        self.seen = nn.Sequential(
            *(nn.Conv2d(channels, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
            *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(POOLED)),
            *(nn.Flatten(), nn.Linear(second * POOLED**2, hidden), nn.ReLU()),
        )
        self.last = nn.Linear(hidden, 3)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, cells: Float[Tensor, "b c h w"]) -> tuple[Tensor, Float[Tensor, "b 2 3"]]:
        """Return the map, each channel standardised, and how it is to be read."""
        standard = self.norm(cells)
        return standard, turns_and_scales(self.last(self.seen(standard)))


class Registering(nn.Module):
    """The frozen trunk, with a transformer after each stage, whose map the next one gets.

    Args:
        hidden: numbers between the two layers of a transformer.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.transformers = nn.ModuleList(Transformer(width, hidden) for width in WIDTHS)

    def forward(
        self, pixels: Float[Tensor, "b 3 h w"]
    ) -> Iterator[tuple[Float[Tensor, "b c gh gw"], Float[Tensor, "b 2 3"]]]:
        """Yield the registered map of each stage, standardised, and where its places lie."""
        cells = (pixels * 2 - 1).contiguous(memory_format=torch.channels_last)
        so_far = turns_and_scales(pixels.new_zeros(len(pixels), 3))
        for stage, transformer in zip(trunk_stages(), self.transformers, strict=True):
            cells = stage(cells)
            standard, places = transformer(cells)
            so_far = chained(so_far, places)
            yield moved(standard, places), so_far
            cells = moved(cells, places)

    def cells(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b gh gw c"]:
        """Return the maps of all stages brought back to where the image has them, joined."""
        maps = [moved(cells, inverse(places)) for cells, places in self(pixels)]
        grid = list(maps[1].shape[2:])
        maps[0] = F.interpolate(maps[0], size=grid, mode="area")
        maps[2] = F.interpolate(maps[2], size=grid, mode="bilinear")
        return torch.cat(maps, 1).movedim(1, -1)


class RegistrationNetwork(nn.Module):
    """What learns: the transformers, and the encoder and predictor by which they are judged.

    Args:
        hidden: numbers between the two layers of a transformer.
        width: channels of encoder and predictor.
    """

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.registering = Registering(hidden)
        self.encoder = nn.Sequential(
            *_normed(WIDTHS[-1], width), *_normed(width, width), nn.Conv2d(width, width, 1)
        )
        self.predictor = nn.Sequential(*_normed(width, width), nn.Conv2d(width, width, 1))

    def loss(self, pixels: Float[Tensor, "b k 3 h w"]) -> Float[Tensor, ""]:
        """Return how unlike the first of each group is to the mean of the others, -1 to 1."""
        *_, (cells, _) = self.registering(pixels.flatten(0, 1))
        groups = cells.unflatten(0, pixels.shape[:2])
        return self.unlike(groups[:, 0], groups[:, 1:].mean(1))

    def unlike(self, query: Tensor, support: Tensor) -> Float[Tensor, ""]:
        """Return the mean of both negative cosines, each of a prediction and a fixed target."""
        seen, wanted = self.encoder(query), self.encoder(support)
        there = negative_cosine(self.predictor(seen), wanted)
        return (there + negative_cosine(self.predictor(wanted), seen)) / 2


def negative_cosine(
    predicted: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Return the negative mean cosine of cells; no gradient reaches the target."""
    return -F.cosine_similarity(predicted, target.detach(), dim=1).mean()


def _normed(channels: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()


class RegistrationLesson:
    """Good images of other categories: each beside some of its own, all turned a little.

    Args:
        network: learns.
        categories: of each the levels of its images, from 0 to 255.
        supports: how many others stand beside an image.
        turned: by how many degrees each is turned at most.
    """

    def __init__(
        self,
        network: RegistrationNetwork,
        categories: Sequence[UInt8[np.ndarray, "n h w 3"]],
        supports: int,
        turned: float,
    ) -> None:
        self.networks: Mapping[str, nn.Module] = {NETWORK: network}
        self.network, self.supports, self.turned = network, supports, turned
        self.images = [image for category in categories for image in category]
        counts, self._category = [len(category) for category in categories], list[range]()
        for start, count in zip(accumulate([0, *counts]), counts, strict=False):
            self._category += [range(start, start + count)] * count

    def steps(
        self, rows: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Make each image's features those of its category's others."""
        groups = [[row, *self.others(row, rng)] for row in rows]
        levels = torch.stack([torch.from_numpy(self.images[i]) for own in groups for i in own])
        numbers = torch.zeros(len(levels), 3)
        numbers[:, 0] = torch.from_numpy(rng.uniform(-self.turned, self.turned, len(levels)))
        pixels = levels.movedim(-1, 1).float() / 255
        pixels = moved(pixels, turns_and_scales(numbers.deg2rad() if self.turned else numbers))
        loss = self.network.loss(pixels.unflatten(0, (len(rows), -1)))
        yield NETWORK, {"negative cosine": loss}

    def others(self, row: int, rng: np.random.Generator) -> list[int]:
        """Draw images of its category; itself only where it is the only one."""
        category = self._category[row]
        there = [other for other in category if other != row] or [row]
        few = len(there) < self.supports
        return [int(i) for i in rng.choice(there, self.supports, replace=few)]
