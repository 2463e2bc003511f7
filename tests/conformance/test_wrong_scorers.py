"""Scorers with one mistake each: each is caught, and the promise that it breaks is named."""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vlmad import Features, Prediction, Scorer, TextEmbeddings
from vlmad.parts import CELLS, CLASS_TOKEN, REGIONS, TEXT
from vlmad.regions import mean_map, upsample
from vlmad.testing import example_text
from vlmad.text import anomaly_probability, pool_sides

from .conftest import assert_caught, broken


class Sound(Scorer):
    """A scorer that keeps every promise, to be broken in one way at a time."""

    references: Any = "optional"

    def fit(self, references: Features) -> Mapping[str, Any]:
        cells = references.aligned[0].embeddings
        return {"mean": cells.mean((0, 1)), "width": cells.norm(dim=-1).mean()}

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Any:
        assert text is not None
        [regions] = features.aligned
        sides = pool_sides(text)
        scores = anomaly_probability(regions.embeddings, sides, 0.07)
        if memory is not None:
            apart = (regions.embeddings - memory["mean"]).norm(dim=-1)
            scores = scores + apart / (1 + memory["width"])
        heat = upsample(mean_map(scores, regions.cells, features.grid), features.image_size)
        score = anomaly_probability(features.image[:, None], sides, 0.07)[:, 0]
        return Prediction(score + heat.amax((1, 2)), heat)


class SoundSet(Sound):
    """A scorer of sets that keeps every promise."""

    scope: Any = "set"
    references = "none"

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        seen = super().__call__(features, text, memory)
        return replace(seen, score=seen.score - seen.score.mean())


@pytest.mark.parametrize("scorer", [Sound, SoundSet])
def test_a_sound_scorer_breaks_nothing(scorer: Any) -> None:
    assert broken("scorer", scorer) == []


class ScoreOfTwoDimensions(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, score=seen.score[:, None])


class MapNotFinite(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, map=seen.map / 0 * 0)


class DependsOnBatch(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, score=seen.score - seen.score.mean())


class DependsOnOrder(SoundSet):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, score=seen.score - seen.score[0])


class DrawsFromTheGlobalState(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, score=seen.score + torch.rand(1))


