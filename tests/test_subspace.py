"""The scorer of principal components of the references' cells (SubspaceAD)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from vlmad import Features
from vlmad.testing import check_scorer, two_layer_backbone
from vlmad_memory._subspace import Subspace

from .conftest import features_of_maps

GOLDEN = load_file(Path(__file__).parent / "golden" / "subspacead" / "golden.safetensors")


def golden_features(kind: str) -> Features:
    """Take the tokens behind the five of the prefix, the mean over the layers."""
    layers = [GOLDEN[f"{kind}_hidden_-{layer}"] for layer in (12, 13, 14)]
    tokens = torch.stack(layers).mean(0)[:, 5:].unflatten(1, (8, 8))
    return features_of_maps({"mean": tokens.permute(0, 3, 1, 2)}, (64, 64))


def assert_close(found: Tensor, golden: Tensor) -> None:
    torch.testing.assert_close(found, golden, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("reconstruction", {}),
        ("mahalanobis", {"distance": "mahalanobis"}),
        ("euclidean", {"distance": "euclidean"}),
        ("cosine", {"distance": "cosine"}),
        ("reconstruction_without_first_2", {"without_first": 2}),
        ("reconstruction_fixed_components", {"components": 4}),
    ],
)
def test_distances_meet_the_reference_outputs(key: str, options: dict[str, Any]) -> None:
    scorer = Subspace(**options)
    memory = scorer.fit(golden_features("reference"))
    [level] = scorer.attribute(golden_features("query"), None, memory).judged
    assert_close(level.values.unflatten(1, (8, 8)), GOLDEN[f"scores_{key}"])


@pytest.mark.parametrize(
    ("key", "top"), [("max", 0), ("mtop1p", 0.01), ("mtop5", 5.5 / 64**2), ("mean", 1)]
)
def test_scores_and_maps_meet_the_reference_outputs(key: str, top: float) -> None:
    scorer = Subspace(top=top)
    memory = scorer.fit(golden_features("reference"))
    prediction = scorer(golden_features("query"), None, memory)
    assert_close(prediction.map, GOLDEN["map"])
    assert_close(prediction.score, GOLDEN[f"image_score_{key}"])
    sharp = Subspace(sigma=0)(golden_features("query"), None, memory).map
    assert_close(sharp, GOLDEN["map_resized"])


def drawn(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 6, 4, 4, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.lists(st.integers(1, 4), unique=True, max_size=3))
def test_references_added_in_any_order_are_what_fitting_all_at_once_gives(
    order: list[int], cuts: list[int]
) -> None:
    maps, scorer = drawn(5), Subspace()
    edges = [0, *sorted(cuts), 5]
    parts = [scorer.fit(features_of_maps({"one": maps[order[a:b]]})) for a, b in pairwise(edges)]
    memory = parts[0]
    for more in parts[1:]:
        memory = scorer.add(memory, more)
    at_once = scorer.fit(features_of_maps({"one": maps}))
    assert all(torch.equal(memory[name], at_once[name]) for name in at_once)


def test_constant_features_leave_the_difference_to_them() -> None:
    scorer = Subspace(sigma=0)
    memory = scorer.fit(features_of_maps({"one": torch.ones(1, 6, 4, 4)}))
    assert not scorer.refuses_memory(memory, two_layer_backbone().spec)
    queries = drawn(2)
    [level] = scorer.attribute(features_of_maps({"one": queries}), None, memory).judged
    expected = (queries - 1).square().sum(1).flatten(1)
    torch.testing.assert_close(level.values, expected, rtol=1e-4, atol=1e-4)


def test_what_lies_within_the_components_is_good_and_what_lies_beside_is_not() -> None:
    plane, scorer = torch.eye(6)[:2], Subspace(sigma=0)
    coefficients = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    within = torch.einsum("bkhw,kd->bdhw", coefficients, plane)
    memory = scorer.fit(features_of_maps({"one": within[:2]}))
    beside = within[2:] + F.pad(torch.ones(1, 1, 4, 4), (0, 0, 0, 0, 5, 0))
    good, bad = (
        scorer(features_of_maps({"one": each}), None, memory).score for each in (within[2:], beside)
    )
    assert float(good) < 1e-5
    assert float(bad) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    "scorer",
    [Subspace(distance="mahalanobis"), Subspace(distance="cosine", components=3, without_first=1)],
)
def test_other_options_keep_the_contract(scorer: Subspace) -> None:
    check_scorer(scorer)
