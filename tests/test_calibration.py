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

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad_calibration.calibration import MOST_LEFT_OUT_SINGLY, calibrate
from vlmad_calibration.cuts import as_scores, choose_cut, cuts_of, value_above, value_in_gap
from vlmad_calibration.rates import (
    conformal_rank,
    expected_false_alarms,
    images_needed,
    measured_rate,
)
from vlmad_calibration.rules import Rule, settle
from vlmad_calibration._labelled_scores import Scores, score_references, select
from vlmad_run.thresholds import Threshold, read_threshold, write_threshold

FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)
TIED = st.integers(0, 6).map(lambda n: n / 8)
SCORES = st.lists(FLOATS, min_size=1, max_size=30) | st.lists(TIED, min_size=1, max_size=30)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.3, 0.5, 0.9])


def errors_at(threshold: float, good: list[float], bad: list[float]) -> tuple[int, int]:
    """Count false alarms and misses one by one, by the verdict of a run."""
    judge = Threshold(threshold).verdict
    false_alarms = sum(judge(score) == "anomalous" for score in good)
    return false_alarms, sum(judge(score) == "ok" for score in bad)


def all_errors(good: list[float], bad: list[float]) -> list[tuple[int, int]]:
    """Count the errors of every threshold that makes a difference, from the lowest."""
    thresholds = [*sorted({*good, *bad}), np.inf]
    return [errors_at(threshold, good, bad) for threshold in thresholds]


# where a threshold lies


@given(SCORES, st.data())
def test_a_threshold_divides_scores_as_the_models_and_as_the_tables_give_them(
    scores: list[float], data: st.DataObject
) -> None:
    values = np.unique(as_scores(scores))
    cut = data.draw(st.integers(0, len(values)))
    threshold = value_in_gap(values, cut)
    assert [float(v) >= threshold for v in values] == [i >= cut for i in range(len(values))]
    assert [float(f"{v:.9g}") >= threshold for v in values] == [
        i >= cut for i in range(len(values))
    ]
    assert float(f"{threshold:.9g}") == threshold


@given(SCORES, st.data())
def test_a_threshold_just_above_a_score_lies_below_the_next(
    scores: list[float], data: st.DataObject
) -> None:
    values = np.unique(as_scores(scores))
    cut = data.draw(st.integers(1, len(values)))
    threshold = value_above(values, values[cut - 1])
    assert float(values[cut - 1]) < threshold
    assert all(threshold < float(f"{value:.9g}") for value in values[cut:])


@given(FLOATS)
def test_neighbouring_float32_numbers_have_a_threshold_between_them(score: float) -> None:
    values = as_scores([score, np.nextafter(np.float32(score), np.float32(np.inf))])
    threshold = value_in_gap(values, 1)
    assert float(f"{values[0]:.9g}") < threshold < float(f"{values[1]:.9g}")


def test_classes_that_are_separable_are_divided_in_the_middle_of_the_gap() -> None:
    for rule in (Rule.f1, Rule.false_alarms, Rule.misses):
        found = calibrate([0.1, 0.2, 0.3], [0.5, 0.7], rule)
        assert found.threshold == pytest.approx(0.4, abs=1e-7)
        assert found.errors[0].false_alarms.value == found.errors[0].misses.value == 0  # type: ignore[union-attr]
        assert found.auroc == 1


def test_equal_scores_of_both_classes_are_judged_alike() -> None:
    found = calibrate([0.5] * 4, [0.5] * 6)
    assert found.auroc == 0.5
    assert errors_at(found.threshold, [0.5], [0.5]) == (1, 0)


def test_scores_beyond_all_bounds_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        calibrate([0.1, float("nan")])
    with pytest.raises(InputError, match="nothing to calibrate on"):
        calibrate([])


# which cut a rule chooses


@pytest.mark.slow
@settings(max_examples=40)
@given(SCORES, SCORES)
def test_f1_is_the_largest_of_all_thresholds(good: list[float], bad: list[float]) -> None:
    found = calibrate(good, bad, Rule.f1)
    labels = [False] * len(good) + [True] * len(bad)

    def f1(threshold: float) -> float:
        called = [score >= threshold for score in (*good, *bad)]
        return float(f1_score(labels, called, zero_division=0))

    assert f1(found.threshold) == pytest.approx(max(f1(t) for t in {*good, *bad}))
    told = found.errors[0]
    assert told.misses is not None
    counts = told.false_alarms.value * len(good), told.misses.value * len(bad)
    assert counts == pytest.approx(errors_at(found.threshold, good, bad))


