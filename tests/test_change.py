"""The scorer that joins a rule with a network of distances, and the network's channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from vlmad import Features, load_detector
from vlmad_memory._change import LearnedChange
from vlmad_memory._gaussian import Gaussian
from vlmad_memory._rarity import Rarity
from vlmad_memory.comparison_channels import COMPARED, OWN, ImageCells, all_channels
from vlmad_memory.comparison_network import ComparisonNetwork
from vlmad_memory.whole_picture import MOST, WholePicture
from vlmad_tiny._tiny import SPEC

from .conftest import features_of_maps

SAMPLES = Path(__file__).parents[1] / "examples/samples"


def levels(count: int, seed: int = 0, side: int = 8) -> Features:
    """Return random features of two levels."""
    draw = torch.Generator().manual_seed(seed)
    return features_of_maps({
        "level middle": torch.randn(count, 6, side, side, generator=draw),
        "level deep": torch.randn(count, 9, side, side, generator=draw),
    })  # fmt: skip


def cells(seed: int) -> ImageCells:
    grids = [r.embeddings[0].unflatten(0, r.grid or (1, 1)) for r in levels(1, seed).regions]
    return ImageCells(*grids)


def channel(name: str, image: ImageCells, *references: ImageCells) -> Tensor:
    return all_channels(image, references)[(*OWN, *COMPARED).index(name)]


def test_the_nearest_cell_is_that_of_a_plain_search() -> None:
    image, references = cells(0), [cells(1), cells(2)]
    found = channel("nearest", image, *references)
    others = torch.cat([reference.middle.flatten(0, 1) for reference in references])
    for row in range(8):
        for column in range(8):
            cosines = torch.cosine_similarity(image.middle[row, column], others, dim=1)
            assert found[row, column] == pytest.approx(float(1 - cosines.max()), abs=1e-5)


def test_places_are_those_of_the_grid() -> None:
    image = cells(0)
    moved = replace(image, middle=image.middle.roll(2, 1))
    there = channel("within 3", image, moved)[:, :6]
    assert float(there.max()) < 1e-5
    assert float(channel("within 1", image, moved)[:, :6].min()) > 0.01
    assert float(channel("same place", image, image).max()) < 1e-5


def test_what_is_missing_is_seen_where_the_reference_has_it() -> None:
    reference = cells(0)
    middle = reference.middle.clone()
    middle[2, 5] = middle[0, 0]
    image = replace(reference, middle=middle)
    assert float(channel("nearest", image, reference).max()) < 1e-5
    missing = channel("found again", image, reference)
    assert int(missing.argmax()) == 2 * 8 + 5
    assert float(missing.flatten().topk(2).values[1]) < 1e-5


def test_a_mirrored_image_is_like_itself() -> None:
    image = cells(0)
    half = image.middle[:, :4]
    symmetric = replace(image, middle=torch.cat([half, half.flip(1)], 1))
    assert float(channel("mirrored", symmetric).max()) < 1e-5
    assert float(channel("mirrored", image)[:3, :3].min()) > 0.01


def test_without_references_what_is_compared_counts_for_nothing() -> None:
    network = ComparisonNetwork().eval()
    channels, none = all_channels(cells(0), []), torch.zeros(1)
    other = channels.clone()
    other[len(OWN) :] = 0.7
    assert torch.equal(network(channels[None], none), network(other[None], none))
    assert not torch.equal(network(channels[None], none + 1), network(other[None], none + 1))


def test_without_weight_it_is_the_rule() -> None:
    references, images = levels(3), levels(2, seed=1)
    scorer, gaussian = LearnedChange(weight=0, map_weight=0, whole=0), Gaussian()
    expected = gaussian(images, None, gaussian.fit(references))
    torch.testing.assert_close(scorer(images, None, scorer.fit(references)), expected)
    torch.testing.assert_close(scorer(images, None, None), Rarity()(images, None, None))


def test_an_image_has_the_same_score_in_any_batch() -> None:
    scorer, images = LearnedChange(), levels(3, seed=1)
    for memory in (None, scorer.fit(levels(2))):
        whole = scorer(images, None, memory)
        for index in range(3):
            alone = scorer(images[index : index + 1], None, memory)
            assert torch.equal(alone.score[0], whole.score[index])


def test_a_memory_survives_its_file_and_grows_by_adding() -> None:
    scorer, images = LearnedChange(), levels(2, seed=1)
    stored = load(save(dict(scorer.fit(levels(4)))))
    assert scorer.refuses_memory(stored, SPEC) is None
    first, rest = (scorer.fit(levels(4)[part]) for part in (slice(0, 3), slice(3, 4)))
    both = scorer.add(first, rest)
    torch.testing.assert_close(scorer(images, None, both), scorer(images, None, stored))


@pytest.mark.parametrize(
    ("name", "wrong", "reason"),
    [
        ("deep", None, "does not hold the cells"),
        ("deep", torch.zeros(4, 8, 7, 9).half(), "at two levels"),
        ("middle", torch.zeros(4, 8, 8).half(), "at two levels"),
        ("middle", torch.full((4, 8, 8, 6), torch.inf).half(), "finite"),
        ("middle", torch.zeros(4, 8, 8, 6), "half precision"),
    ],
)
def test_a_memory_of_another_kind_is_told(name: str, wrong: Tensor | None, reason: str) -> None:
    scorer = LearnedChange()
    memory = {k: v for k, v in scorer.fit(levels(4)).items() if k != name or wrong is not None}
    memory |= {} if wrong is None else {name: wrong}
    assert reason in str(scorer.refuses_memory(memory, SPEC))


def test_a_miss_that_was_learned_is_more_anomalous_and_its_memory_a_memory() -> None:
    scorer, miss = LearnedChange(), levels(1, seed=2)
    memory = scorer.fit(levels(4))
    learned = scorer.learn_miss(memory, miss)
    assert scorer.refuses_memory(learned, SPEC) is None
    before, after = (float(scorer(miss, None, each).score) for each in (memory, learned))
    assert after > 1.01 * before


def test_its_attribution_adds_up_to_the_score() -> None:
    scorer, images = LearnedChange(), levels(2, seed=1)
    for memory in (None, scorer.fit(levels(3))):
        [addend] = scorer.attribute(images, None, memory).addends
        torch.testing.assert_close(addend.value, scorer(images, None, memory).score)


def test_what_lies_outside_changes_no_score() -> None:
    scorer, images = LearnedChange(), levels(1, seed=1)
    inside = torch.zeros(1, 40, 40, dtype=torch.bool)
    inside[:, :20] = True
    changed = images.with_tensors(t.clone() for t in images.tensors)
    for regions in changed.regions:
        regions.embeddings[:, len(regions.embeddings[0]) // 2 :] *= -3
    for memory in (None, scorer.fit(replace(levels(1), inside=inside))):
        scores = [scorer(replace(i, inside=inside), None, memory).score for i in (images, changed)]
        torch.testing.assert_close(*scores)


@pytest.mark.parametrize("count", [1, 3])
def test_it_makes_do_with_fewer_levels_or_more(count: int) -> None:
    own = levels(2).regions
    few = replace(levels(2), regions=(*own, replace(own[1], name="level last"))[:count])
    scorer = LearnedChange()
    assert scorer(few, None, scorer.fit(few)).map.shape == (2, 40, 40)


def test_another_backbone_than_it_was_trained_on_is_noted() -> None:
    assert not [*LearnedChange().notes_on(SPEC)]
    assert "not of 'other'" in "".join(LearnedChange().notes_on(replace(SPEC, name="other")))


def test_the_recipe_tells_good_from_bad_with_and_without_references() -> None:
    detector = load_detector("change")
    good, hole = (SAMPLES / "cloth/test" / name for name in ("good/000.png", "hole/000.png"))
    for _ in range(2):
        usual, odd = detector.predict([good, hole])
        assert odd.score > 1.3 * usual.score
        detector = detector.fit(SAMPLES / "cloth/train/good/000.png")


def uneven(count: int, seed: int = 0) -> Tensor:
    """Return random cells (count, 20, 20, 30) that differ from one side to the other."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 20, 20, 30, generator=draw) + torch.linspace(-1, 1, 20)[:, None]


