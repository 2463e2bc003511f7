"""What a scorer promises of what it remembers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save

from vlmad_conformance._scorings import (
    SQUARE,
    USUAL,
    WIDE,
    Scoring,
    features_for,
    fit,
    scorings,
)
from vlmad_conformance._small_backbone import SmallBackbone
from vlmad_conformance.facts import (
    counted,
    given,
    meaning,
    require,
    require_close,
    require_pure,
    require_quick,
)
from vlmad_conformance.promises import each
from vlmad_run.kinds import AddsReferences, JudgesMemory, LearnsMisses

if TYPE_CHECKING:
    from vlmad_conformance.promises import Subject

NUMBERS = (1, USUAL, 5)
"""Of references."""


def fits(subject: Subject) -> None:
    """`fit` gives named tensors, soon, the same when asked again, and changes nothing."""
    scorer = subject.make()
    for count in NUMBERS[:2] if scorer.references != "none" else ():
        fitted = fit(scorer, count)
        if fitted is None:
            continue
        references, memory = fitted
        with torch.inference_mode(), given(counted(count, "reference")):
            for name, tensor in memory.items():
                named = isinstance(name, str) and isinstance(tensor, torch.Tensor)
                require(named, f"fit: '{name}' in memory is no tensor")
                require(not tensor.requires_grad, f"fit: '{name}' in memory wants gradients")
            again = partial(scorer.fit, references)
            require_pure(again, references, name="fit")
            require_quick(again, "fit")


@each(scorings(1, references=NUMBERS))
def survives_a_file(trial: Scoring) -> None:
    """A fresh instance scores the same with a memory that was written and read."""
    before = trial.answer()
    plain = {name: t.contiguous().clone() for name, t in (trial.memory or {}).items()}
    fresh = replace(trial, part=trial.make(), memory=load(save(plain)))
    lost = "what fit kept on the object itself is lost in a fitted file"
    with given(f"{trial}, a fresh scorer"):
        with meaning(lost):
            after = fresh.answer()
        require_close(after, before, lost)


@each(scorings(1, references=NUMBERS))
def remembers_in_memory_alone(trial: Scoring) -> None:
    """A memory is used as it is given, whatever was fitted since."""
    before = trial.answer()
    with given(f"{trial}, others fitted since"):
        trial.part.fit(features_for(trial.part, 3, 7, WIDE))
        require_close(trial.answer(), before, "what was fitted since changes the score")


@each(scorings(1, references=NUMBERS))
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


REST = (survives_a_file, remembers_in_memory_alone, judges_memory, adds, learns_misses)
