"""The scorer of nearest images, then of nearest positions within these (SPADE)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vlmad import Features
from vlmad.errors import WeightsError
from vlmad.testing import check_scorer, two_layer_backbone
from vlmad_memory._spade import Spade

from .conftest import features_of_maps

GOLDEN = load_file(Path(__file__).parent / "golden" / "spade" / "golden.safetensors")
LAYERS = ("layer1", "layer2", "layer3")


def golden_features(kind: str) -> Features:
    features = features_of_maps({name: GOLDEN[f"{kind}_{name}"] for name in LAYERS}, (224, 224))
    return replace(features, image=GOLDEN[f"{kind}_avgpool"].flatten(1))


def assert_close(found: Tensor, golden: Tensor) -> None:
    torch.testing.assert_close(found, golden, rtol=0, atol=1e-4)


def test_spade_meets_the_reference_outputs() -> None:
    references, queries = golden_features("reference"), golden_features("query")
    spade = Spade(k=4)
    memory = spade.fit(references)
    prediction = spade(queries, None, memory)
    assert_close(prediction.score, GOLDEN["image_score"])
    assert_close(prediction.map[-1], GOLDEN["map_of_last_query"])
    sharp = Spade(k=4, sigma=0)(queries, None, memory).map[-1]
    assert_close(sharp, GOLDEN["map_before_smoothing_of_last_query"])
    for level in spade.attribute(queries, None, memory).judged:
        scores = GOLDEN[f"scores_{level.regions.name}"]
        assert_close(level.values.unflatten(1, scores.shape[1:]), scores)


def test_the_nearest_positions_are_those_of_the_nearest_images() -> None:
    references, queries = golden_features("reference"), golden_features("query")
    memory = Spade(k=2).fit(references)
    for level in Spade(k=2).attribute(queries, None, memory).judged:
        kept, cells = references.regions, queries.regions
        number = [regions.name for regions in kept].index(level.regions.name)
        rows = kept[number].embeddings.flatten(0, 1)
        assert level.nearest is not None
        off = cells[number].embeddings - rows[level.nearest]
        torch.testing.assert_close(off.norm(dim=-1), level.values)
        images = level.nearest // kept[number].embeddings.shape[1]
        for image, nearest in zip(images, GOLDEN["nearest_indices"], strict=True):
            assert set(image.tolist()) <= set(nearest[:2].tolist())


def test_the_squared_score_is_that_of_the_paper() -> None:
    memory = (scorer := Spade(k=4, squared=True)).fit(golden_features("reference"))
    score = scorer(golden_features("query"), None, memory).score
    assert_close(score, GOLDEN["nearest_distances"].square().mean(1))


def test_of_fewer_references_than_k_all_are_taken() -> None:
    few = golden_features("reference")
    few = replace(
        few,
        image=few.image[:2],
        regions=tuple(replace(r, embeddings=r.embeddings[:2]) for r in few.regions),
    )
    memory = Spade(k=50).fit(few)
    expected = (golden_features("query").image[:, None] - few.image).norm(dim=-1).mean(1)
    assert_close(Spade(k=50)(golden_features("query"), None, memory).score, expected)


@pytest.mark.parametrize(
    "change",
    [
        {"image": torch.zeros(6)},
        {"image": torch.zeros(5, 24)},
        {"layer1": torch.zeros(6, 400)},
        {"layer2": torch.full((6, 100, 10), torch.inf)},
        {"layer3": torch.zeros(6, 25, 16, dtype=torch.int64)},
    ],
)
def test_a_memory_that_is_none_is_refused(change: dict[str, Tensor]) -> None:
    spec, memory = two_layer_backbone().spec, Spade().fit(golden_features("reference"))
    assert Spade().refuses_memory(memory, spec) is None
    assert Spade().refuses_memory({**memory, **change}, spec)
    assert Spade().refuses_memory({"image": memory["image"]}, spec)


def test_a_memory_of_other_levels_is_told_from_ones_own() -> None:
    memory = Spade().fit(golden_features("reference"))
    queries = golden_features("query")
    without = {name: kept for name, kept in memory.items() if name != "layer2"}
    with pytest.raises(WeightsError, match="not of 'layer2'; fit it anew"):
        Spade()(queries, None, without)
    with pytest.raises(WeightsError, match="of another width; fit it anew"):
        Spade()(replace(queries, image=queries.image[:, 1:]), None, memory)
    with pytest.raises(WeightsError, match="to be added are of other levels"):
        Spade().add(memory, without)


def test_one_neighbour_keeps_the_contract() -> None:
    check_scorer(Spade(k=1, squared=True, sigma=0))
