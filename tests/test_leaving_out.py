"""Good scores without a memory of the image itself, p-values and thresholds made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad_run.leaving_out import (
    CHANGED_MARGIN,
    MARGIN,
    above_few,
    automatic_threshold,
    judge_references,
    p_value,
    promise_of,
    standing_out,
)
from vlmad_run.manifest import GoodScores

GOOD = sorted((Path(__file__).parents[1] / "examples/samples/cloth/train/good").glob("*.png"))[:3]
SCORES = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60)


def test_each_reference_is_judged_as_by_a_detector_that_was_fitted_on_the_others() -> None:
    detector = load_detector("patchcore")
    found = judge_references(detector, GOOD)
    assert found.how == "left out"
    assert detector.memory is None
    for index, path in enumerate(GOOD):
        others = [other for other in GOOD if other != path]
        [result] = load_detector("patchcore").fit(others).predict([path])
        assert found.scores[index] == pytest.approx(result.score, abs=1e-6)


def test_a_single_reference_is_judged_by_its_crops_and_in_other_light() -> None:
    found = judge_references(load_detector("patchcore"), GOOD[:1])
    assert (found.how, len(found.scores)) == ("changed", 6)
    assert min(found.scores) > 0
    assert "no false-alarm rate" in promise_of(found)


@given(SCORES, st.floats(0, 2e3))
def test_p_values_are_shares_that_fall_with_the_score_down_to_their_floor(
    good: list[float], score: float
) -> None:
    value = p_value(score, good)
    assert 1 / (len(good) + 1) <= value <= 1
    assert p_value(score + 1, good) <= value
    assert p_value(max(good) + 1, good) == 1 / (len(good) + 1)
    assert p_value(min(good), good) == 1


def test_a_good_image_among_good_ones_is_below_a_p_value_no_more_often_than_it_says() -> None:
    scores = [float(number) for number in range(1, 21)]
    values = [p_value(own, [other for other in scores if other != own]) for own in scores]
    for level in (0.05, 0.1, 0.5):
        assert sum(value <= level for value in values) <= level * len(scores)


def test_few_good_scores_give_a_threshold_by_a_margin_above_their_largest() -> None:
    found = automatic_threshold(GoodScores(scores=[1.0, 4.0], how="left out"))
    assert found.value == pytest.approx(4 * MARGIN)
    assert "no false-alarm rate below 33.3 %" in found.rule


def test_a_changed_reference_gives_one_by_a_margin_of_its_own() -> None:
    found = above_few(GoodScores(scores=[1.0, 4.0], how="changed"))
    assert found == pytest.approx(4 * CHANGED_MARGIN)


def test_a_reference_stands_out_beside_three_others_at_least() -> None:
    assert standing_out([0.25, 0.51, 0.25, 0.25], odd=2) == [1]
    assert standing_out([0.25, 0.5, 0.25, 0.25], odd=2) == []
    assert standing_out([0.2, 20.0, 0.2], odd=2) == []


def test_as_many_as_the_rate_needs_give_their_quantile() -> None:
    scores = [float(number) for number in range(1, 40)]
    found = automatic_threshold(GoodScores(scores=scores, how="left out"))
    assert 38 < found.value < 39
    assert found.verdict(38.0) == "ok"
    assert found.verdict(39.0) == "anomalous"


def test_scores_without_a_margin_are_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="calibrate with --good PATH"):
        automatic_threshold(GoodScores(scores=[0.0, -1.0], how="left out"))


def test_equal_references_that_score_nothing_leave_the_others_their_margin() -> None:
    found = automatic_threshold(GoodScores(scores=[0.0, 0.0, 1.0], how="left out"))
    assert found.value == pytest.approx(MARGIN)
