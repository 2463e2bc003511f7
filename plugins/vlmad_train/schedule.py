"""How long and how fast is learned, and the optimiser that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

STEPS, LESS = (0.8, 0.9), 0.2
"""After which shares of the epochs the rate falls, and to which share of itself (DRAEM)."""
WARM_UP_RATE = 1e-5
"""Of the epochs of a warm-up (CoOp)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast is learned; the defaults are AnomalyCLIP's."""

    epochs: int = 15
    batch: int = 8
    rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    seed: int = 0
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: Literal["none", "cosine", "steps"] = "none"
    warm_up: int = 0

    def descent(self, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Return the optimiser of some tensors."""
        rate, weight_decay = self.rate, self.weight_decay
        if self.optimizer == "sgd":
            momentum = self.momentum
            return torch.optim.SGD(tensors, rate, momentum, weight_decay=weight_decay)
        return torch.optim.Adam(tensors, rate, self.betas, weight_decay=weight_decay)

    def rates(self) -> list[float]:
        """Return the learning rate of each epoch; a cosine begins when the warm-up is over.

        As in CoOp's code the cosine is as long as all epochs, so that the last rate is not 0.
        """
        stepped = torch.optim.SGD([torch.zeros(1)], lr=self.rate)
        scheduler: LRScheduler = LambdaLR(stepped, lambda epoch: 1.0)
        if self.decay == "cosine":
            scheduler = CosineAnnealingLR(stepped, self.epochs)
        elif self.decay == "steps":
            places = [int(share * self.epochs) for share in STEPS]
            scheduler = MultiStepLR(stepped, places, LESS)
        if self.warm_up:
            first = LambdaLR(stepped, lambda epoch: WARM_UP_RATE / self.rate)
            scheduler = SequentialLR(stepped, [first, scheduler], [self.warm_up])
        rates = []
        for _ in range(self.epochs):
            rates.append(float(stepped.param_groups[0]["lr"]))
            stepped.step()
            scheduler.step()
        return rates
