"""What scorers share whose memory is what their networks learned."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import nn

from vlmad import Prediction, Scorer
from vlmad.errors import InputError, first_line
from vlmad_memory.once import OncePerTensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vlmad import BackboneSpec, Features, TextEmbeddings
    from vlmad_attribution.attribution import Attribution

N = TypeVar("N", bound=nn.Module)


class LearnedScorer(Scorer, Generic[N]):
    """A scorer that learns networks in `fit`, and builds them again of its memory."""

    references = "required"
    learns_in_fit = True

    def __init__(self) -> None:
        self._made = OncePerTensor[N]()

    @abstractmethod
    def built(self, memory: Mapping[str, Tensor]) -> N:
        """Return the networks with the weights of a memory; its numbers are finite.

        Raises:
            InputError: they are none of these options; a RuntimeError of torch's says it too.
        """

    @abstractmethod
    def judge(
        self, features: Features, memory: Mapping[str, Tensor]
    ) -> tuple[Prediction, Attribution]:
        """Return scores and maps, and what they are made of."""

    def networks(self, memory: Mapping[str, Tensor]) -> N:
        """Return the networks of a memory, built once, ready to be asked."""
        return self._made(next(iter(memory.values())), lambda: self._ready(memory))

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return why tensors are no networks of these options."""
        for name, tensor in memory.items():
            if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
                return f"'{name[:60]}' holds something else than finite numbers"
        try:
            self._ready(memory)
        except (InputError, RuntimeError) as error:
            return first_line(error)
        return None

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score by the networks."""
        assert memory is not None
        return self.judge(features, memory)[0]

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Say what scores are made of."""
        assert memory is not None
        return self.judge(features, memory)[1]

    def _ready(self, memory: Mapping[str, Tensor]) -> N:
        with torch.inference_mode(False):
            return self.built(memory).eval().requires_grad_(False)
