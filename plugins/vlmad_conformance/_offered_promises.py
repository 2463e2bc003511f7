"""What a scorer promises of what it may offer besides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vlmad.parts import HonoursInside, ScoresSets
from vlmad.regions import inside_regions
from vlmad.types import Prediction
from vlmad_attribution.attribution import Attribution, HasAttribution
from vlmad_conformance._scorer_inputs import calls_of, features_for, shown, text_for
from vlmad_conformance.facts import given, require, require_close, require_tensor

if TYPE_CHECKING:
    from vlmad.types import Features, TextEmbeddings
    from vlmad_conformance.promises import Subject


def scores_sets_alike(subject: Subject) -> None:
    """`score_set`, which takes images one by one, gives what a call with all of them gives."""
    for call in calls_of(subject):
        if not isinstance(call.scorer, ScoresSets):
            return
        for count in (2, 3):
            features, text = features_for(call.scorer, count), text_for(call.scorer)
            pieces = [features[[row]] for row in range(count)]
            with torch.inference_mode(), given(shown(features, call)):
                each = list(call.scorer.score_set(pieces, text, call.memory))
                joined = Prediction(*(torch.cat(t) for t in zip(*map(_both, each), strict=True)))
                seen = call(features, text)
                require_close(joined, seen, "score_set gives other scores than a call")


def _both(seen: Prediction) -> tuple[torch.Tensor, torch.Tensor]:
    return seen.score, seen.map


def attributes(subject: Subject) -> None:
    """What it says that its score is made of rebuilds the score."""
    for call in calls_of(subject):
        if not isinstance(call.scorer, HasAttribution):
            return
        features, text = features_for(call.scorer, 3), text_for(call.scorer)
        with torch.inference_mode(), given(shown(features, call)):
            attribution = call.scorer.attribute(features, text, call.memory)
            _check_attribution(attribution, call(features, text), features, text)


def _check_attribution(
    attribution: Attribution,
    seen: Prediction,
    features: Features,
    text: TextEmbeddings | None,
) -> None:
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


def honours_inside(subject: Subject) -> None:
    """What lies outside changes nothing that is remembered or scored, if it says so."""
    scorer = subject.make()
    honours = isinstance(scorer, HonoursInside) and scorer.honours_inside
    if not honours:
        return
    features, text = features_for(scorer, 3), text_for(scorer)
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
    with torch.inference_mode(), given("3 images, their right half outside"):
        memory, same = (scorer.fit(each[[0, 1]]) if fits else None for each in (seen, other))
        require_close(same, memory, "fit: it remembers what lies outside")
        first, second = (scorer(each, text, memory) for each in (seen, other))
        require_close(second.score, first.score, "what lies outside changes the score")
