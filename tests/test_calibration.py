"""Thresholds: where they lie, what they promise, and how often the promises hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import f1_score

from vlmad.errors import InputError
from vlmad_calibration.calibration import MOST_LEFT_OUT_SINGLY, calibrate
from vlmad_calibration.cuts import as_scores, choose_threshold, value_above, value_in_gap
from vlmad_calibration.rates import (
    expected_false_alarms,
    images_needed,
    measured_rate,
)
from vlmad_calibration.rules import Rule, settle
from vlmad_run.leaving_out import conformal_rank

FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)
TIED = st.integers(0, 6).map(lambda n: n / 8)
SCORES = st.lists(FLOATS, min_size=1, max_size=30) | st.lists(TIED, min_size=1, max_size=30)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.3, 0.5, 0.9])


def errors_at(threshold: float, good: list[float], bad: list[float]) -> tuple[int, int]:
    """Count false alarms and misses one by one."""
    return sum(score >= threshold for score in good), sum(score < threshold for score in bad)


def all_errors(good: list[float], bad: list[float]) -> list[tuple[int, int]]:
    """Count the errors of every threshold that makes a difference."""
    return [errors_at(threshold, good, bad) for threshold in {*good, *bad, np.inf}]


# where a threshold lies


@given(SCORES, st.data())
def test_a_threshold_divides_scores_as_the_models_and_as_the_tables_give_them(
    scores: list[float], data: st.DataObject
) -> None:
    values = np.unique(as_scores(scores))
    cut = data.draw(st.integers(0, len(values)))
    threshold = value_in_gap(values, cut)
    anomalous = [i >= cut for i in range(len(values))]
    assert [float(v) >= threshold for v in values] == anomalous
    assert [float(f"{v:.9g}") >= threshold for v in values] == anomalous
    assert float(f"{threshold:.9g}") == threshold
    above = value_above(values, values[max(cut, 1) - 1])
    assert values[max(cut, 1) - 1] < above
    assert all(above < float(f"{value:.9g}") for value in values[max(cut, 1) :])


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1, 40, 2300])
def test_a_threshold_lies_further_above_a_score_than_another_machine_computes_it(
    scale: float,
) -> None:
    values = as_scores([0.2 * scale, 0.5 * scale, scale])
    for low, other in ((values[0], values[1]), (values[2], np.inf)):
        distance = value_above(values, low) - low
        assert min(9e-6 * max(1, low), 5e-3 * scale) < distance < other - low
        assert distance < 1.1e-5 * max(1, low)


@given(FLOATS)
def test_neighbouring_float32_numbers_have_a_threshold_between_them(score: float) -> None:
    values = as_scores([score, np.nextafter(np.float32(score), np.float32(np.inf))])
    assert float(f"{values[0]:.9g}") < value_in_gap(values, 1) < float(f"{values[1]:.9g}")


@pytest.mark.parametrize(
    ("rule", "rate", "threshold", "errors"),
    [
        (Rule.f1, None, 0.3, (0, 1)),  # 2/3, as at 0.15, of which the higher is taken
        (Rule.false_alarms, 0.0, 0.3, (0, 1)),
        (Rule.false_alarms, 0.7, 0.15, (2, 0)),
        (Rule.misses, 0.0, 0.15, (2, 0)),
        (Rule.misses, 0.5, 0.3, (0, 1)),
        (Rule.quantile, 0.5, 0.20001, (0, 1)),
    ],
)
def test_five_scores_are_cut_as_by_hand(
    rule: Rule, rate: float | None, threshold: float, errors: tuple[int, int]
) -> None:
    good, bad = [0.1, 0.2, 0.2], [0.2, 0.4]
    found = calibrate(good, bad, rule, rate)
    assert found.threshold == pytest.approx(threshold, abs=1e-5)
    assert errors_at(found.threshold, good, bad) == errors
    assert found.evidence.auroc == pytest.approx(5 / 6)


def test_equal_scores_of_both_classes_are_judged_alike() -> None:
    found = calibrate([0.5] * 4, [0.5] * 6)
    assert found.evidence.auroc == 0.5
    assert errors_at(found.threshold, [0.5], [0.5]) == (1, 0)


# which cut a rule chooses


@pytest.mark.slow
@settings(max_examples=25)
@given(SCORES, SCORES)
def test_f1_is_the_largest_of_all_thresholds(good: list[float], bad: list[float]) -> None:
    found = calibrate(good, bad, Rule.f1)
    labels = [False] * len(good) + [True] * len(bad)

    def f1(threshold: float) -> float:
        called = [score >= threshold for score in (*good, *bad)]
        return float(f1_score(labels, called, zero_division=0))

    assert f1(found.threshold) == pytest.approx(max(f1(t) for t in {*good, *bad}))
    same = found.evidence.errors[0]
    assert same.misses is not None
    counts = same.false_alarms.value * len(good), same.misses.value * len(bad)
    assert counts == pytest.approx(errors_at(found.threshold, good, bad))


@given(SCORES, SCORES, RATES | st.just(0.0))
def test_a_limit_to_one_error_is_kept_with_the_fewest_of_the_other(
    good: list[float], bad: list[float], rate: float
) -> None:
    normal, anomalous = as_scores(good), as_scores(bad)
    threshold = choose_threshold(normal, anomalous, Rule.false_alarms, rate)
    allowed = [each for each in all_errors(good, bad) if each[0] <= rate * len(good) + 1e-9]
    assert errors_at(threshold, good, bad) == min(allowed, key=lambda errors: errors[::-1])
    threshold = choose_threshold(normal, anomalous, Rule.misses, rate)
    allowed = [each for each in all_errors(good, bad) if each[1] <= rate * len(bad) + 1e-9]
    assert errors_at(threshold, good, bad) == min(allowed)


@given(SCORES, RATES)
def test_the_quantile_flags_no_more_good_images_than_its_rank(
    good: list[float], rate: float
) -> None:
    threshold = choose_threshold(as_scores(good), as_scores([]), Rule.quantile, rate)
    rank = min(conformal_rank(len(good), rate), len(good))
    above = sum(score > sorted(good)[rank - 1] for score in good)
    assert errors_at(threshold, good, [])[0] == above <= len(good) - rank


# what is promised, and how often it holds


@given(st.integers(1, 3000), RATES | st.floats(1e-4, 0.9999))
def test_ranks_keep_the_rate_and_are_the_lowest_that_do(images: int, rate: float) -> None:
    rank = conformal_rank(images, rate)
    assert (images + 1 - rank) / (images + 1) <= rate * (1 + 1e-12)
    assert (images + 2 - rank) / (images + 1) > rate * (1 - 1e-12)
    assert (rank <= images) == (images >= images_needed(rate))


@pytest.mark.slow
@pytest.mark.parametrize(("images", "rate"), [(19, 0.05), (30, 0.1), (7, 0.5)])
def test_new_good_images_raise_false_alarms_as_often_as_promised(images: int, rate: float) -> None:
    draws = np.random.default_rng(images).random((3000, images)).astype(np.float32)
    promise = calibrate(draws[0], rate=rate).evidence.errors[0].false_alarms
    none = as_scores([])
    thresholds = [choose_threshold(as_scores(d), none, Rule.quantile, rate) for d in draws]
    actual = 1 - np.array(thresholds)  # of scores that are uniform from 0 to 1
    spread = actual.std() / np.sqrt(len(actual))
    assert promise.value <= rate
    assert abs(actual.mean() - promise.value) < 4 * spread + 1e-5  # how far above is chosen
    covered = ((promise.low <= actual) & (actual <= promise.high)).mean()
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / len(actual)))


def test_too_few_good_images_promise_what_they_can_and_it_is_remarked_what_it_takes() -> None:
    found = calibrate([0.1, 0.4, 0.2], rate=0.05)
    assert found.evidence.errors[0].false_alarms.value == 0.25
    assert found.threshold == pytest.approx(0.4, abs=2e-5)
    [remark] = found.evidence.remarks
    assert "3 good images cannot promise a false-alarm rate of 0.05: that takes 19" in remark
    assert calibrate(np.linspace(0, 1, 19), rate=0.05).evidence.remarks == []


@pytest.mark.parametrize("images", [1, 5, 20, 80])
def test_measured_intervals_cover_every_true_rate_at_least_95_times_in_100(images: int) -> None:
    errors = np.arange(images + 1)
    rates = [measured_rate(int(k), images) for k in errors]
    low, high = np.array([(rate.low, rate.high) for rate in rates]).T
    for true in np.linspace(0.001, 0.999, 97):
        covered = (low <= true) & (true <= high)
        assert binom.pmf(errors, images, true)[covered].sum() >= 0.95 - 1e-9


@pytest.mark.parametrize("per_class", [40, MOST_LEFT_OUT_SINGLY])
def test_images_left_out_show_that_noise_is_noise_where_the_same_images_do_not(
    per_class: int,
) -> None:
    noise = np.random.default_rng(1).random((2, per_class))
    found = calibrate(*noise, Rule.f1).evidence
    same, left_out = (each.false_alarms.value + each.misses.value for each in found.errors)  # type: ignore[union-attr]
    assert same < 1 <= left_out + 0.05
    singly = 2 * per_class <= MOST_LEFT_OUT_SINGLY
    assert found.errors[1].source == ("each image left out" if singly else "5 folds left out")
    assert found == calibrate(*noise, Rule.f1).evidence


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(FLOATS, min_size=2, max_size=8), st.lists(FLOATS, min_size=2, max_size=8))
def test_leaving_out_is_what_a_plain_loop_does(good: list[float], bad: list[float]) -> None:
    def chosen(good: list[float], bad: list[float]) -> float:
        return choose_threshold(as_scores(good), as_scores(bad), Rule.f1, None)

    false_alarms = misses = 0
    for i, score in enumerate(good):
        false_alarms += score >= chosen(good[:i] + good[i + 1 :], bad)
    for i, score in enumerate(bad):
        misses += score < chosen(good, bad[:i] + bad[i + 1 :])
    left_out = calibrate(good, bad, Rule.f1).evidence.errors[1]
    assert left_out.misses is not None
    assert round(left_out.false_alarms.value * len(good)) == false_alarms
    assert round(left_out.misses.value * len(bad)) == misses


def test_one_image_of_a_class_cannot_be_left_out_and_that_is_remarked() -> None:
    found = calibrate([0.1, 0.2], [0.5]).evidence
    assert len(found.errors) == 1
    assert "at least two good and two bad" in found.remarks[0]


def test_the_quantile_knows_misses_from_bad_images_that_it_did_not_use() -> None:
    good = np.linspace(0, 1, 40)
    alone, labelled = calibrate(good), calibrate(good, [0.5, 0.9, 2, 3], Rule.quantile)
    assert alone.threshold == labelled.threshold
    [errors] = alone.evidence.errors
    assert errors.misses is None
    [errors] = labelled.evidence.errors
    assert errors.misses is not None
    assert errors.misses.value == 0.5


# rules, rates and scores that cannot be


@pytest.mark.parametrize(
    ("rule", "rate", "labelled", "message"),
    [
        (Rule.f1, None, False, "the rule f1 needs bad images: add --bad PATH"),
        (Rule.misses, None, False, "the rule misses needs bad images"),
        (None, 0.1, True, "the rule f1 takes no rate"),
        (None, 0.0, False, "the rule quantile takes a rate above 0 and below 1, not 0.0"),
        (None, float("nan"), False, "not nan"),
        (Rule.misses, 1.0, True, "the rule misses takes a rate from 0 and below 1, not 1.0"),
    ],
)
def test_rules_and_rates_that_do_not_fit_are_refused(
    rule: Rule | None, rate: float | None, labelled: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        settle(rule, rate, labelled)


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        calibrate([0.1, float("nan")])
    with pytest.raises(InputError, match="nothing to calibrate on"):
        calibrate([])


def test_the_documentation_shows_what_to_expect_of_how_many_images() -> None:
    page = (Path(__file__).parents[1] / "docs" / "thresholds.md").read_text()
    row = re.compile(r"^\| (\d+) \| (0\.\d+) \| ([\d.]+) % \| ([\d.]+) to ([\d.]+) % \|$", re.M)
    rows = row.findall(page)
    assert len(rows) == 7
    for images, rate, *shown in rows:
        expected = expected_false_alarms(int(images), conformal_rank(int(images), float(rate)))
        assert shown == [f"{100 * x:.1f}" for x in (expected.value, expected.low, expected.high)]
