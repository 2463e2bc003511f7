"""Scorers that learn from confirmed misses what is to be scored higher."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vlmad import Features
from vlmad.testing import two_layer_backbone
from vlmad_memory._gaussian import Gaussian
from vlmad_memory.misses import CELLS, MISSED, MOST, WEIGHT

from .conftest import features_of_maps

SPEC = two_layer_backbone().spec


def drawn(count: int, seed: int = 0, defect: tuple[int, float] | None = None) -> Features:
    """Draw maps of 32 channels; a defect is a square that is stronger in one channel."""
    maps = 4 + torch.randn(count, 32, 8, 8, generator=torch.Generator().manual_seed(seed))
    if defect is not None:
        maps[:, defect[0], 2:4, 2:4] += defect[1]
    return features_of_maps({"one": maps})


def score(scorer: Gaussian, features: Features, memory: dict[str, Tensor]) -> Tensor:
    return scorer(features, None, memory).score


@pytest.fixture(scope="module")
def memory() -> dict[str, Tensor]:
    return dict(Gaussian().fit(drawn(6)))


def learned(memory: dict[str, Tensor], *seeds: int) -> dict[str, Tensor]:
    """Learn misses of one kind of defect."""
    scorer = Gaussian()
    for seed in seeds:
        memory = dict(scorer.learn_miss(memory, drawn(1, seed, (3, 4.0))))
    return memory


def test_twins_of_a_miss_gain_more_than_good_ones_and_other_defects(
    memory: dict[str, Tensor],
) -> None:
    scorer, after = Gaussian(), learned(memory, 100, 101)
    twins, others, good = drawn(8, 7, (3, 4.0)), drawn(8, 8, (9, 4.0)), drawn(8, 9)
    gains = [
        (score(scorer, each, after) / score(scorer, each, memory)).mean()
        for each in (twins, others, good)
    ]
    assert gains[0] > 1.03 * max(gains[1:])


def test_a_memory_without_misses_scores_to_the_same_bits(memory: dict[str, Tensor]) -> None:
    constant = features_of_maps({"one": torch.ones(1, 32, 8, 8)})
    scorer, flat = Gaussian(), dict(Gaussian().fit(constant))
    nothing = scorer.learn_miss(flat, constant)  # its cells are the mean: there is no direction
    assert nothing.keys() == flat.keys()
    assert not [name for name in memory if name.endswith(MISSED)]
    assert torch.equal(score(scorer, drawn(3, 1), dict(nothing)), score(scorer, drawn(3, 1), flat))


def test_distances_grow_by_the_formula(memory: dict[str, Tensor]) -> None:
    scorer, after, query = Gaussian(), learned(memory, 100), drawn(2, 7, (3, 4.0))
    before, raised = (
        scorer.attribute(query, None, each).judged[0].values for each in (memory, after)
    )
    units = torch.nn.functional.normalize(query.regions[0].embeddings, dim=-1).double()
    count, total, products = (memory[f"one {part}"] for part in ("count", "sum", "products"))
    mean = total / count
    inverse = torch.linalg.inv(
        products / count - mean.outer(mean) + scorer.ridge * torch.eye(32).double()
    )
    for image, index in ((0, 0), (0, 18), (1, 27)):
        own = units[image, index] - mean
        cosines = [
            own @ inverse @ d / ((own @ inverse @ own) * (d @ inverse @ d)).sqrt()
            for d in after["one" + MISSED].double()
        ]
        alike = max(0.0, float(max(cosines)))
        expected = before[image, index].double() * torch.tensor(WEIGHT * alike).exp()
        torch.testing.assert_close(raised[image, index].double(), expected, rtol=1e-3, atol=1e-6)


def test_directions_are_few_and_do_not_hang_on_what_was_learned_before(
    memory: dict[str, Tensor],
) -> None:
    one, other = (learned(memory, *seeds)["one" + MISSED] for seeds in ((100, 101), (101, 100)))
    assert len(one) == 2 * CELLS
    assert torch.equal(one, other.roll(CELLS, 0))
    assert len(learned(memory, *range(MOST // CELLS + 3))["one" + MISSED]) == MOST


def test_added_references_keep_what_was_learned(memory: dict[str, Tensor]) -> None:
    scorer, after, more = Gaussian(), learned(memory, 100), Gaussian().fit(drawn(3, 50))
    added = scorer.add(after, more)
    assert torch.equal(added["one" + MISSED], after["one" + MISSED])
    assert torch.equal(added["one sum"], scorer.add(memory, more)["one sum"])
    assert not scorer.refuses_memory(added, SPEC)


HOSTILE = {
    "of no level": ("two" + MISSED, torch.eye(32)[:1]),
    "another width": ("one" + MISSED, torch.eye(15)[:1]),
    "another type": ("one" + MISSED, torch.eye(32)[:1].double()),
    "no rows": ("one" + MISSED, torch.zeros(0, 32)),
    "one number": ("one" + MISSED, torch.tensor(1.0)),
    "too many": ("one" + MISSED, torch.eye(32)[:1].repeat(MOST + 1, 1)),
    "no length": ("one" + MISSED, torch.zeros(1, 32)),
    "endless": ("one" + MISSED, torch.full((1, 32), torch.inf)),
    "no numbers": ("one" + MISSED, torch.full((1, 32), torch.nan)),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_memory_of_misses_that_are_none_is_refused(
    memory: dict[str, Tensor], change: tuple[str, Tensor]
) -> None:
    assert not Gaussian().refuses_memory(learned(memory, 100), SPEC)
    refused = Gaussian().refuses_memory({**memory, change[0]: change[1]}, SPEC)
    assert refused is not None
    assert refused.startswith("its misses of")


def test_gaussians_of_positions_learn_none() -> None:
    assert Gaussian().learns_misses
    assert not Gaussian("each").learns_misses