class ChangesFeatures(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        features.image.div_(features.image.norm(dim=-1, keepdim=True))
        return super().__call__(features, *given)


class ChangesText(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        text.norms.fill_(1)
        return super().__call__(features, text, memory)


class ChangesMemory(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        if memory:
            memory["width"].mul_(0.5)
        return super().__call__(features, text, memory)


class MapOfCells(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        seen = super().__call__(features, *given)
        return replace(seen, map=seen.map[:, :: features.grid[0], :: features.grid[1]])


class OptionWithoutType(Sound):
    """Wrong.

    Args:
        gain: what scores are multiplied by.
    """

    def __init__(self, gain=1.0) -> None:  # type: ignore[no-untyped-def]
        self.gain = gain


class OptionWithoutDocumentation(Sound):
    """Wrong."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain


class TextWithoutNeed(Sound):
    """Wrong."""

    needs = frozenset({CLASS_TOKEN, REGIONS})


class OptionalMemoryUnhandled(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        seen = super().__call__(features, text, memory)
        return replace(seen, score=seen.score + memory["width"])


class LacksAttributes:
    """Wrong."""

    needs = Sound.needs
    __call__ = Sound.__call__


class NumberInMemory(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        return {**super().fit(references), "count": len(references)}


class RandomMemory(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        kept = super().fit(references)
        noise = torch.randn(
            kept["mean"].shape, generator=torch.Generator().manual_seed(time.perf_counter_ns())
        )
        return {**kept, "mean": kept["mean"] + noise}


class Exits(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        sys.exit(0)


class AttributeRaises(Sound):
    """Wrong."""

    def attribute(self, *given: Any) -> Any:
        raise ZeroDivisionError("no score")


class UnknownScope(Sound):
    """Wrong."""

    scope = "batch"


class GivesATuple(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return seen.score, seen.map


class KeepsMemoryOnItself(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        self.kept = super().fit(references)
        return {"count": torch.tensor(len(references))}

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        return super().__call__(features, text, getattr(self, "kept", None) if memory else None)


class KeepsAPartOnItself(Sound):
    """Wrong."""

    width: Any = 1.0

    def fit(self, references: Features) -> Mapping[str, Any]:
        kept = dict(super().fit(references))
        self.width = kept.pop("width")
        return kept

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        whole = {**memory, "width": self.width} if memory else None
        return super().__call__(features, text, whole)


class KeepsAScaleOfCalls(Sound):
    """Wrong."""

    highest = 0.0

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        self.highest = max(self.highest, float(seen.map.max()))
        return replace(seen, map=seen.map / self.highest)


class CachesByShape(Sound):
    """Wrong."""

    known: ClassVar[Any] = None

    def __call__(self, features: Features, *given: Any) -> Any:
        if self.known is None:
            self.known = features.image.mean(0)
        seen = super().__call__(features, *given)
        return replace(seen, score=seen.score + self.known.mean())


class Half(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return Prediction(seen.score.half(), seen.map.half())


class Double(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return Prediction(seen.score.double(), seen.map.double())


class UniformIsNotFinite(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        lowest = seen.map.amin((1, 2), keepdim=True)
        span = seen.map.amax((1, 2), keepdim=True) - lowest
        return replace(seen, map=(seen.map - lowest) / span)


class SeedsTheGlobalState(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        torch.manual_seed(0)
        random.seed(0)
        return super().__call__(*given)


class Prints(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        print("scoring")
        return super().__call__(*given)


class WritesToTheDescriptor(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        os.write(1, b"fitting\n")
        return super().fit(references)


class TakesLong(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        time.sleep(0.6)
        return super().__call__(*given)


class FitsLong(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        time.sleep(0.6)
        return super().fit(references)


class NoDocstring(Sound):
    pass


class DefaultOfAnotherType(Sound):
    """Wrong.

    Args:
        gain: what scores are multiplied by.
    """

    def __init__(self, gain: float = "1") -> None:  # type: ignore[assignment]
        self.gain = gain


class ListDefault(Sound):
    """Wrong.

    Args:
        sides: of neighbourhoods.
    """

    def __init__(self, sides: tuple[int, ...] = [1, 3]) -> None:  # type: ignore[assignment]
        self.sides = sides


class NoneDefault(Sound):
    """Wrong.

    Args:
        sides: of neighbourhoods.
    """

    def __init__(self, sides: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        self.sides = sides


class ListOfNumbers(Sound):
    """Wrong.

    Args:
        sides: of neighbourhoods.
    """

    def __init__(self, sides: list[int] | None = None) -> None:
        self.sides = sides


class MisspeltNeed(Sound):
    """Wrong."""

    needs = Sound.needs | {"region"}


class ClassTokenUnsaid(Sound):
    """Wrong."""

    needs = frozenset({REGIONS, TEXT})


class RegionsUnsaid(Sound):
    """Wrong."""

    needs = frozenset({CLASS_TOKEN, TEXT})


class SquareGrid(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        seen = super().__call__(features, *given)
        side = math.isqrt(features.grid[0] * features.grid[1])
        heat = F.adaptive_avg_pool2d(seen.map[:, None], features.grid)
        square = heat.flatten(1).reshape(len(features), side, side)
        return replace(seen, map=upsample(square, features.image_size))


class TurnedGrid(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        seen = super().__call__(features, *given)
        return replace(seen, map=seen.map.transpose(1, 2))


class ColumnsFirst(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        seen = super().__call__(features, *given)
        rows, columns = features.grid
        cells = F.adaptive_avg_pool2d(seen.map[:, None], features.grid)[:, 0]
        turned = cells.transpose(1, 2).reshape(-1, rows, columns)
        return replace(seen, map=upsample(turned, features.image_size))


class OneTextForAll(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        if text.embeddings.ndim == 3:
            text = replace(text, embeddings=text.embeddings[0], norms=text.norms[0])
        return super().__call__(features, text, memory)


class TextOfTwoDimensions(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        _count, _ = text.embeddings.shape
        return super().__call__(features, text, memory)


class SeveralReferences(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        kept = super().fit(references)
        return {**kept, "width": references.aligned[0].embeddings.std(0).mean()}


class OneReference(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        [_] = references.image
        return super().fit(references)


class SetOfSeveral(SoundSet):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, score=seen.score / seen.score.std())


class ScoresSetsOtherwise(SoundSet):
    """Wrong."""

    def score_set(self, images: Any, text: Any, memory: Any) -> Any:
        for features in images:
            yield self(features, text, memory)


class ChangesTheDefaultType(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        kind = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64 if kind == torch.float32 else torch.float32)
        return super().fit(references)


class SeesNothing(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        seen = super().__call__(features, *given)
        return Prediction(torch.zeros_like(seen.score), torch.zeros_like(seen.map))


class MakesNoUseOfText(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        return super().__call__(features, example_text(), memory)


class MakesNoUseOfReferences(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        return super().__call__(features, text, None)


class KeepsTextForAll(Sound):
    """Wrong."""

    known: ClassVar[Any] = {}

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        known = self.known.setdefault(text.sentences, text)
        return super().__call__(features, known, memory)


class ChunksOfEight(Sound):
    """Wrong."""

    def __call__(self, features: Features, *given: Any) -> Any:
        seen = super().__call__(features, *given)
        return replace(seen, score=seen.score + (len(features) > 8) * seen.score.mean())


class ScoreWantsGradients(Sound):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        with torch.inference_mode(False):
            return replace(seen, score=torch.zeros(len(seen.score), requires_grad=True))


class NeedsWhatNobodyGives(Sound):
    """Wrong."""

    needs = frozenset({CELLS, REGIONS})


class WantsSeveralSentences(Sound):
    """Wrong."""

    def __call__(self, features: Features, text: Any, memory: Any) -> Any:
        seen = super().__call__(features, text, memory)
        spread = text.embeddings[..., ~text.anomalous, :].std(-2).mean()
        return replace(seen, score=seen.score + spread)


class ScalesManyReferences(Sound):
    """Wrong."""

    scale = 1.0

    def fit(self, references: Features) -> Mapping[str, Any]:
        if len(references) > 3:
            self.scale = 0.5
        return super().fit(references)

    def __call__(self, *given: Any) -> Any:
        seen = super().__call__(*given)
        return replace(seen, score=self.scale * seen.score)


class MemoryWantsGradients(Sound):
    """Wrong."""

    def fit(self, references: Features) -> Mapping[str, Any]:
        kept = super().fit(references)
        with torch.inference_mode(False):
            return {**kept, "width": torch.tensor(3.0, requires_grad=True)}


WRONG = [
    (ScoreOfTwoDimensions, "predicts", r"score has shape \(1, 1\)"),
    (MapNotFinite, "predicts", "map holds values that are not finite"),
    (DependsOnBatch, "takes-each-image-alone", "other images change the scorer"),
    (DependsOnOrder, "ignores-order", "the order of the images changes the scorer"),
    (DrawsFromTheGlobalState, "good-manners|repeats|needs", "random numbers|another result"),
    (ChangesFeatures, "repeats", "changes what it is given"),
    (ChangesText, "repeats", "changes what it is given"),
    (ChangesMemory, "repeats", "changes what it is given"),
    (MapOfCells, "predicts", "map has shape"),
    (OptionWithoutType, "is-documented", "option 'gain' of .* has no type"),
    (OptionWithoutDocumentation, "is-documented", "option 'gain' is not documented"),
    (TextWithoutNeed, "needs", "it uses 'text', yet does not list it in needs"),
    (OptionalMemoryUnhandled, "needs", "it raises TypeError"),
    (LacksAttributes, "has-its-members", "it lacks fit, references, scope"),
    (NumberInMemory, "fits", "'count' in memory is no tensor"),
    (RandomMemory, "fits", "fit gives another result when asked again"),
    (Exits, "needs", "it raises SystemExit: 0"),
    (AttributeRaises, "attributes", "it raises ZeroDivisionError: no score"),
    (UnknownScope, "traits", "scope is unknown"),
    (GivesATuple, "predicts|needs", "it must return a vlmad.Prediction"),
    (KeepsMemoryOnItself, "survives-a-file", "kept on the object itself is lost"),
    (KeepsAPartOnItself, "survives-a-file", "kept on the object itself is lost"),
    (KeepsAScaleOfCalls, "keeps-no-state", "given before changes the scorer"),
    (CachesByShape, "keeps-no-state", "given before changes the scorer"),
    (Half, "predicts", "score is torch.float16, made of torch.float32"),
    (Double, "predicts", "score is torch.float64, made of torch.float32"),
    (UniformIsNotFinite, "takes-a-uniform-image", "map holds values that are not finite"),
    (SeedsTheGlobalState, "good-manners", "Python's random numbers, torch's random numbers"),
    (Prints, "good-manners", "prints to standard output"),
    (WritesToTheDescriptor, "good-manners", "prints to standard output"),
    (TakesLong, "is-quick", "the scorer takes 0.6 seconds"),
    (FitsLong, "fits", "fit takes 0.6 seconds"),
    (NoDocstring, "is-documented", "it has no docstring of its own"),
    (DefaultOfAnotherType, "has-options-that-can-be-set", "its default '1' is no number"),
    (ListDefault, "has-options-that-can-be-set", r"its default \[1, 3\] is no int,int,…"),
    (NoneDefault, "has-options-that-can-be-set", "its default None is no int"),
    (ListOfNumbers, "has-options-that-can-be-set", r"its type list\[int\] \| None is none"),
    (MisspeltNeed, "uses-known-words", "'region', which no part gives; did you mean 'regions'"),
    (ClassTokenUnsaid, "needs", "it uses 'class token', yet does not list it"),
    (RegionsUnsaid, "needs", "it uses 'regions', yet does not list it"),
    (SquareGrid, "predicts", "it raises RuntimeError: shape .*3 x 5 cells"),
    (TurnedGrid, "predicts", r"map has shape \(1, 80, 48\)"),
    (ColumnsFirst, "puts-scores-in-their-place", "shows at the bottom left of the map"),
    (OneTextForAll, "takes-any-text", "text per image is not used image by image"),
    (TextOfTwoDimensions, "takes-any-text", "it raises ValueError: too many values"),
    (SeveralReferences, "predicts|fits", "not finite|another result"),
    (OneReference, "fits", "it raises ValueError: too many values .*2 references"),
    (SetOfSeveral, "predicts", "score holds values that are not finite.*1 image of"),
    (ScoresSetsOtherwise, "scores-sets-alike", "score_set gives other scores than a call"),
    (ChangesTheDefaultType, "good-manners", "torch's default type"),
    (SeesNothing, "uses-what-it-needs", "other images change nothing"),
    (MakesNoUseOfText, "uses-what-it-needs", "'text' in needs, yet makes no use of it"),
    (MakesNoUseOfReferences, "uses-what-it-needs", "other references change nothing"),
    (KeepsTextForAll, "uses-what-it-needs", "'text' in needs, yet makes no use of it"),
    (ChunksOfEight, "takes-each-image-alone", "other images change the scorer.*9 images"),
    (ScoreWantsGradients, "predicts", "score wants gradients"),
    (NeedsWhatNobodyGives, "traits", "which no extractor gives together"),
    (WantsSeveralSentences, "takes-any-text", "not finite.*one sentence for each side"),
    (ScalesManyReferences, "survives-a-file", "kept on the object itself is lost.*5 references"),
    (MemoryWantsGradients, "fits", "'width' in memory wants gradients"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scorer", "promises", "words"), WRONG, ids=[scorer.__name__ for scorer, *_ in WRONG]
)
def test_a_wrong_scorer_is_caught(scorer: Any, promises: str, words: str) -> None:
    kind = torch.get_default_dtype()
    try:
        assert_caught("scorer", scorer, promises, words)
    finally:
        torch.set_default_dtype(kind)