@pytest.mark.slow
@settings(max_examples=40)
@given(SCORES, SCORES, RATES | st.just(0.0))
def test_a_limit_to_one_error_is_kept_with_the_fewest_of_the_other(
    good: list[float], bad: list[float], rate: float
) -> None:
    false_alarms, misses = errors_at(
        calibrate(good, bad, Rule.false_alarms, rate).threshold, good, bad
    )
    allowed = [each for each in all_errors(good, bad) if each[0] <= rate * len(good) + 1e-9]
    assert (misses, false_alarms) == min((m, f) for f, m in allowed)
    false_alarms, misses = errors_at(calibrate(good, bad, Rule.misses, rate).threshold, good, bad)
    allowed = [each for each in all_errors(good, bad) if each[1] <= rate * len(bad) + 1e-9]
    assert (false_alarms, misses) == min(allowed)


@given(SCORES, RATES)
def test_the_quantile_flags_no_more_good_images_than_its_rank(
    good: list[float], rate: float
) -> None:
    threshold = calibrate(good, rate=rate).threshold
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
@pytest.mark.parametrize(("images", "rate"), [(19, 0.05), (30, 0.1), (200, 0.02), (7, 0.5)])
def test_new_good_images_raise_false_alarms_as_often_as_promised(images: int, rate: float) -> None:
    draws = np.random.default_rng(images).random((3000, images)).astype(np.float32)
    [promise] = {calibrate(row, rate=rate).errors[0].false_alarms for row in draws[:3]}
    thresholds = [calibrate(row, rate=rate).threshold for row in draws]
    actual = 1 - np.array(thresholds)  # of scores that are uniform from 0 to 1
    spread = actual.std() / np.sqrt(len(actual))
    assert promise.value <= rate
    assert abs(actual.mean() - promise.value) < 4 * spread + 1e-5  # how far above is chosen
    covered = ((promise.low <= actual) & (actual <= promise.high)).mean()
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / len(actual)))


def test_too_few_good_images_promise_what_they_can_and_say_what_it_takes() -> None:
    found = calibrate([0.1, 0.4, 0.2], rate=0.05)
    assert found.errors[0].false_alarms.value == 0.25
    assert found.threshold == pytest.approx(0.4, abs=2e-5)
    assert found.threshold > float(np.float32(0.4))
    [remark] = found.remarks
    assert "3 good images cannot promise a false-alarm rate of 0.05: that takes 19" in remark
    assert calibrate(np.linspace(0, 1, 19), rate=0.05).remarks == ()


@pytest.mark.parametrize("images", [1, 5, 20, 80])
def test_measured_intervals_cover_every_true_rate_at_least_95_times_in_100(images: int) -> None:
    errors = np.arange(images + 1)
    rates = [measured_rate(int(k), images) for k in errors]
    low, high = np.array([(rate.low, rate.high) for rate in rates]).T
    for true in np.linspace(0.001, 0.999, 97):
        covered = (low <= true) & (true <= high)
        assert binom.pmf(errors, images, true)[covered].sum() >= 0.95 - 1e-9


def test_the_expected_rate_is_the_mean_of_its_distribution() -> None:
    assert expected_false_alarms(99, 99).value == pytest.approx(0.01)
    assert expected_false_alarms(99, 95).value == pytest.approx(0.05)


@pytest.mark.parametrize("per_class", [40, MOST_LEFT_OUT_SINGLY])
def test_images_left_out_tell_that_noise_is_noise_where_the_same_images_do_not(
    per_class: int,
) -> None:
    noise = np.random.default_rng(1).random((2, per_class))
    same, left_out = calibrate(*noise, Rule.f1).errors
    assert same.misses is not None
    assert left_out.misses is not None

    def total(rates: object) -> float:
        return rates.false_alarms.value + rates.misses.value  # type: ignore[attr-defined]

    assert total(same) < 1 <= total(left_out) + 0.05
    assert left_out == calibrate(*noise, Rule.f1).errors[1]
    singly = 2 * per_class <= MOST_LEFT_OUT_SINGLY
    assert left_out.source == ("each image left out" if singly else "5 folds left out")


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(FLOATS, min_size=2, max_size=8), st.lists(FLOATS, min_size=2, max_size=8))
def test_leaving_out_is_what_a_plain_loop_does(good: list[float], bad: list[float]) -> None:
    def chosen(good: list[float], bad: list[float]) -> float:
        cuts = cuts_of(as_scores(good), as_scores(bad))
        return value_in_gap(cuts.values, choose_cut(cuts, Rule.f1, 0))

    false_alarms = misses = 0
    for i, score in enumerate(good):
        false_alarms += score >= chosen(good[:i] + good[i + 1 :], bad)
    for i, score in enumerate(bad):
        misses += score < chosen(good, bad[:i] + bad[i + 1 :])
    told = calibrate(good, bad, Rule.f1).errors[1]
    assert told.misses is not None
    assert round(told.false_alarms.value * len(good)) == false_alarms
    assert round(told.misses.value * len(bad)) == misses


