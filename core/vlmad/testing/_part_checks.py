"""The contracts of attention modifiers, prompts, extractors and scorers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from vlmad.attribution import Attribution
from vlmad.parts import (
    CELLS,
    CLASS_TOKEN,
    PATCHES,
    REGIONS,
    TEXT,
    AddsReferences,
    HasAttribution,
    HonoursInside,
    JudgesMemory,
    Learns,
    LearnsMisses,
)
from vlmad.regions import coverage, inside_regions
from vlmad.testing._examples import (
    UsualAttention,
    example_features,
    example_images,
    example_text,
    two_layer_backbone,
)
from vlmad.testing._facts import (
    require,
    require_close,
    require_repeatable,
    require_tensor,
    unchanged,
)
from vlmad.types import Features, Prediction, Regions, TextEmbeddings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vlmad.parts import Attention, Backbone, Extractor, Prompts, Scorer
    from vlmad.types import BackboneSpec

ODD_NAMES = ("bolt", "metal nut", "{} [bold] 100%", "Schraube ä 螺丝")


def check_learning(part: Learns, spec: BackboneSpec) -> None:
    """Check what a part has to learn: named tensors that gradients can reach, the seed's own."""
    first, again = (dict(part.learnable(spec, 0)) for _ in range(2))
    require(bool(first), "learnable: it has nothing to learn")
    for name, tensor in first.items():
        floating = isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
        require(isinstance(name, str) and floating, f"learnable: '{name}' is no floating tensor")
        require(tensor.is_leaf and not tensor.is_inference(), f"learnable: '{name}' cannot learn")
        require(bool(tensor.isfinite().all()), f"learnable: '{name}' is not finite")
    require_close(again, first, "learnable: the same seed draws other values")
    texts = [*part.facts().keys(), *part.facts().values()]
    require(all(isinstance(text, str) for text in texts), "facts must be texts by name")


def check_attention(attention: Attention) -> None:
    """Check an attention modifier: its blocks exist, `mix` keeps shape, inputs and determinism."""
    require(attention.path in ("stream", "beside"), f"path is {attention.path!r}")
    for depth in (1, 2, 12, 24):
        acts = attention.blocks(depth)
        require(isinstance(acts, range), "blocks must return a range")
        require(all(0 <= i < depth for i in acts), f"blocks({depth}) leaves 0 to {depth - 1}")
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 7, 8, generator=generator) for _ in range(3))
    with unchanged((q, k, v), name="mix"):
        mixed = require_repeatable(lambda: attention.mix(q, k, v), "mix")
    require_tensor(mixed, (2, 3, 7, 8), "mix")
    require_close(attention.mix(q[:1], k[:1], v[:1]), mixed[:1], "the batch changes mix")


def check_prompts(prompts: Prompts, backbone: Backbone | None = None) -> None:
    """Check prompts: unit embeddings, both sides, any class name, determinism.

    Args:
        prompts: the part.
        backbone: one that it fits; by default `two_layer_backbone()`.
    """
    backbone = backbone or two_layer_backbone()
    refused = f"it refuses {backbone.spec.name}: {prompts.refuses(backbone.spec)}"
    require(prompts.refuses(backbone.spec) is None, f"{refused}; give check_prompts another")
    require(prompts.class_token(backbone.spec) in ("normed", "raw"), "class_token is unknown")
    features = example_features(2, dimensions=backbone.spec.embedding_dim)
    seen = features if prompts.looks_at_image else None
    with torch.inference_mode(), unchanged(backbone, features, name="the prompts"):
        for class_name in ODD_NAMES:
            call = partial(prompts, backbone, class_name, seen)
            _check_text(require_repeatable(call, "the prompts"), prompts, backbone)


def _check_text(text: TextEmbeddings | None, prompts: Prompts, backbone: Backbone) -> None:
    if TEXT not in prompts.gives:
        require(text is None, "they do not list 'text' in gives, yet return embeddings")
        return
    require(isinstance(text, TextEmbeddings), "they must return vlmad.TextEmbeddings")
    assert text is not None
    images = (2,) if prompts.looks_at_image and text.embeddings.ndim == 3 else ()
    shape = (*images, len(text.sentences))
    require_tensor(text.embeddings, (*shape, backbone.spec.embedding_dim), "embeddings")
    require_tensor(text.norms, shape, "norms")
    require(text.anomalous.dtype == torch.bool, "anomalous must be of dtype bool")
    require(text.anomalous.shape == (len(text.sentences),), "anomalous needs a side per sentence")
    both = bool(text.anomalous.any()) and not bool(text.anomalous.all())
    require(both, "both a normal and an anomalous sentence are needed")
    lengths = text.embeddings.norm(dim=-1)
    require_close(lengths, torch.ones_like(lengths), "embeddings are not of unit length")


