"""What is worked out of a memory once, and forgotten with it."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import torch

from vlmad_memory._gaussian import Gaussian
from vlmad_memory.once import OncePerTensor

from .conftest import features_of_maps


class Made:
    """Something that can be looked at from outside."""


def test_it_is_made_once_for_a_tensor_and_anew_for_its_equal() -> None:
    once = OncePerTensor[Made]()
    first, equal = torch.zeros(3), torch.zeros(3)
    made = once(first, Made)
    assert once(first, Made) is made
    assert once(equal, Made) is not made


def test_it_goes_when_the_tensor_goes() -> None:
    once = OncePerTensor[Made]()
    tensor = torch.zeros(3)
    seen = weakref.ref(once(tensor, Made))
    assert seen() is not None
    del tensor
    gc.collect()
    assert seen() is None


def test_threads_may_use_one_scorer_with_several_memories() -> None:
    scorer, maps = Gaussian(), torch.randn(6, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    each = [features_of_maps({"one": maps[i : i + 1]}) for i in range(6)]
    memories = [scorer.fit(features) for features in each]
    queries = features_of_maps({"one": maps})
    alone = [Gaussian()(queries, None, memory).score for memory in memories]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: scorer(queries, None, memories[i % 6]).score, range(60)))
    assert all(torch.equal(score, alone[i % 6]) for i, score in enumerate(found))