def test_one_image_of_a_class_cannot_be_left_out_and_that_is_said() -> None:
    found = calibrate([0.1, 0.2], [0.5])
    assert len(found.errors) == 1
    assert "at least two good and two bad" in found.remarks[0]


def test_the_quantile_knows_misses_from_bad_images_that_it_did_not_use() -> None:
    good = np.linspace(0, 1, 40)
    alone, labelled = calibrate(good), calibrate(good, [0.5, 0.9, 2, 3], Rule.quantile)
    assert alone.threshold == labelled.threshold
    assert alone.errors[0].misses is None
    assert labelled.errors[0].misses is not None
    assert labelled.errors[0].misses.value == 0.5
    assert labelled.remarks == ()


# rules, rates and images that cannot be


@pytest.mark.parametrize(
    ("rule", "rate", "labelled", "message"),
    [
        (Rule.f1, None, False, "the rule f1 needs bad images: add --bad DIR"),
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


def test_references_and_repeated_images_are_left_out_by_their_content() -> None:
    hashes = ["1", "2", "1", None, "9"]
    good = [(Path(name), sha256) for name, sha256 in zip("abcde", hashes, strict=True)]
    bad = [(Path("x"), "5"), (Path("y"), None)]
    selection = select(good, bad, [("elsewhere", "9")])
    assert selection.good == [Path("a"), Path("b"), Path("d")]
    assert selection.bad == [Path("x"), Path("y")]
    assert (selection.references, selection.repeated) == (["e"], ["c"])


def test_an_image_that_is_called_good_and_bad_is_refused() -> None:
    with pytest.raises(InputError, match="a is among the good images, and as b among the bad"):
        select([(Path("a"), "1")], [(Path("b"), "1")], [])


def test_references_that_changed_since_fitting_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "nut.png"
    path.write_bytes(b"another image now")
    with pytest.raises(InputError, match=r"nut\.png is not there as it was fitted on; name good"):
        score_references(load_detector("winclip"), "nut", [(str(path), "0" * 64)], 1, print)


def test_a_score_that_is_no_number_is_a_failure() -> None:
    scores = Scores()
    for score in (0.5, None, float("nan"), "high"):
        scores.add("a.png", score, "", is_bad=True)  # type: ignore[arg-type]
    assert (scores.good, scores.bad, scores.failures) == ([], [0.5], ["a.png: it has no score"] * 3)


def test_a_threshold_file_keeps_names_that_are_no_text(tmp_path: Path) -> None:
    name = "caf\udce9"
    write_threshold(Threshold(0.5, "given", {"class_name": name}), tmp_path / "t.json")
    assert read_threshold(str(tmp_path / "t.json")).identity == {"class_name": name}


def test_cuts_count_all_errors() -> None:
    good, bad = [0.1, 0.2, 0.2], [0.2, 0.4]
    cuts = cuts_of(as_scores(good), as_scores(bad))
    counted = list(zip(cuts.false_alarms.tolist(), cuts.misses.tolist(), strict=True))
    rounded = [[float(np.float32(s)) for s in scores] for scores in (good, bad)]
    assert counted == all_errors(*rounded)
    assert choose_cut(cuts, Rule.false_alarms, 0) == 2


def test_the_documentation_says_what_to_expect_of_how_many_images() -> None:
    page = (Path(__file__).parents[1] / "docs" / "thresholds.md").read_text()
    row = re.compile(r"^\| (\d+) \| (0\.\d+) \| ([\d.]+) % \| ([\d.]+) to ([\d.]+) % \|$", re.M)
    rows = row.findall(page)
    assert len(rows) == 7
    for images, rate, *told in rows:
        expected = expected_false_alarms(int(images), conformal_rank(int(images), float(rate)))
        assert told == [f"{100 * x:.1f}" for x in (expected.value, expected.low, expected.high)]