def check_extractor(extractor: Extractor, backbone: Backbone | None = None) -> None:
    """Check an extractor: hashable requests, regions within the grid that cover it.

    Args:
        extractor: the part.
        backbone: one that gives what it needs; by default `two_layer_backbone()`.
    """
    backbone = backbone or two_layer_backbone()
    paths: list[UsualAttention] = [UsualAttention()]
    if PATCHES in extractor.gives:
        paths.append(UsualAttention("beside", 1))
    for attention in paths:
        for class_token in ("normed", "raw"):
            requests = list(extractor.requests(backbone.spec, attention, class_token))
            again = list(extractor.requests(backbone.spec, attention, class_token))
            require(requests == again, "it asks for something else when asked again")
            require(len(set(requests)) == len(requests), "it asks for the same thing twice")
            with torch.inference_mode():
                visual = backbone.encode(example_images(), requests, attention)
                with unchanged(visual, name="the extractor"):
                    features = require_repeatable(partial(extractor, visual), "the extractor")
            _check_features(features, extractor, backbone)


def _check_features(features: Features, extractor: Extractor, backbone: Backbone) -> None:
    spec, gives = backbone.spec, extractor.gives
    require(isinstance(features, Features), "it must return vlmad.Features")
    if CLASS_TOKEN in gives:
        require_tensor(features.image, (3, spec.embedding_dim), "image")
    require(features.grid == spec.grid, "its features have another grid than the backbone")
    names = [regions.name for regions in features.regions]
    require(len(set(names)) == len(names), f"two of its regions have the same name: {names}")
    for regions in features.regions:
        _check_regions(regions, regions.grid or spec.grid)
    if CELLS in gives:
        whole = [regions.grid for regions in features.regions if not regions.aligned]
        require(bool(whole) and None not in whole, "it lists 'cells of levels', but gives no grid")
    if REGIONS in gives:
        require(bool(features.aligned), "it lists 'regions' in gives, but has none aligned")
    for regions in features.aligned:
        width = regions.embeddings.shape[-1]
        require(width == spec.embedding_dim, f"{regions.name} is not in the space of the text")
        sides = regions.cells[:, 2:] - regions.cells[:, :2]
        single = PATCHES not in gives or bool((sides == 1).all())
        require(single, "it lists 'patch features' in gives, but its regions are larger")


def _check_regions(regions: Regions, grid: tuple[int, int]) -> None:
    count, width = regions.embeddings.shape[-2:]
    require_tensor(regions.embeddings, (3, count, width), regions.name)
    require(tuple(regions.cells.shape) == (count, 4), f"{regions.name}: cells must be (r, 4)")
    top_left, bottom_right = regions.cells.split(2, dim=1)
    inside = (top_left >= 0).all() and (bottom_right <= torch.tensor(grid)).all()
    require(bool(inside and (top_left < bottom_right).all()), f"{regions.name} leaves the grid")
    covered = bool((coverage(regions.cells, grid).sum(0) > 0).all())
    require(covered, f"{regions.name} leaves cells of the grid uncovered")


def check_scorer(
    scorer: Scorer, features: Features | None = None, text: TextEmbeddings | None = None
) -> None:
    """Check a scorer: shapes, finite values, determinism, independence of the batch.

    Args:
        scorer: the part.
        features: of three images; by default what `example_features` gives for its needs.
        text: by default `example_text`, or None if it does not need text.
    """
    features = features or example_features(gives=scorer.needs)
    if text is None and TEXT in scorer.needs:
        text = example_text(features.image.shape[-1])
    require(scorer.references in ("none", "optional", "required"), "references is unknown")
    require(scorer.scope in ("image", "set"), "scope is unknown")
    if scorer.references != "required":
        _check_prediction(scorer, features, text, None)
    if scorer.references != "none":
        _check_prediction(scorer, features, text, _check_fit(scorer, features))
    if isinstance(scorer, HonoursInside) and scorer.honours_inside:
        _check_inside(scorer, features, text)
    if isinstance(scorer, AddsReferences):
        _check_add(scorer, features, text)
    if isinstance(scorer, LearnsMisses) and scorer.learns_misses:
        _check_misses(scorer, features, text)


