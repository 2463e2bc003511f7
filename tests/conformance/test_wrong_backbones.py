"""Backbones with one mistake each: each is caught, and the promise that it breaks is named."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from vlmad import Patches
from vlmad.parts import LEVELS
from vlmad_conformance._small_backbone import WIDTH, SmallBackbone
from vlmad_conformance.examples import UsualAttention

from .conftest import assert_caught, broken

counter = itertools.count()


class Modular(SmallBackbone):
    """A backbone with a module of torch that keeps every promise.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = [nn.Linear(WIDTH, WIDTH).eval().requires_grad_(False)]
        self.weights_hash = f"{seed + 10:064x}"

    def _tokens(self, pixels: Tensor) -> Tensor:
        seen = super()._tokens(pixels)
        return seen + self.layers[0](seen)


def test_a_sound_backbone_breaks_nothing() -> None:
    assert broken("backbone", Modular) == []


class HookInAList(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, *given: Any) -> Any:
        self.layers[0].register_forward_hook(lambda *_: None)
        return super().encode(*given)


class LeavesTraining(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.rest = {"dropout": nn.Dropout(0.0)}

    def encode(self, *given: Any) -> Any:
        self.rest["dropout"].train()
        return super().encode(*given)


class DriftingWeights(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, *given: Any) -> Any:
        self.layers[0].bias.data.mul_(0.9)
        return super().encode(*given)


class ReusesItsAnswers(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    kept: Any = None

    def encode(self, *given: Any) -> Any:
        seen = super().encode(*given)
        if self.kept is None or len(self.kept) != len(seen[seen_first(seen)]):
            self.kept = torch.empty_like(seen[seen_first(seen)])
        self.kept.copy_(seen[seen_first(seen)])
        return replace(seen, tensors={**seen.tensors, seen_first(seen): self.kept})


def seen_first(visual: Any) -> Any:
    return next(iter(visual.tensors))


class GivesItsWeights(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    cached: Any = None

    def encode(self, batch: Any, requests: Any, attention: Any) -> Any:
        if self.cached is None or self.cached[0] != (len(batch), tuple(requests)):
            self.cached = (len(batch), tuple(requests)), super().encode(batch, requests, attention)
        return self.cached[1]


class AnswersSorted(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, *given: Any) -> Any:
        seen = super().encode(*given)
        return replace(seen, tensors=dict(sorted(seen.tensors.items(), key=lambda i: str(i[0]))))


class SqueezesTheBatch(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, *given: Any) -> Any:
        seen = super().encode(*given)
        return replace(seen, tensors={r: t.squeeze(0) for r, t in seen.tensors.items()})


class NormsOverTheBatch(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def _tokens(self, pixels: Tensor) -> Tensor:
        return super()._tokens(pixels - pixels.mean(0))


class GradientsLeak(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.layers[0].requires_grad_(True)


class ConstantHash(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.weights_hash = "ab" * 32


class RandomHash(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.weights_hash = f"{next(counter):064x}"


class WeightsOfNoSeed(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        generator = torch.Generator().manual_seed(next(counter))
        self.layers[0].weight.data.copy_(torch.randn(WIDTH, WIDTH, generator=generator))


class IgnoresItsSeed(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(0)
        self.weights_hash = f"{seed + 10:064x}"


class SeedsTheGlobalState(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(seed)


class LastLayerForAll(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, batch: Any, requests: Sequence[Any], attention: Any) -> Any:
        deep = {r: replace(r, layer=self.spec.depth) for r in requests if isinstance(r, Patches)}
        wanted = [*requests, *(deep[r] for r in deep if r.layer == 1)]
        seen = super().encode(batch, wanted, attention)
        tensors = {r: seen[deep[r] if r in deep and r.layer == 1 else r] for r in requests}
        return replace(seen, tensors=tensors)


class SwapsMiddleLayers(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def _layers(self, tokens: Tensor, attention: Any) -> Any:
        first, one, two, *rest = super()._layers(tokens, attention)
        return [first, two, one, *rest]


class FailsInTheMiddle(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, batch: Any, requests: Sequence[Any], attention: Any) -> Any:
        layers = {r.layer for r in requests if isinstance(r, Patches)}
        if layers & {1, 2}:
            raise KeyError(min(layers & {1, 2}))
        return super().encode(batch, requests, attention)


class IgnoresAttention(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def _layers(self, tokens: Tensor, attention: Any) -> Any:
        return super()._layers(tokens, UsualAttention())


class IgnoresAttentionBeside(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def _layers(self, tokens: Tensor, attention: Any) -> Any:
        plain = UsualAttention() if attention.path == "beside" else attention
        return super()._layers(tokens, plain)


class HalfAnswers(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, *given: Any) -> Any:
        seen = super().encode(*given)
        return replace(seen, tensors={r: t.half() for r, t in seen.tensors.items()})


class SlowSpec(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "spec" and "weights_hash" in vars(self):
            time.sleep(0.6)
        return super().__getattribute__(name)


class TakesADeviceSilently(Modular):
    """Wrong.

    Args:
        seed: of the weights.
        device: unused.
    """

    def __init__(self, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(seed)


class IgnoresItsPrecision(Modular):
    """Wrong.

    Args:
        seed: of the weights.
        precision: unused.
    """

    precision = "float32"

    def __init__(
        self, seed: int = 0, precision: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        super().__init__(seed)


class CalibratesItself(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    scale: Any = None

    def _tokens(self, pixels: Tensor) -> Tensor:
        seen = super()._tokens(pixels)
        if self.scale is None:
            self.scale = seen.std()
        return seen / self.scale


class FailsForTallImages(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode(self, batch: Any, *given: Any) -> Any:
        if any(source.size[1] > 2 * source.size[0] for source in batch.sources):
            raise ValueError("too tall")
        return super().encode(batch, *given)


class LevelsUnnamed(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.spec = replace(self.spec, levels={}, middle=())


class WindowsNotAnswered(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def _windows(self, request: Any, tokens: Tensor, attention: Any) -> Tensor:
        return super()._windows(replace(request, size=1), tokens, attention)


class BlackIsNotFinite(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def _tokens(self, pixels: Tensor) -> Tensor:
        return super()._tokens(
            pixels / (pixels.amax((1, 2, 3), True) - pixels.amin((1, 2, 3), True))
        )


class TextOverTheBatch(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    def encode_text(self, prompts: Any) -> Tensor:
        seen = super().encode_text(prompts)
        return seen - seen.mean(0) if isinstance(prompts, tuple) else seen


class NoGradientForContext(Modular):
    """Wrong.

    Args:
        seed: of the weights.
    """

    @torch.no_grad()
    def encode_text(self, prompts: Any) -> Tensor:
        return super().encode_text(prompts)


WRONG = [
    (HookInAList, "repeats", "leaves hooks or patches behind"),
    (LeavesTraining, "repeats", "its model is in training mode: Dropout"),
    (DriftingWeights, "repeats", "another result|changes the model's weights"),
    (ReusesItsAnswers, "repeats|encodes-each-image-alone", "done to its answers|batch changes"),
    (GivesItsWeights, "repeats|encodes-each-image-alone", "done to its answers|batch changes"),
    (AnswersSorted, "answers", "in their order"),
    (SqueezesTheBatch, "answers", r"has shape .*1 image, ClassToken\(normed=True\)"),
    (NormsOverTheBatch, "encodes-each-image-alone", "the batch changes"),
    (GradientsLeak, "lets-gradients-through", "gradients leak: what encode gives wants some"),
    (ConstantHash, "names-its-weights", "the same for another seed"),
    (RandomHash, "names-its-weights", "another for the same options"),
    (WeightsOfNoSeed, "names-its-weights", "the same options give other weights"),
    (IgnoresItsSeed, "names-its-weights", "another seed gives the same weights"),
    (SeedsTheGlobalState, "good-manners", "torch's random numbers"),
    (LastLayerForAll, "tells-layers-apart|exchanges-attention", "the same|is changed by"),
    (SwapsMiddleLayers, "exchanges-attention", r"Patches\(layer=1.* is changed by .* block 1"),
    (FailsInTheMiddle, "answers", r"it raises KeyError: 1; .*Patches\(layer=1"),
    (IgnoresAttention, "exchanges-attention", "it ignores the attention of block 0"),
    (IgnoresAttentionBeside, "exchanges-attention", "it ignores attention on the second path"),
    (HalfAnswers, "answers", r"is torch.float16, made of torch.float32"),
    (SlowSpec, "spec", r"spec takes 0\.\d seconds|spec takes 1"),
    (TakesADeviceSilently, "says-how-it-computes", "it takes device, but its device is None"),
    (IgnoresItsPrecision, "says-how-it-computes", "precision is 'float32'.*precision=bfloat16"),
    (CalibratesItself, "names-its-weights", "what it encoded before changes encode"),
    (FailsForTallImages, "answers", "too tall.*a square, a wide and a tall image"),
    (LevelsUnnamed, "spec", "it provides levels, but names none"),
    (WindowsNotAnswered, "answers", r"Windows\(size=2.* has shape"),
    (BlackIsNotFinite, "takes-a-uniform-image", "not finite.*64 x 48 black pixels"),
    (TextOverTheBatch, "encodes-sentences", "the batch changes encode_text"),
    (NoGradientForContext, "lets-gradients-through", "it raises RuntimeError|no gradient reaches"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "promises", "words"), WRONG, ids=[backbone.__name__ for backbone, *_ in WRONG]
)
def test_a_wrong_backbone_is_caught(backbone: Any, promises: str, words: str) -> None:
    assert_caught("backbone", backbone, promises, words)


class WithoutLevels(Modular):
    """Sound.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        provided = self.spec.provides - {LEVELS}
        self.spec = replace(self.spec, levels={}, middle=(), provides=provided)


def test_a_backbone_that_offers_less_breaks_nothing() -> None:
    assert broken("backbone", WithoutLevels) == []
