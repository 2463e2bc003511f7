"""Attention, extractors and prompts with one mistake each: each is caught and named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vlmad import (
    Attention,
    ClassToken,
    ContextPrompts,
    Extractor,
    Features,
    Patches,
    Prompts,
    Regions,
    TextEmbeddings,
    Windows,
)
from vlmad.parts import CELLS, CLASS_TOKEN, PATCH_TOKENS, PATCHES, REGIONS
from vlmad.regions import patch_cells
from vlmad.text import embed_sides

from .conftest import assert_caught, broken


class Sharper(Attention):
    """Attention that keeps every promise."""

    def blocks(self, depth: int) -> range:
        return range(depth // 2, depth)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(2 * q, k, v)


class MixesOverTheBatch(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return super().mix(q, k, v - v.mean(0, keepdim=True))


class ChangesValues(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return super().mix(q, k, v.mul_(0.5))


class SquareTokens(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        side = math.isqrt(v.shape[2] - 1)
        v[:, :, 1:].unflatten(2, (side, side))
        return super().mix(q, k, v)


class BeyondTheDepth(Sharper):
    """Wrong."""

    def blocks(self, depth: int) -> range:
        return range(5, 24)


class AnotherShape(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return super().mix(q, k, v).transpose(1, 2).flatten(2)


class Float32OutOfBfloat16(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return super().mix(q.float(), k.float(), v.float())


class Overflows(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.exp(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))
        return weights / weights.sum(-1, keepdim=True) @ v


class WantsOneLayout(Sharper):
    """Wrong."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        flat = (tensor.view(-1, *tensor.shape[2:]) for tensor in (q, k, v))
        return F.scaled_dot_product_attention(*flat).reshape(v.shape)


class RemembersTokens(Sharper):
    """Wrong."""

    mean: Any = None

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.mean is None:
            self.mean = v.mean()
        return super().mix(q, k, v - self.mean)


class RunningMean(Sharper):
    """Wrong."""

    mean: Any = 0.0

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * v.mean()
        return super().mix(q, k, v - self.mean)


class Dense(Extractor):
    """An extractor that keeps every promise."""

    needs = frozenset({PATCH_TOKENS})
    gives = frozenset({CLASS_TOKEN, REGIONS, PATCHES})

    def requests(self, spec: Any, attention: Any, class_token: Any) -> Sequence[Any]:
        path: Any = "beside" if attention.path == "beside" else "plain"
        return [ClassToken(class_token == "normed"), Patches(spec.depth, path)]

    def __call__(self, visual: Any) -> Any:
        image, patches = visual.tensors.values()
        regions = Regions("patches", patches, patch_cells(visual.grid))
        return Features(image, (regions,), visual.grid, visual.image_size)


def changed(features: Features, **fields: Any) -> Features:
    return replace(features, regions=(replace(features.regions[0], **fields),))


