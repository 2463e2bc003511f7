"""What a scorer promises of what it may offer besides."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from vlmad.parts import HonoursInside, ScoresSets
from vlmad.regions import inside_regions
from vlmad.types import Prediction
from vlmad_attribution.attribution import Attribution, HasAttribution
from vlmad_conformance._scorings import SQUARE, USUAL, Scoring, scorings
from vlmad_conformance._small_backbone import SmallBackbone
from vlmad_conformance.facts import given, require, require_close, require_pure, require_tensor
from vlmad_conformance.promises import each
from vlmad_run.kinds import AddsReferences, JudgesMemory, LearnsMisses


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


@each(scorings(1, references=(1, USUAL, 5)))
def judges_memory(trial: Scoring) -> None:
    """`refuses_memory` takes what fit gives, and refuses it where it is not finite."""
    scorer, memory = trial.part, trial.memory or {}
    if not isinstance(scorer, JudgesMemory):
        return
    width = trial.images.image.shape[-1]
    spec = replace(SmallBackbone(SQUARE).spec, embedding_dim=width, vision_width=width)
    refused = scorer.refuses_memory(memory, spec)
    require(refused is None, f"refuses_memory: it refuses what fit gave: {refused}")
    for name in [name for name, tensor in memory.items() if tensor.is_floating_point()]:
        broken = {**memory, name: torch.full_like(memory[name], torch.nan)}
        accepts = scorer.refuses_memory(broken, spec) is None
        require(not accepts, f"refuses_memory: it takes a '{name}' that is not finite")


@each(scorings(3, references=(USUAL,)))
def adds(trial: Scoring) -> None:
    """`add` changes neither memory, and gives what it says that it does."""
    scorer, references = trial.part, trial.references
    if not isinstance(scorer, AddsReferences):
        return
    assert references is not None
    with given("2 references, one added to the other"):
        memories = [trial.part.fit(references[[index]]) for index in (0, 1)]
        added = require_pure(partial(scorer.add, *memories), *memories, name="add")
        predicted = replace(trial, memory=added).answer()
        if scorer.adds_exactly:
            otherwise = "add: it is not what fitting all at once gives"
            require_close(predicted, trial.answer(), otherwise)


@each(scorings(1, references=(USUAL,)))
def learns_misses(trial: Scoring) -> None:
    """A miss that was learned scores higher."""
    scorer, memory = trial.part, trial.memory or {}
    if not (isinstance(scorer, LearnsMisses) and scorer.learns_misses):
        return
    with given("2 references, 1 miss"):
        learn = partial(scorer.learn_miss, memory, trial.images)
        learned = require_pure(learn, memory, trial.images, name="learn_miss")
        raised = replace(trial, memory=learned).answer().score > trial.answer().score
        require(bool(raised.all()), "learn_miss: the miss itself does not score higher")


REST = (scores_sets_alike, attributes, honours_inside, judges_memory, adds, learns_misses)
