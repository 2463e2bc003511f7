"""What a scorer promises of what it remembers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save

from vlmad_conformance._scorer_inputs import (
    GRIDS,
    ScorerCall,
    counted,
    features_for,
    honestly,
    references_for,
    shown,
    text_for,
)
from vlmad_conformance.examples import two_layer_backbone
from vlmad_conformance.facts import (
    given,
    meaning,
    require,
    require_close,
    require_pure,
    require_quick,
    require_tensor,
)
from vlmad_run.kinds import AddsReferences, JudgesMemory, LearnsMisses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from vlmad_conformance.promises import Subject


def fits(subject: Subject) -> None:
    """`fit` gives named tensors, the same when asked again, and changes nothing."""
    scorer = subject.make()
    if scorer.references == "none":
        return
    for count in (1, 2):
        references = references_for(scorer, count)
        with torch.inference_mode(), given(counted(count, "reference")):
            memory = honestly(lambda: scorer.fit(references))  # noqa: B023
            if memory is None:
                continue
            for name, tensor in memory.items():
                named = isinstance(name, str) and isinstance(tensor, torch.Tensor)
                require(named, f"fit: '{name}' in memory is no tensor")
                held = not tensor.requires_grad
                require(held, f"fit: '{name}' in memory wants gradients")
            require_pure(lambda: scorer.fit(references), references, name="fit")  # noqa: B023
            require_quick(lambda: scorer.fit(references), "fit")  # noqa: B023


def survives_a_file(subject: Subject) -> None:
    """A fresh instance scores the same with a memory that was written and read."""
    for call in _fitted(subject):
        features, text = features_for(call.scorer, 1), text_for(call.scorer)
        with torch.inference_mode(), given(f"{shown(features, call)}, a fresh scorer"):
            before = call(features, text)
            plain = {name: t.contiguous().clone() for name, t in (call.memory or {}).items()}
            fresh = ScorerCall(subject.make(), load(save(plain)), call.references)
            lost = "what fit kept on the object itself is lost in a fitted file"
            with meaning(lost):
                after = fresh(features, text)
            require_close(after, before, lost)


def remembers_in_memory_alone(subject: Subject) -> None:
    """A memory is used as it is given, whatever was fitted since."""
    for call in _fitted(subject):
        features, text = features_for(call.scorer, 1), text_for(call.scorer)
        with torch.inference_mode(), given(f"{shown(features, call)}, others fitted since"):
            before = call(features, text)
            call.scorer.fit(references_for(call.scorer, 3, seed=7, grid=GRIDS[1]))
            after = call(features, text)
            require_close(after, before, "what was fitted since changes the score")


def takes_any_number_of_references(subject: Subject) -> None:
    """It fits on one reference as on three, or refuses by an error of vlmad's own."""
    for call in _fitted(subject):
        features, text = features_for(call.scorer, 2), text_for(call.scorer)
        with torch.inference_mode(), given(shown(features, call)):
            seen = call(features, text)
            require_tensor(seen.score, (2,), "score")
            require_tensor(seen.map, (2, *features.image_size), "map")


def _fitted(subject: Subject) -> Iterator[ScorerCall]:
    """Yield scorers with memories of one, two and three references; those that take any."""
    for count in (1, 2, 3):
        scorer = subject.make()
        if scorer.references == "none":
            return
        with torch.inference_mode(), given(f"{counted(count, 'reference')}, for fit"):
            memory = honestly(lambda: scorer.fit(references_for(scorer, count)))  # noqa: B023
        if memory is not None:
            yield ScorerCall(scorer, memory, count)


def judges_memory(subject: Subject) -> None:
    """`refuses_memory` takes what fit gives, and refuses it where it is not finite."""
    for call in _fitted(subject):
        if not isinstance(call.scorer, JudgesMemory):
            return
        width = features_for(call.scorer, 1).image.shape[-1]
        spec = replace(two_layer_backbone().spec, embedding_dim=width, vision_width=width)
        assert call.memory is not None
        with torch.inference_mode(), given(f"memory of {counted(call.references, 'reference')}"):
            refused = call.scorer.refuses_memory(call.memory, spec)
            require(refused is None, f"refuses_memory: it refuses what fit gave: {refused}")
            for name in [name for name, t in call.memory.items() if t.is_floating_point()]:
                broken = {**call.memory, name: torch.full_like(call.memory[name], torch.nan)}
                accepts = call.scorer.refuses_memory(broken, spec) is None
                require(not accepts, f"refuses_memory: it takes a '{name}' that is not finite")


def adds(subject: Subject) -> None:
    """`add` changes neither memory, and gives what it says that it does."""
    scorer = subject.make()
    does = isinstance(scorer, AddsReferences)
    if not does:
        return
    references, features, text = (
        references_for(scorer, 2),
        features_for(scorer, 3),
        text_for(scorer),
    )
    with torch.inference_mode(), given("2 references, one added to the other"):
        first, second = (scorer.fit(references[[index]]) for index in (0, 1))
        added = require_pure(lambda: scorer.add(first, second), first, second, name="add")
        together = scorer(features, text, scorer.fit(references))
        predicted = scorer(features, text, added)
        if scorer.adds_exactly:
            require_close(predicted, together, "add: it is not what fitting all at once gives")


def learns_misses(subject: Subject) -> None:
    """A miss that was learned scores higher."""
    scorer = subject.make()
    does = isinstance(scorer, LearnsMisses) and scorer.learns_misses
    if not does:
        return
    miss, text = features_for(scorer, 1), text_for(scorer)
    with torch.inference_mode(), given("2 references, 1 miss"):
        memory: Mapping[str, Tensor] = scorer.fit(references_for(scorer, 2))
        learn = partial(scorer.learn_miss, memory, miss)
        learned = require_pure(learn, memory, miss, name="learn_miss")
        after, before = (scorer(miss, text, each).score for each in (learned, memory))
        raised = bool((after > before).all())
        require(raised, "learn_miss: the miss itself does not score higher")