def test_a_picture_that_changed_everywhere_departs_from_references() -> None:
    references, usual = (uneven(n, seed) for n, seed in ((5, 0), (3, 1)))
    spot = usual.clone()
    spot[:, 0, 0] += 3
    assert not WholePicture([references]).departures([usual]).gt(0.05).any()
    assert float(WholePicture([references]).departures([usual + 0.5]).min()) == pytest.approx(MOST)
    there, here = (WholePicture([references]).departures([each]) for each in (spot, usual))
    assert float((there - here).max()) < 0.1
    assert not WholePicture([references[:2]]).departures([usual + 0.5]).any()


@pytest.mark.parametrize("side", [1, 3, 4, 5])
def test_of_any_grid_and_of_plain_pictures_a_number_is_said(side: int) -> None:
    draw = torch.Generator().manual_seed(0)
    references, plain = torch.randn(4, side, side, 6, generator=draw), torch.ones(4, side, side, 6)
    for kept, images in ((references, references + 1), (plain, plain), (plain, references)):
        assert bool(torch.isfinite(WholePicture([kept]).departures([images])).all())


def test_the_score_counts_the_whole_and_the_map_does_not() -> None:
    kept, usual = uneven(5), uneven(2, seed=1)
    levels = [
        features_of_maps({name: cells.movedim(-1, 1) for name in ("a", "b")}, (100, 100))
        for cells in (kept, usual + 0.5)
    ]
    with_whole, without = LearnedChange(), LearnedChange(whole=0)
    memory = with_whole.fit(levels[0])
    found, plain = (each(levels[1], None, memory) for each in (with_whole, without))
    assert bool((found.score > 1.15 * plain.score).all())
    assert torch.equal(found.map, plain.map)
    assert torch.equal(with_whole(levels[1][:1], None, memory).score[0], found.score[0])
    [addend] = with_whole.attribute(levels[1], None, memory).addends
    torch.testing.assert_close(addend.value, found.score)


def test_of_references_that_differ_as_a_whole_nothing_is_said() -> None:
    references = uneven(4) + torch.tensor([-1.0, 0, 2, 4]).view(4, 1, 1, 1)
    assert not WholePicture([references]).departures([references[:1] + 9]).any()