class FixedGrid(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        return changed(super().__call__(visual), cells=patch_cells((4, 4)))


class LeavesTheGrid(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        return changed(super().__call__(visual), cells=patch_cells(visual.grid) + 1)


class WritesToAnswers(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        for tensor in visual.tensors.values():
            tensor.div_(tensor.norm(dim=-1, keepdim=True))
        return super().__call__(visual)


class RegionsNotFinite(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        seen = super().__call__(visual)
        return changed(seen, embeddings=seen.regions[0].embeddings.log())


class CentresOverTheBatch(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        seen = super().__call__(visual)
        cells = seen.regions[0].embeddings
        return changed(seen, embeddings=cells - cells.mean((0, 1)))


class SaysRegions(Dense):
    """Wrong."""

    gives = frozenset({CLASS_TOKEN, REGIONS})

    def __call__(self, visual: Any) -> Any:
        return changed(super().__call__(visual), aligned=False)


class SaysCells(Dense):
    """Wrong."""

    gives = Dense.gives | {CELLS}


class SaysClassToken(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        seen = super().__call__(visual)
        return replace(seen, image=seen.regions[0].embeddings.mean(1))


class RawSpaceAsText(Dense):
    """Wrong."""

    def requests(self, spec: Any, attention: Any, class_token: Any) -> Sequence[Any]:
        token, patches = super().requests(spec, attention, class_token)
        return [token, replace(patches, stage="raw")]


class NeedsUnsaid(Dense):
    """Wrong."""

    needs = frozenset()


class WindowsUnsaid(Dense):
    """Wrong."""

    gives = frozenset({CLASS_TOKEN, REGIONS})

    def requests(self, spec: Any, attention: Any, class_token: Any) -> Sequence[Any]:
        return [ClassToken(class_token == "normed"), Windows(1)]


class IgnoresTheSecondPath(Dense):
    """Wrong."""

    def requests(self, spec: Any, attention: Any, class_token: Any) -> Sequence[Any]:
        return [ClassToken(class_token == "normed"), Patches(spec.depth)]


class IgnoresTheRawToken(Dense):
    """Wrong."""

    def requests(self, spec: Any, attention: Any, class_token: Any) -> Sequence[Any]:
        return super().requests(spec, attention, "normed")


class FloatCells(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        return changed(super().__call__(visual), cells=patch_cells(visual.grid).float())


class HalfRegions(Dense):
    """Wrong."""

    def __call__(self, visual: Any) -> Any:
        seen = super().__call__(visual)
        return changed(seen, embeddings=seen.regions[0].embeddings.half())


class RemembersTheGrid(Dense):
    """Wrong."""

    mean: Any = None

    def __call__(self, visual: Any) -> Any:
        seen = super().__call__(visual)
        if self.mean is None:
            self.mean = seen.regions[0].embeddings.mean((0, 1))
        return changed(seen, embeddings=seen.regions[0].embeddings - self.mean)


class Two(Prompts):
    """Prompts that keep every promise."""

    def __call__(self, backbone: Any, class_name: str, features: Any) -> Any:
        return embed_sides(backbone, [f"a {class_name}"], [f"a damaged {class_name}", "a defect"])


class Looking(Two):
    """Prompts that look at the image and keep every promise."""

    looks_at_image = True

    def __call__(self, backbone: Any, class_name: str, features: Any) -> Any:
        plain = super().__call__(backbone, class_name, None)
        pulled = plain.embeddings + 0.2 * F.normalize(features.image, dim=-1)[:, None]
        return TextEmbeddings.of(pulled, plain.anomalous.tolist(), plain.sentences)


class NotOfUnitLength(Two):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        text = super().__call__(*given)
        return replace(text, embeddings=text.embeddings * text.norms[:, None] * 2)


class OneSided(Two):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        text = super().__call__(*given)
        return replace(text, anomalous=torch.ones(3, dtype=torch.bool))


class FormatsNames(Two):
    """Wrong."""

    def __call__(self, backbone: Any, class_name: str, features: Any) -> Any:
        return super().__call__(backbone, f"{class_name} in {{}}".format("a photo"), features)


class LooksUnsaid(Looking):
    """Wrong."""

    looks_at_image = False


class WrongCounts(Two):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        text = super().__call__(*given)
        return replace(text, sentences=text.sentences[:2])


class SeedsForSentences(Two):
    """Wrong."""

    def __call__(self, *given: Any) -> Any:
        torch.manual_seed(0)
        return super().__call__(*given)


class PullsOverTheBatch(Looking):
    """Wrong."""

    def __call__(self, backbone: Any, class_name: str, features: Any) -> Any:
        centred = replace(features, image=features.image - features.image.mean(0))
        return super().__call__(backbone, class_name, centred)


class ContextUnsaid(Two):
    """Wrong."""

    def __call__(self, backbone: Any, class_name: str, features: Any) -> Any:
        context = torch.ones(2, 1, backbone.spec.text_width)
        sentences = (f"X {class_name}", f"X damaged {class_name}")
        raw = backbone.encode_text(ContextPrompts(context, sentences))
        return TextEmbeddings.of(raw, (False, True), sentences)


class TextUnsaid(Two):
    """Wrong."""

    needs = frozenset()


class RemembersTheFirstName(Two):
    """Wrong."""

    known: Any = None

    def __call__(self, *given: Any) -> Any:
        if self.known is None:
            self.known = super().__call__(*given)
        return self.known


class BothSidesAlike(Two):
    """Wrong."""

    def __call__(self, backbone: Any, class_name: str, features: Any) -> Any:
        return embed_sides(backbone, [f"a {class_name}"], [f"a {class_name}"])


class MisspeltGift(Dense):
    """Wrong."""

    gives = frozenset({CLASS_TOKEN, REGIONS, "patch feature"})


class RegionsUnsaid(Dense):
    """Wrong."""

    gives = frozenset({CLASS_TOKEN})


class SeesNothing(Dense):
    """Wrong."""

    gives = frozenset({REGIONS})

    def __call__(self, visual: Any) -> Any:
        seen = super().__call__(visual)
        level = changed(seen, embeddings=torch.ones_like(seen.regions[0].embeddings))
        return replace(level, image=torch.ones_like(seen.image))


@pytest.mark.parametrize(
    ("kind", "part"),
    [("attention", Sharper), ("extractor", Dense), ("prompts", Two), ("prompts", Looking)],
)
def test_a_sound_part_breaks_nothing(kind: str, part: Any) -> None:
    assert broken(kind, part) == []


WRONG = [
    ("attention", MixesOverTheBatch, "takes-each-image-alone", "other images change mix"),
    ("attention", ChangesValues, "mixes", "mix changes what it is given"),
    ("attention", SquareTokens, "mixes", r"it raises .*\(2, 3, 7, 8\)"),
    ("attention", BeyondTheDepth, "acts-on-blocks", r"blocks\(1\) leaves 0 to 0.*a depth of 1"),
    ("attention", AnotherShape, "mixes", "mix has shape"),
    ("attention", Float32OutOfBfloat16, "mixes-any-numbers", "float32, made of .*bfloat16"),
    ("attention", Overflows, "mixes-any-numbers", "mix holds values that are not finite"),
    ("attention", WantsOneLayout, "mixes", "it raises RuntimeError: view size"),
    ("attention", RemembersTokens, "keeps-no-state", "given before changes mix"),
    ("attention", RunningMean, "mixes", "mix gives another result when asked again"),
    ("extractor", FixedGrid, "arranges", "it raises|cells must be|leaves the grid"),
    ("extractor", LeavesTheGrid, "arranges", "patches leaves the grid"),
    ("extractor", WritesToAnswers, "repeats", "the extractor changes what it is given"),
    ("extractor", RegionsNotFinite, "arranges", "not finite.*1 image of 4 x 4 patches"),
    ("extractor", CentresOverTheBatch, "takes-each-image-alone", "other images change"),
    ("extractor", SaysRegions, "arranges", "lists 'regions' in gives, but has none aligned"),
    ("extractor", SaysCells, "arranges", "lists 'cells of levels', but gives no grid"),
    ("extractor", SaysClassToken, "gives-the-class-token", "its image is not the class token"),
    ("extractor", RawSpaceAsText, "arranges", "patches is not in the space of the text"),
    ("extractor", NeedsUnsaid, "asks", "yet does not list 'patch tokens' in needs"),
    ("extractor", WindowsUnsaid, "asks", "yet does not list 'token windows' in needs"),
    ("extractor", IgnoresTheSecondPath, "reads-the-second-path", "ignores the second path"),
    ("extractor", IgnoresTheRawToken, "gives-the-class-token", "asked for, the raw one"),
    ("extractor", FloatCells, "arranges", "cells are torch.float32, not integers"),
    ("extractor", HalfRegions, "arranges", "patches is torch.float16, made of torch.float32"),
    ("extractor", RemembersTheGrid, "keeps-no-state", "given before changes the extractor"),
    ("extractor", MisspeltGift, "uses-known-words", "gives 'patch feature'.*'patch features'"),
    ("extractor", RegionsUnsaid, "arranges", "does not list 'regions' in gives"),
    ("extractor", SeesNothing, "uses-the-image", "another image has the same features"),
    ("prompts", BothSidesAlike, "give-embeddings", "both sides mean the same"),
    ("prompts", NotOfUnitLength, "give-embeddings", "embeddings are not of unit length"),
    ("prompts", OneSided, "give-embeddings", "a normal and an anomalous sentence are needed"),
    ("prompts", FormatsNames, "give-embeddings", r"it raises .*class name '\{\}"),
    ("prompts", LooksUnsaid, "give-embeddings", "it raises AttributeError.*class name 'bolt'"),
    ("prompts", WrongCounts, "give-embeddings", r"embeddings has shape \(3, 10\), not \(2, 10\)"),
    ("prompts", SeedsForSentences, "good-manners", "torch's random numbers"),
    ("prompts", PullsOverTheBatch, "takes-each-image-alone", "other images change"),
    ("prompts", ContextUnsaid, "give-embeddings", "does not list 'learned context' in needs"),
    ("prompts", TextUnsaid, "give-embeddings", "does not list 'text encoder' in needs"),
    ("prompts", RemembersTheFirstName, "keeps-no-state", "given before changes the embeddings"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "part", "promise", "words"), WRONG, ids=[part.__name__ for _, part, *_ in WRONG]
)
def test_a_wrong_part_is_caught(kind: str, part: Any, promise: str, words: str) -> None:
    assert_caught(kind, part, promise, words)
