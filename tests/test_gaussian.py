"""The scorer of Gaussians over the references' cells, pooled and for each position (PaDiM)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from vlmad import View, load_detector
from vlmad.errors import OptionError, WeightsError
from vlmad.testing import TWO_LAYERS, check_scorer, two_layer_backbone
from vlmad_explain import explain
from vlmad_explain.words import equation
from vlmad_memory._gaussian import KEPT, SLACK, Gaussian

from .conftest import features_of_maps

GOLDEN = Path(__file__).parent / "golden"
CLOTH = Path(__file__).parents[1] / "examples/samples/cloth"
GOOD = sorted((CLOTH / "train/good").glob("*.png"))[:2]


def drawn(count: int, width: int = 6, side: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, width, side, side, generator=torch.Generator().manual_seed(seed))


def test_padim_meets_the_reference_outputs() -> None:
    golden = load_file(GOLDEN / "padim" / "golden.safetensors")
    names = ("layer1", "layer2", "layer3")
    references, queries = (
        features_of_maps({name: golden[f"{kind}_{name}"] for name in names}, (64, 64))
        for kind in ("reference", "query")
    )
    options = load_detector("padim").assembly.parts["scorer"].options
    padim = Gaussian(**{**options, "ridge": 0.01001, "channels": None})
    memory = padim.model.fit(references, references.regions, golden["channel_indices"])
    prediction = padim(queries, None, memory)
    judged = padim.attribute(queries, None, memory).judged[0]
    found = (judged.values.unflatten(1, (8, 8)), prediction.map, prediction.score)
    expected = (golden["patch_distances"], golden["map"], golden["image_score"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_drawn_channels_go_by_the_seed_and_are_as_many_as_asked_for() -> None:
    references = features_of_maps({"one": drawn(3), "two": drawn(3, side=4)})
    first, again, other = (
        Gaussian("each", channels=5, seed=seed).fit(references)["channels"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(set(first.tolist())) == 5
    with pytest.raises(OptionError, match="of the 12 that the levels have"):
        Gaussian("each", channels=13).fit(references)


def by_a_plain_loop(references: Tensor, query: Tensor, ridge: float) -> Tensor:
    """Return the distances of the cells of one level of one image."""
    cells = F.normalize(references, dim=1).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = sum(cells) / len(cells)
    covariance = sum(torch.outer(cell - mean, cell - mean) for cell in cells) / len(cells)
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(len(mean)).double())
    units = F.normalize(query, dim=0).flatten(1).T.double()
    return torch.stack([ridge * (cell - mean) @ inverse @ (cell - mean) for cell in units])


def test_pooled_distances_and_score_are_those_of_the_formula() -> None:
    references, query = drawn(2), drawn(1, seed=1)
    memory = (scorer := Gaussian(nearest=0)).fit(features_of_maps({"one": references}))
    queries = features_of_maps({"one": query})
    attribution = scorer.attribute(queries, None, memory)
    distances, novelty = (judged.values[0].double() for judged in attribution.judged)
    torch.testing.assert_close(
        distances, by_a_plain_loop(references, query[0], 0.003), rtol=1e-4, atol=1e-5
    )
    units = F.normalize(query[0], dim=0).flatten(1).T
    for place, value in enumerate(novelty):
        row, column = divmod(place, 8)
        others = [i for i in range(64) if max(abs(i // 8 - row), abs(i % 8 - column)) > 2]
        nearest = max(float(units[place] @ units[other]) for other in others)
        assert float(value) == pytest.approx(1 - nearest, abs=1e-5)
    joined = ((distances + SLACK) * (novelty + SLACK) ** 0.3) ** (1 / 1.3)
    score = scorer(queries, None, memory).score
    assert float(score) == pytest.approx(float((joined**32).mean() ** (1 / 32)), rel=1e-4)


def test_views_are_asked_for_of_few_references_and_of_no_positions() -> None:
    assert len(set(Gaussian().views(2))) == 7
    assert not Gaussian().views(3)
    assert not Gaussian("each").views(1)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.lists(st.integers(1, 4), unique=True, max_size=3))
def test_references_added_in_any_order_are_what_fitting_all_at_once_gives(
    order: list[int], cuts: list[int]
) -> None:
    maps, scorer = drawn(5), Gaussian()
    at_once = scorer.fit(features_of_maps({"one": maps}))
    edges = [0, *sorted(cuts), 5]
    parts = [scorer.fit(features_of_maps({"one": maps[order[a:b]]})) for a, b in pairwise(edges)]
    memory = parts[0]
    for more in parts[1:]:
        memory = scorer.add(memory, more)
    assert memory.keys() == at_once.keys()
    sums = memory.keys() - {KEPT}
    assert all(torch.equal(memory[name], at_once[name]) for name in sums)
    queries = features_of_maps({"one": drawn(2, seed=1)})
    assert torch.equal(scorer(queries, None, memory).score, scorer(queries, None, at_once).score)


def fitted(numbers: list[int]) -> dict[str, Tensor]:
    """Fit some of five references, with turned copies if the scorer asks for them."""
    scorer, levels, views = Gaussian(), [], []
    for number in numbers:
        looks = [View(), *scorer.views(len(numbers))]
        copies = drawn(1, seed=number)
        levels += [copies + 0.1 * index for index in range(len(looks))]
        views += looks
    references = features_of_maps({"one": torch.cat(levels)}, views=tuple(views))
    return dict(scorer.fit(references))


@pytest.mark.parametrize("parts", [([0], [1]), ([0, 1], [2]), ([0], [1, 2, 3]), ([0, 1], [2, 3])])
def test_turned_copies_count_as_long_as_references_are_few(parts: tuple[list[int], ...]) -> None:
    added = Gaussian().add(*map(fitted, parts))
    at_once = fitted([number for part in parts for number in part])
    assert added.keys() == at_once.keys()
    assert all(torch.equal(added[name], at_once[name]) for name in added)


def test_positions_take_added_references() -> None:
    maps, scorer = drawn(5), Gaussian("each", unit=False, novelty=0, nearest=0)
    parts = [scorer.fit(features_of_maps({"one": maps[i : i + 2]})) for i in (0, 2)]
    memory = scorer.add(*parts)
    queries = features_of_maps({"one": maps[4:]})
    at_once = scorer(queries, None, scorer.fit(features_of_maps({"one": maps[:4]})))
    torch.testing.assert_close(scorer(queries, None, memory).map, at_once.map)


@pytest.mark.parametrize("positions", ["pooled", "each"])
def test_one_reference_and_constant_features_are_enough(positions: str) -> None:
    scorer = Gaussian(positions)  # type: ignore[arg-type]  # both of its words
    constant = features_of_maps({"one": torch.ones(1, 6, 8, 8)})
    memory = scorer.fit(constant)
    assert not scorer.refuses_memory(memory, two_layer_backbone().spec)
    same, other = (scorer(f, None, memory) for f in (constant, features_of_maps({"one": drawn(1)})))
    assert torch.isfinite(other.map).all()
    assert float(same.score) < float(other.score)


def test_a_mean_far_from_zero_costs_no_precision() -> None:
    scorer = Gaussian(unit=False, ridge=1e-3, novelty=0, nearest=0)
    references, queries = drawn(3), drawn(2, seed=1)
    near, far = (
        scorer(
            features_of_maps({"one": queries.double() + shift}),
            None,
            scorer.fit(features_of_maps({"one": references.double() + shift})),
        ).score
        for shift in (0, 1000)
    )
    torch.testing.assert_close(far, near, rtol=1e-3, atol=1e-3)


def test_two_kinds_of_good_are_both_nearer_than_a_third() -> None:
    kinds = [F.normalize(drawn(1, side=1, seed=seed), dim=1) for seed in (1, 2, 3)]
    noise = 0.05 * drawn(4, seed=4)
    references = torch.cat([kinds[0] + noise[:1], kinds[1] + noise[1:2]])
    scorer = Gaussian(novelty=0, nearest=0)
    memory = scorer.fit(features_of_maps({"one": references}))
    queries = torch.cat([kind + noise[2:3] for kind in kinds])
    first, second, third = scorer(features_of_maps({"one": queries}), None, memory).score.tolist()
    assert max(first, second) < third / 3


HOSTILE = {
    "another name": {"other count": torch.tensor(1.0)},
    "no cells": {"one count": torch.tensor(0.0, dtype=torch.float64)},
    "half a cell": {"one count": torch.tensor(1.5, dtype=torch.float64)},
    "another type": {"one sum": torch.zeros(6)},
    "another shape": {"one products": torch.zeros(6, 5, dtype=torch.float64)},
    "no variance": {"one products": torch.zeros(6, 6, dtype=torch.float64)},
    "no symmetry": {"one products": 9 * torch.ones(6, 6, dtype=torch.float64).triu()},
    "endless": {"one sum": torch.full((6,), torch.inf, dtype=torch.float64)},
    "turned, of no count": {"one, turned count": torch.tensor(1.0, dtype=torch.float64)},
    "a count, of no turned": {"references": torch.tensor(1)},
    "places of no unit cells": {"places": torch.ones(2, 64, 6)},
    "places of no cells": {"places": torch.ones(2, 0, 6)},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_memory_that_is_none_is_refused(change: dict[str, Tensor]) -> None:
    scorer, spec = Gaussian(), two_layer_backbone().spec
    memory = scorer.fit(features_of_maps({"one": drawn(2)}))
    assert scorer.refuses_memory(memory, spec) is None
    assert scorer.refuses_memory({**memory, **change}, spec)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": torch.tensor([-1])},
        {"channels": torch.tensor([])},
        {"cells": torch.zeros(0, 64, 6)},
        {"cells": torch.full((2, 64, 6), torch.nan)},
        {"more": torch.zeros(1)},
    ],
)
def test_positions_that_are_none_are_refused(change: dict[str, Tensor]) -> None:
    scorer, spec = Gaussian("each"), two_layer_backbone().spec
    memory = scorer.fit(features_of_maps({"one": drawn(2)}))
    assert scorer.refuses_memory(memory, spec) is None
    assert scorer.refuses_memory({**memory, **change}, spec)


@pytest.mark.parametrize("positions", ["pooled", "each"])
def test_a_memory_of_other_levels_is_told_from_ones_own(positions: str) -> None:
    scorer = Gaussian(positions)  # type: ignore[arg-type]  # both of its words
    memory = scorer.fit(features_of_maps({"one": drawn(2)}))
    with pytest.raises(WeightsError, match="fit it anew"):
        scorer(features_of_maps({"one": drawn(1, width=5, side=4)}), None, memory)
    with pytest.raises(WeightsError, match="to be added are of other"):
        scorer.add(memory, scorer.fit(features_of_maps({"one": drawn(1, width=5)})))


def test_the_level_of_novelty_is_named_rightly() -> None:
    scorer = Gaussian(level="b9")
    features = features_of_maps({"level b2": drawn(2)})
    with pytest.raises(OptionError, match="no level 'b9'; known: b2"):
        scorer(features, None, scorer.fit(features))


@pytest.mark.parametrize(
    "scorer",
    [
        Gaussian(joining="sum", power=None),
        Gaussian("each", channels=9, rooted=True, unit=False),
        Gaussian(novelty=0, score_of="pixels", sigma=0),
        Gaussian(turned=0),
    ],
)
def test_other_options_keep_the_contract(scorer: Gaussian) -> None:
    check_scorer(scorer)


@pytest.mark.parametrize("recipe", ["gaussian", "padim", "spade", "subspace"])
def test_explanations_say_where_how_far_and_what_the_score_is_made_of(recipe: str) -> None:
    detector = load_detector(
        recipe,
        backbone=f"openclip:{TWO_LAYERS}",
        options={
            "backbone": {"weights": "random:0"},
            "scorer": {"channels": 9} if recipe == "padim" else {},
        },
    )
    detector.fit(GOOD)
    [found] = explain(detector, CLOTH / "test/hole/000.png")
    assert found.gap is None
    assert sum(each.weight * each.value for each in found.addends) == pytest.approx(found.score)
    assert found.addends[0].whole_image == (recipe == "spade")
    assert {each.by for each in found.findings} >= {"references"}
    assert all(each.nearest for each in found.findings)
    text = "\n".join(equation(found))
    assert ("a power mean over all cells" in text) == (recipe == "gaussian")


@pytest.mark.parametrize("positions", ["pooled", "each"])
def test_what_lies_outside_is_neither_remembered_nor_scored(positions: str) -> None:
    scorer = Gaussian(positions, nearest=0)  # type: ignore[arg-type]  # both of its words
    maps, other = drawn(6), drawn(6, seed=1)
    inside = torch.zeros(6, 60, 60, dtype=torch.bool)
    inside[:, :, :30] = True
    width = maps.shape[-1]
    changed = maps.clone()
    changed[..., width // 2 :] = other[..., width // 2 :]
    found = []
    for each in (maps, changed):
        features = replace(features_of_maps({"one": each}), inside=inside, image_size=(60, 60))
        memory = scorer.fit(features[:4])
        found.append((memory, scorer(features[4:], None, memory).score))
    assert all(torch.equal(found[0][0][name], found[1][0][name]) for name in found[0][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_the_nearest_cell_is_named_among_references_with_their_turned_copies() -> None:
    scorer, maps = Gaussian(), drawn(2)
    looks = [View(), *scorer.views(2)]
    everything = torch.cat([maps[[i]] + 9 * bool(n) for i in (0, 1) for n in range(len(looks))])
    memory = scorer.fit(features_of_maps({"one": everything}, views=tuple(looks) * 2))
    judged = scorer.attribute(features_of_maps({"one": maps[1:]}), None, memory).judged
    [nearest] = [each.nearest for each in judged if each.by == "nearest"]
    assert nearest is not None
    assert torch.equal(nearest[0], torch.arange(64) + 64 * len(looks))
