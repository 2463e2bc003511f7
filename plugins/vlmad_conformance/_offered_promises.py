"""What a scorer promises of what it may offer besides."""

from __future__ import annotations

from dataclasses import replace

import torch

from vlmad.parts import HonoursInside, ScoresSets
from vlmad.regions import inside_regions
from vlmad.types import Prediction
from vlmad_attribution.attribution import Attribution, HasAttribution
from vlmad_conformance._scorings import Scoring, scorings
from vlmad_conformance.facts import given, require, require_close, require_tensor
from vlmad_conformance.promises import each


@each(scorings(2, 3))
def scores_sets_alike(trial: Scoring) -> None:
    """`score_set`, which takes images one by one, gives what a call with all of them gives."""
    scorer = trial.part
    if not isinstance(scorer, ScoresSets):
        return
    pieces = [trial.images[[row]] for row in range(len(trial.images))]
    seen = list(scorer.score_set(pieces, trial.text, trial.memory))
    joined = Prediction(torch.cat([p.score for p in seen]), torch.cat([p.map for p in seen]))
    require_close(joined, trial.answer(), "score_set gives other scores than a call")


@each(scorings(3))
def attributes(trial: Scoring) -> None:
    """What it says that its score is made of rebuilds the score."""
    scorer, features, text = trial.part, trial.images, trial.text
    if not isinstance(scorer, HasAttribution):
        return
    found = scorer.attribute(features, text, trial.memory)
    require(isinstance(found, Attribution), "attribute must return a vlmad Attribution")
    rebuilt = torch.stack([a.weight * a.value for a in found.addends]).sum(0)
    otherwise = "attribute: the addends do not sum to the score"
    require_close(rebuilt, trial.answer().score, otherwise)
    for judged in found.judged:
        known = any(judged.regions is regions for regions in features.regions)
        require(known, "attribute: it judges regions that the features do not hold")
        count = judged.regions.embeddings.shape[1]
        require_tensor(judged.values, (len(features), count), f"attribute: {judged.regions.name}")
    if found.voices is not None and text is not None:
        pushes = found.voices.pushes(features.image[:, None])
        shape = (len(features), 1, len(text.sentences))
        require_tensor(pushes, shape, "attribute: pushes")


@each(scorings(3))
def honours_inside(trial: Scoring) -> None:
    """What lies outside changes nothing that is remembered or scored, if it says so."""
    scorer, features = trial.part, trial.images
    if not (isinstance(scorer, HonoursInside) and scorer.honours_inside):
        return
    inside = torch.zeros(len(features), *features.image_size, dtype=torch.bool)
    inside[:, :, : features.image_size[1] // 2] = True
    seen = replace(features, inside=inside)
    levels = []
    for regions in seen.regions:
        counts = inside_regions(seen, regions)
        assert counts is not None
        changed = regions.embeddings.where(counts[..., None], 5 + regions.embeddings.flip(1))
        levels.append(replace(regions, embeddings=changed))
    other, memory = replace(seen, regions=tuple(levels)), trial.memory
    with given("3 images, their right half outside"):
        if memory is not None:
            memory, same = (trial.part.fit(each[[0, 1]]) for each in (seen, other))
            require_close(same, memory, "fit: it remembers what lies outside")
        first, second = (
            replace(trial, images=each, memory=memory).answer() for each in (seen, other)
        )
        require_close(second.score, first.score, "what lies outside changes the score")


REST = (scores_sets_alike, attributes, honours_inside)
