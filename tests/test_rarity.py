"""The scorer of how rare each cell is within its own image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vlmad import Features, load_detector
from vlmad.errors import IncompatiblePartsError, OptionError
from vlmad.testing import check_scorer
from vlmad_explain import explain
from vlmad_explain.words import equation
from vlmad_memory._rarity import Rarity

from .conftest import features_of_maps

SAMPLES = Path(__file__).parents[1] / "examples/samples"


def drawn(count: int, width: int = 6, side: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, width, side, side, generator=torch.Generator().manual_seed(seed))


def by_a_plain_loop(cells: Tensor, ridge: float) -> Tensor:
    """Return the distances of cells (r, d) to the Gaussian over all of them."""
    cells = cells.double()
    mean = sum(cells) / len(cells)
    covariance = sum(torch.outer(cell - mean, cell - mean) for cell in cells) / len(cells)
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(len(mean)).double())
    return torch.stack([ridge * (cell - mean) @ inverse @ (cell - mean) for cell in cells])


def test_cells_and_score_are_those_of_the_formula() -> None:
    maps = drawn(2)
    found = Rarity(ridge=0.1, lengths=1).attribute(features_of_maps({"one": maps}), None, None)
    for index, cells in enumerate(maps.flatten(2).mT):
        units = cells / cells.norm(dim=-1, keepdim=True)
        both = [by_a_plain_loop(each, 0.1) for each in (units, cells / 6**0.5)]
        expected = (both[0] * both[1]).sqrt()
        torch.testing.assert_close(found.judged[0].values[index], expected.float())
        score = expected.pow(6).mean() ** (1 / 6)
        torch.testing.assert_close(found.addends[0].value[index], score.float())


def test_without_weight_lengths_change_nothing() -> None:
    maps = drawn(1)
    longer = maps * (1 + torch.arange(64.0).view(8, 8))
    one, other = (features_of_maps({"one": each}) for each in (maps, longer))
    torch.testing.assert_close(
        Rarity(lengths=0)(one, None, None).score, Rarity(lengths=0)(other, None, None).score
    )
    assert not torch.allclose(Rarity()(one, None, None).score, Rarity()(other, None, None).score)


def test_one_odd_cell_is_the_highest_and_raises_the_score() -> None:
    usual = drawn(1) * 0.1 + 1
    odd = usual.clone()
    odd[0, :3, 2, 5] = -1
    features = features_of_maps({"one": torch.cat([usual, odd])})
    prediction = Rarity()(features, None, None)
    assert prediction.score[1] > 1.2 * prediction.score[0]
    row, column = divmod(int(prediction.map[1].argmax()), 40)
    assert (row // 5, column // 5) == (2, 5)


def test_an_image_of_one_colour_has_nothing_rare() -> None:
    prediction = Rarity()(features_of_maps({"one": torch.ones(1, 6, 8, 8)}), None, None)
    assert float(prediction.score) < 1e-6
    assert bool(torch.isfinite(prediction.map).all())


def test_what_lies_outside_neither_counts_as_usual_nor_is_rare() -> None:
    maps = drawn(2)
    changed = maps.clone()
    changed[..., 4:, :] = drawn(2, seed=1)[..., 4:, :] + 5
    inside = torch.zeros(2, 40, 40, dtype=torch.bool)
    inside[:, :20] = True
    scores = [
        Rarity()(replace(features_of_maps({"one": each}), inside=inside), None, None).score
        for each in (maps, changed)
    ]
    torch.testing.assert_close(*scores)


def test_a_level_is_compared_by_name() -> None:
    features = features_of_maps({"level a": drawn(1), "level b": drawn(1, seed=1)})
    only = features_of_maps({"level b": drawn(1, seed=1)})

    def score(scorer: Rarity, given: Features) -> Tensor:
        return scorer(given, None, None).score

    torch.testing.assert_close(score(Rarity(level="b"), features), score(Rarity(), only))
    with pytest.raises(OptionError, match="no level 'd'"):
        score(Rarity(level="d"), features)


@pytest.mark.parametrize("scorer", [Rarity(), Rarity(lengths=0, power=1)])
def test_it_keeps_the_contract_of_scorers(scorer: Rarity) -> None:
    check_scorer(scorer)


def test_the_recipe_tells_good_from_bad_and_says_where() -> None:
    detector = load_detector("rarity")
    good, hole = (SAMPLES / "cloth/test" / name for name in ("good/000.png", "hole/000.png"))
    usual, odd = detector.predict([good, hole])
    assert odd.score > 1.5 * usual.score
    [found] = explain(detector, hole)
    assert found.gap is None
    assert found.score == pytest.approx(odd.score, abs=1e-6)
    assert "the rest of the image: a power mean over all cells" in "\n".join(equation(found))
    assert {region.by for region in found.findings} == {"image"}


def test_references_are_refused_with_the_remedy() -> None:
    with pytest.raises(IncompatiblePartsError, match="makes no use of references"):
        load_detector("rarity").fit(SAMPLES / "cloth/train/good/000.png")
