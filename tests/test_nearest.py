"""Nearest patches of references: exact searches, coresets, memories and explanations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vlmad import Features, View, load_detector
from vlmad.errors import InputError, OptionError
from vlmad.testing import check_scorer, example_features, two_layer_backbone
from vlmad_explain import explain
from vlmad_explain.words import equation
from vlmad_memory import nearest_rows as searching
from vlmad_memory._nearest_patches import NearestPatches
from vlmad_memory._patch_features import PatchFeatures
from vlmad_memory.coreset import coreset_size, farthest_first, merged_and_reduced, random_projection
from vlmad_memory.nearest_rows import nearest_rows
from vlmad_memory.patch_memory import IMAGES

from .conftest import features_of_maps

CLOTH = Path(__file__).parents[1] / "examples/samples/cloth"
GOOD = sorted((CLOTH / "train/good").glob("*.png"))[:2]
BAD = sorted((CLOTH / "test").glob("*/*.png"))[0]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(queries: Tensor, rows: Tensor) -> Tensor:
    """Return squared distances one difference after the other, in double precision."""
    return (queries.double()[:, None] - rows.double()[None]).square().sum(2)


# the search


@settings(max_examples=60, deadline=None)
@given(
    queries=st.integers(1, 70),
    rows=st.integers(1, 200),
    width=st.integers(1, 9),
    count=st.integers(1, 5),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    away=st.sampled_from([0.0, 100.0]),
    doubled=st.booleans(),
    first_pass=st.sampled_from([None, torch.bfloat16]),
)
def test_the_nearest_rows_are_those_of_brute_force(
    queries: int,
    rows: int,
    width: int,
    count: int,
    scale: float,
    away: float,
    doubled: bool,
    first_pass: torch.dtype | None,
) -> None:
    memory = drawn(rows, width, seed=rows) * scale + away
    asked = drawn(queries, width, seed=queries + 999) * scale + away
    if doubled:
        memory = torch.cat([memory, memory])
        asked[: rows // 2] = memory[: min(queries, rows // 2)]
    found = nearest_rows(asked, memory, count, first_pass=first_pass)
    distances = by_hand(asked, memory)
    expected = distances.topk(min(count, len(memory)), largest=False).values
    torch.testing.assert_close(found.squared.double(), expected, rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(distances.gather(1, found.rows), expected)


def test_the_search_is_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, memory = drawn(300, 5), drawn(500, 5, seed=1)
    whole = nearest_rows(asked, memory, 3)
    monkeypatch.setattr(searching, "SEARCHED", 128)
    monkeypatch.setattr(searching, "QUERIES", 32)
    monkeypatch.setattr(searching, "ROWS", 192)
    blocks = nearest_rows(asked, memory, 3)
    assert torch.equal(whole.squared, blocks.squared)
    assert torch.equal(whole.rows, blocks.rows)


def test_a_patch_that_is_remembered_is_at_distance_zero_however_far_from_the_origin() -> None:
    memory = drawn(400, 32) + 1000
    found = nearest_rows(memory, memory)
    assert float(found.squared.max()) == 0
    assert torch.equal(found.rows[:, 0], torch.arange(400))


def test_of_equal_rows_the_first_is_named_and_constant_features_are_no_burden() -> None:
    found = nearest_rows(torch.ones(500, 4), torch.ones(300, 4))
    assert float(found.squared.max()) == 0
    assert int(found.rows.max()) == 0


def test_pairs_that_may_not_be_are_infinitely_far() -> None:
    asked, memory = drawn(4, 3), drawn(130, 3, seed=1)

    def allowed(q: slice, r: slice) -> Tensor:
        row = torch.arange(r.start, r.stop)[None]
        return (row >= 100) & (torch.arange(q.start, q.stop)[:, None] != 2)

    found = nearest_rows(asked, memory, 1, allowed)
    expected = by_hand(asked, memory[100:]).min(1)
    assert found.squared[2].isinf()
    for query in (0, 1, 3):
        assert int(found.rows[query]) == 100 + int(expected.indices[query])


# coresets


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 80), width=st.integers(1, 5), count=st.integers(1, 90))
def test_a_coreset_is_of_different_rows_each_the_farthest(
    rows: int, width: int, count: int
) -> None:
    memory = drawn(rows, width, seed=rows)
    chosen = farthest_first(memory, count, rows // 2).tolist()
    assert chosen[0] == rows // 2
    assert len(set(chosen)) == len(chosen) == min(rows, count)
    distances = by_hand(memory, memory)
    for number in range(1, len(chosen)):
        to_chosen = distances[:, chosen[:number]].amin(1)
        assert float(to_chosen[chosen[number]]) == pytest.approx(
            float(to_chosen.max()), rel=1e-3, abs=1e-5
        )


def test_a_coreset_does_not_depend_on_where_features_lie_or_how_they_are_turned() -> None:
    memory = drawn(120, 4)
    turned = torch.linalg.qr(drawn(4, 4, seed=1)).Q
    assert torch.equal(farthest_first(memory, 30, 3), farthest_first(memory @ turned + 2, 30, 3))


def test_equal_rows_are_chosen_once_each() -> None:
    assert sorted(farthest_first(torch.ones(7, 3), 7).tolist()) == list(range(7))


def test_a_stream_of_one_batch_is_a_coreset_of_all() -> None:
    memory = drawn(100, 4)
    streamed = merged_and_reduced(memory, [torch.arange(100)], 20, 20)
    assert sorted(streamed.tolist()) == sorted(farthest_first(memory, 20).tolist())


def test_a_coreset_is_a_share_up_to_one_and_a_number_above() -> None:
    assert [coreset_size(kept, 95) for kept in (0.1, 1, 2, 200, 0.001)] == [9, 95, 2, 95, 1]


def test_a_projection_keeps_distances_about_and_goes_by_the_seed() -> None:
    projection = random_projection(5000, 784, 3)
    assert projection is not None
    again, other = random_projection(5000, 784, 3), random_projection(5000, 784, 4)
    assert again is not None
    assert torch.equal(projection, again)
    assert other is not None
    assert not torch.equal(projection, other)
    rows = drawn(50, 784)
    ratio = (rows @ projection.T).square().sum(1) / rows.square().sum(1)
    assert 0.6 < float(ratio.min()) < float(ratio.max()) < 1.5
    assert random_projection(5000, 64, 3) is None


def test_a_long_selection_says_before_how_long_it_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    farthest_first(drawn(200, 4), 100)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("vlmad_memory.coreset.LONG", 0.0)
    farthest_first(drawn(200, 4), 100)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("vlmad: choosing 100 of 200 patches takes about 0 seconds")


# features


def test_levels_that_differ_cannot_be_averaged() -> None:
    tiny = load_detector("patchcore").backbone.spec
    part = PatchFeatures(joining="averaged")
    attention: Any = None
    with pytest.raises(OptionError, match="differ in grid or width and cannot be averaged"):
        part.requests(tiny, attention, "normed")


def test_an_even_neighbourhood_has_no_middle() -> None:
    with pytest.raises(OptionError, match="option 'neighbourhood' takes int from 1 to 15, not '2'"):
        load_detector("patchcore", options={"extractor": {"neighbourhood": "2"}})


# the scorer

OPTIONS: list[dict[str, Any]] = [
    {},
    {"distance": "euclidean", "coreset": 0.1, "reweighting": 9, "top": 0},
    {"distance": "squared", "neighbours": 3, "coreset": 20},
    {"whitening": 0.1},
    {"whitening": 0.1, "variance": 0.8, "distance": "euclidean"},
    {"coreset": 10, "merge": 1},
    {"radius": 0, "neighbours": 3, "coreset": 0.1},
    {"images": 1, "radius": 1},
    {"foreground": "both", "foreground_threshold": 2.0},
    {"foreground": "queries", "foreground_threshold": 2.0, "score_of": "pixels"},
    {"level_weights": (1.0, 3.0), "sigma": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_scorer_keeps_its_contract_with_other_options(options: dict[str, Any]) -> None:
    check_scorer(NearestPatches(**options))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    "maps",
    [
        {"one": drawn(3, 5, 1, 1)},
        {"one": torch.ones(3, 4, 3, 5)},
        {"one": drawn(3, 4, 3, 7).half(), "two": drawn(3, 6, 5, 2).half()},
        {"one": torch.zeros(3, 4, 2, 2), "two": drawn(3, 2, 4, 4)},
    ],
    ids=["one cell", "constant", "half precision", "zeros"],
)
def test_odd_features_have_finite_scores(options: dict[str, Any], maps: dict[str, Tensor]) -> None:
    if "level_weights" in options:
        options = {**options, "level_weights": None}
    features = features_of_maps(maps)
    one = replace(
        features,
        image=features.image[:1],
        regions=tuple(replace(r, embeddings=r.embeddings[:1]) for r in features.regions),
    )
    scorer = NearestPatches(**options)
    prediction = scorer(features, None, scorer.fit(one))
    assert prediction.score.isfinite().all()
    assert prediction.map.isfinite().all()
    assert float(prediction.score[0]) == pytest.approx(0, abs=1e-3) or "coreset" in options


def test_a_level_is_compared_with_itself_and_the_finest_grid_decides() -> None:
    references, queries = (
        features_of_maps({"one": drawn(2, 4, 6, 6, seed=s), "two": drawn(2, 3, 3, 3, seed=s + 9)})
        for s in (0, 1)
    )
    scorer = NearestPatches("squared", top=0)
    memory = scorer.fit(references)
    expected = []
    for regions, others in zip(queries.regions, references.regions, strict=True):
        distances = by_hand(regions.embeddings.flatten(0, 1), others.embeddings.flatten(0, 1))
        cells = distances.amin(1).unflatten(0, (2, *(regions.grid or ())))
        expected.append(
            cells.repeat_interleave(6 // cells.shape[1], 1).repeat_interleave(
                6 // cells.shape[2], 2
            )
        )
    highest = torch.stack(expected).mean(0).amax((1, 2))
    torch.testing.assert_close(scorer(queries, None, memory).score.double(), highest)


def test_views_are_turns_of_a_circle_each_mirrored_too() -> None:
    assert NearestPatches().views(3) == []
    turned = NearestPatches(turns=4, mirrored=True).views(1)
    assert [view.degrees for view in turned] == [90, 180, 270, 0, 90, 180, 270]
    assert View(mirrored=True) in turned


def test_references_added_later_are_as_if_there_from_the_start() -> None:
    both = example_features(4, gives=NearestPatches.needs)

    def some(rows: slice) -> Features:
        levels = (replace(r, embeddings=r.embeddings[rows]) for r in both.regions)
        return replace(both, image=both.image[rows], regions=tuple(levels))

    scorer = NearestPatches()
    added = scorer.add(scorer.fit(some(slice(0, 1))), scorer.fit(some(slice(1, 4))))
    whole = scorer.fit(both)
    assert added.keys() == whole.keys()
    assert all(torch.equal(added[name], whole[name]) for name in whole)
    assert not NearestPatches(coreset=0.5).adds_exactly


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reweighting": 9}, "re-weighting is of the highest cell: set top=0, score_of=cells"),
        ({"variance": 0.9}, "variance is what whitening keeps: set whitening, too"),
    ],
)
def test_options_that_say_nothing_together_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        NearestPatches(**options)


# memories of others


FAULTS: dict[str, tuple[dict[str, Tensor | None], str]] = {
    "no images": ({IMAGES: None}, "'images' is no list"),
    "nothing": ({"level 1.rows": None, "level 2.rows": None}, "lacking or unexpected"),
    "another tensor": ({"level 3.mean": torch.zeros(3)}, "unexpected: 'level 3.mean'"),
    "double": ({"level 1.rows": torch.zeros(200, 64).double()}, "no list of finite features"),
    "long": ({"level 1.rows": torch.ones(200, 64)}, "not of unit length"),
    "no place": ({"level 1.origins": torch.zeros(200, 3).long()}, "a reference and a cell"),
    "before": ({"level 1.origins": -torch.ones(200, 2).long()}, "a reference and a cell"),
    "absent": ({"level 1.origins": torch.full((200, 2), 2)}, "references that are not there"),
    "one-dimensional": ({"level 1.rows": torch.zeros(200)}, "no list of finite features"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_memory_of_something_else_is_refused(
    changes: dict[str, Tensor | None], message: str
) -> None:
    scorer = NearestPatches()
    memory = {**scorer.fit(example_features(2, gives=scorer.needs)), **changes}
    kept = {name: tensor for name, tensor in memory.items() if tensor is not None}
    refused = scorer.refuses_memory(kept, two_layer_backbone().spec)
    assert refused is not None
    assert message in refused


def test_cells_of_another_level_or_width_are_refused_when_they_are_compared() -> None:
    scorer = NearestPatches()
    memory = scorer.fit(features_of_maps({"one": drawn(1, 4, 3, 3)}))
    with pytest.raises(InputError, match="nothing of two is remembered"):
        scorer(features_of_maps({"two": drawn(1, 4, 3, 3)}), None, memory)
    for maps in (drawn(1, 5, 3, 3), drawn(1, 4, 2, 2)):
        with pytest.raises(InputError, match="what is remembered of one is no part of"):
            scorer(features_of_maps({"one": maps}), None, memory)


# explanations


@pytest.mark.slow
@pytest.mark.parametrize("name", ["patchcore", "anomalydino", "rad"])
def test_an_explanation_names_the_nearest_patch_of_the_references(name: str) -> None:
    detector = load_detector(name).fit(GOOD)
    [explanation] = explain(detector, [BAD])
    [result] = detector.predict(BAD)
    [addend] = explanation.addends
    assert explanation.score == pytest.approx(result.score, rel=1e-5)
    assert addend.weight * addend.value == pytest.approx(result.score, rel=1e-5)
    assert explanation.sentences == []
    assert explanation.gap is None
    assert "sentence" not in "\n".join(equation(explanation))
    first = explanation.findings[0]
    assert first.decided
    assert first.by == "references"
    assert first.nearest is not None
    assert first.nearest.place is not None
    assert first.nearest.distance == pytest.approx(first.values["references"])
    names = {source.name for source in detector.references}
    assert {finding.nearest.image for finding in explanation.findings if finding.nearest} <= names
