"""Training that goes on where it was stopped, to the same numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WARM_UP, LEAST = 0.08, 0.01
"""Share of the steps in which the rate rises, and its last value as a share of the highest."""
DECAY, CLIP = 0.05, 1.0
STATE_EVERY = 50


@dataclass
class Descent:
    """AdamW of some modules, with a state on disk.

    Args:
        modules: by name; their matrices decay.
        steps: how many there are in all.
        rate: the highest; it follows a cosine.
        state: the file of the state; it may not exist yet.
        seed: of the chance that each step gets, whatever came before it.
    """

    modules: nn.ModuleDict
    steps: int
    rate: float
    state: Path
    seed: int

    def __post_init__(self) -> None:
        own = [p for p in self.modules.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in own if p.ndim >= 2], "weight_decay": DECAY},
            {"params": [p for p in own if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, self.rate, betas=(0.9, 0.98))
        self.done, self.told = 0, dict[str, float]()
        if self.state.exists():
            self._load(torch.load(self.state, weights_only=True))

    def _load(self, found: dict[str, Any]) -> None:
        self.modules.load_state_dict(found["modules"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.done, self.told = found["done"], found["told"]

    def _save(self) -> None:
        found = {
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "told": self.told,
        }
        fresh = self.state.with_suffix(".fresh")
        torch.save(found, fresh)
        os.replace(fresh, self.state)

    def __iter__(self) -> Iterator[tuple[int, np.random.Generator]]:
        """Yield the number and the chance of each step that is left."""
        for number in range(self.done, self.steps):
            torch.manual_seed(hash((self.seed, number)))
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * self._share(number / self.steps)
            yield number, np.random.default_rng([self.seed, number])

    def _share(self, at: float) -> float:
        cosine = LEAST + (1 - LEAST) * (1 + math.cos(math.pi * at)) / 2
        return min(1.0, (at + 1 / self.steps) / WARM_UP) * cosine

    def step(self, losses: dict[str, Tensor]) -> None:
        """Follow the sum of the losses down, tell their means now and then, keep the state."""
        self.optimizer.zero_grad()
        torch.stack([*losses.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.modules.parameters(), CLIP)
        self.optimizer.step()
        self.done += 1
        for name, loss in losses.items():
            now = loss.item()
            self.told[name] = 0.95 * self.told.get(name, now) + 0.05 * now
        if self.done % STATE_EVERY == 0 or self.done == self.steps:
            self._save()
            shown = " ".join(f"{name} {value:.3f}" for name, value in self.told.items())
            print(f"{self.state.stem} {self.done}/{self.steps} {shown}", flush=True)