def _check_fit(scorer: Scorer, features: Features) -> Mapping[str, Tensor]:
    references = features[[0, 1]]
    with torch.inference_mode(), unchanged(references, name="fit"):
        memory: Mapping[str, Tensor] = require_repeatable(lambda: scorer.fit(references), "fit")
    for name, tensor in memory.items():
        require(isinstance(tensor, torch.Tensor), f"fit: '{name}' in memory is no tensor")
    if isinstance(scorer, JudgesMemory):
        width = features.image.shape[-1]
        spec = replace(two_layer_backbone().spec, embedding_dim=width, vision_width=width)
        refused = scorer.refuses_memory(memory, spec)
        require(refused is None, f"refuses_memory: it refuses what fit gave: {refused}")
        for name in [name for name, kept in memory.items() if kept.is_floating_point()]:
            broken = {**memory, name: torch.full_like(memory[name], torch.nan)}
            accepts = scorer.refuses_memory(broken, spec) is None
            require(not accepts, f"refuses_memory: it takes a '{name}' that is not finite")
    return memory


def _check_inside(scorer: Scorer, features: Features, text: TextEmbeddings | None) -> None:
    """Check that what lies outside changes nothing that is remembered or scored inside."""
    inside = torch.zeros(len(features), *features.image_size, dtype=torch.bool)
    inside[:, :, : features.image_size[1] // 2] = True
    seen = replace(features, inside=inside)
    levels = []
    for regions in seen.regions:
        counts = inside_regions(seen, regions)
        assert counts is not None
        changed = regions.embeddings.where(counts[..., None], 5 + regions.embeddings.flip(1))
        levels.append(replace(regions, embeddings=changed))
    other = replace(seen, regions=tuple(levels))
    fits = scorer.references != "none"
    with torch.inference_mode():
        memory, same = (scorer.fit(each[[0, 1]]) if fits else None for each in (seen, other))
        require_close(same, memory, "fit: it remembers what lies outside")
        first, second = (scorer(each, text, memory) for each in (seen, other))
    require_close(second.score, first.score, "what lies outside changes the score")


def _check_add(scorer: Scorer, features: Features, text: TextEmbeddings | None) -> None:
    assert isinstance(scorer, AddsReferences)
    with torch.inference_mode():
        first, second = (scorer.fit(features[[index]]) for index in (0, 1))
        with unchanged(first, second, name="add"):
            added = require_repeatable(lambda: scorer.add(first, second), "add")
        together = scorer(features, text, scorer.fit(features[[0, 1]]))
        predicted = scorer(features, text, added)
        if scorer.adds_exactly:
            require_close(predicted, together, "add: it is not what fitting all at once gives")


def _check_misses(scorer: Scorer, features: Features, text: TextEmbeddings | None) -> None:
    assert isinstance(scorer, LearnsMisses)
    with torch.inference_mode():
        memory, miss = scorer.fit(features[[0, 1]]), features[[2]]
        with unchanged(memory, miss, name="learn_miss"):
            learned = require_repeatable(lambda: scorer.learn_miss(memory, miss), "learn_miss")
        raised = scorer(miss, text, learned).score > scorer(miss, text, memory).score
        require(bool(raised.all()), "learn_miss: the miss itself does not score higher")
    _check_prediction(scorer, features, text, learned)


def _check_prediction(
    scorer: Scorer,
    features: Features,
    text: TextEmbeddings | None,
    memory: Mapping[str, Tensor] | None,
) -> None:
    count = len(features)
    with torch.inference_mode():
        with unchanged(features, text, memory, name="the scorer"):
            seen = require_repeatable(lambda: scorer(features, text, memory), "the scorer")
        require(isinstance(seen, Prediction), "it must return a vlmad.Prediction")
        require_tensor(seen.score, (count,), "score")
        require_tensor(seen.map, (count, *features.image_size), "map")
        if isinstance(scorer, HasAttribution):
            _check_attribution(scorer.attribute(features, text, memory), seen, features, text)
        order = list(range(count))[::-1]
        turned = scorer(features[order], text, memory)
        require_close(turned, seen[order], "the order of the images changes the scorer")
        if scorer.scope == "image":
            alone = scorer(features[[1]], text, memory)
            require_close(alone, seen[[1]], "other images change the scorer")


def _check_attribution(
    attribution: Attribution,
    seen: Prediction,
    features: Features,
    text: TextEmbeddings | None,
) -> None:
    """Check that what a scorer says of its score rebuilds it."""
    require(isinstance(attribution, Attribution), "attribute must return a vlmad Attribution")
    rebuilt = torch.stack([a.weight * a.value for a in attribution.addends]).sum(0)
    require_close(rebuilt, seen.score, "attribute: the addends do not sum to the score")
    for judged in attribution.judged:
        known = any(judged.regions is regions for regions in features.regions)
        require(known, "attribute: it judges regions that the features do not hold")
        count = judged.regions.embeddings.shape[1]
        require_tensor(judged.values, (len(features), count), f"attribute: {judged.regions.name}")
    if attribution.voices is not None and text is not None:
        pushes = attribution.voices.pushes(features.image[:, None])
        shape = (len(features), 1, len(text.sentences))
        require_tensor(pushes, shape, "attribute: pushes")
