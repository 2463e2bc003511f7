"""Features that wait until a scorer of sets can have all of them.

Each detector gets tensors of its own, which it may write to. Many that wait for the same images
would hold as many copies of all their features; what came out equal is held once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vlmad.types import Features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor


class Held:
    """The features that one detector made of the images so far."""

    def __init__(self) -> None:
        self.parts: list[Features] = []
        self._compared = 0

    def add(self, features: Features) -> None:
        """Take the features of some images."""
        self.parts.append(features)

    def exchange(self, same: Callable[[Tensor], Tensor]) -> None:
        """Put in the place of every tensor that was added since the last time one like it."""
        for index in range(self._compared, len(self.parts)):
            self.parts[index] = _with_tensors(self.parts[index], same)
        self._compared = len(self.parts)

    def take(self) -> Features | None:
        """Return all features in tensors that no one else holds, and let go of them."""
        parts, self.parts, self._compared = self.parts, [], 0
        if not parts:
            return None
        if len(parts) == 1:  # which joining would return as it is
            return _with_tensors(parts[0], torch.clone)
        return Features.concatenate(parts)


def hold_once(all_held: Iterable[Held]) -> None:
    """Let those who hold equal features of the images just seen hold the same tensors."""
    known: list[Tensor] = []

    def same(tensor: Tensor) -> Tensor:
        for other in known:
            alike = (other.device, other.dtype) == (tensor.device, tensor.dtype)
            if alike and torch.equal(other, tensor):
                return other
        known.append(tensor)
        return tensor

    for held in all_held:
        held.exchange(same)


def _with_tensors(features: Features, change: Callable[[Tensor], Tensor]) -> Features:
    regions = tuple(replace(r, embeddings=change(r.embeddings)) for r in features.regions)
    return replace(features, image=change(features.image), regions=regions)
