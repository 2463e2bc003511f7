"""Two detectors on the same images: DeLong, paired bootstrap, max-T."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vlmad.errors import InputError
from vlmad_evaluation.bootstrap import bootstrap_images
from vlmad_evaluation.comparison import (
    Comparison,
    compare_auroc,
    compare_replicates,
    delong_covariance,
    max_t,
)

LABELS = np.arange(14) >= 6


def brute_delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute DeLong's components pair by pair, and their covariances sum by sum."""
    detectors = range(len(scores))
    won = [
        [[float(a > b) + float(a == b) / 2 for b in s[~labels]] for a in s[labels]] for s in scores
    ]
    areas = np.array([np.mean(w) for w in won])
    covariance = np.zeros((len(scores), len(scores)))
    for i in detectors:
        for j in detectors:
            for axis in (0, 1):
                one, other = (np.mean(won[k], axis=1 - axis) - areas[k] for k in (i, j))
                count = len(one)
                covariance[i, j] += sum(one * other) / (count - 1) / count
    return areas, covariance


@given(hnp.arrays(np.float64, (3, 14), elements=st.integers(0, 6)))
def test_delongs_covariance_is_that_of_all_pairs(scores: np.ndarray) -> None:
    areas, covariance = delong_covariance(LABELS, scores)
    expected = brute_delong(LABELS, scores)
    np.testing.assert_allclose(areas, expected[0], atol=1e-12)
    np.testing.assert_allclose(covariance, expected[1], atol=1e-12)


def test_delong_finds_a_false_difference_as_rarely_as_it_says() -> None:
    labels = np.arange(60) >= 25
    found = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=60) + 1.5 * labels
        one, other = shared + rng.normal(size=(2, 60))
        found += compare_auroc(labels, one, other).p_value < 0.05
    assert 0.02 <= found / 300 <= 0.085


def test_delong_and_the_paired_bootstrap_agree_on_a_clear_and_on_no_difference() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) >= 50
    good = rng.normal(size=120) + 2 * labels
    bad, alike = good + rng.normal(size=(2, 120)) * [[3.0], [0.3]]
    one = bootstrap_images(labels, good)["image_auroc"]
    for other, differs in ((bad, True), (alike, False)):
        exact = compare_auroc(labels, good, other)
        drawn = compare_replicates(one, bootstrap_images(labels, other)["image_auroc"])
        assert drawn.difference == pytest.approx(exact.difference)
        assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.02)
        assert (exact.p_value < 0.01, drawn.p_value < 0.01) == (differs, differs)
        assert drawn.p_value >= 2 / 1001  # no number of draws proves that there is no chance


def test_comparisons_that_cannot_be_made_say_why() -> None:
    few = compare_auroc([True, False, False], [1, 0, 0], [0, 1, 1])
    assert str(few) == "undefined: fewer than two images of a class"
    labels, scores = [True, True, False, False], [2, 2, 1, 1]
    opposite = compare_auroc(labels, scores, [-s for s in scores])
    assert (opposite.difference, opposite.p_value) == (1.0, None)
    assert str(opposite).endswith("the images of a class all rank alike (DeLong)")
    single = bootstrap_images([True, False, False], [1, 0, 2], replicates=5)["image_ap"]
    assert compare_replicates(single, single) == Comparison(
        difference=0.0, reason="no interval from a single anomalous image"
    )


def test_detectors_on_different_images_are_not_compared() -> None:
    one = bootstrap_images([True, False, True], [1, 0, 2], replicates=5)["image_ap"]
    other = bootstrap_images([True, True, False], [1, 0, 2], replicates=5)["image_ap"]
    fewer = bootstrap_images([True, False, True], [1, 0, 2], replicates=4)["image_ap"]
    for wrong in (other, fewer):
        with pytest.raises(InputError, match="on the same images"):
            compare_replicates(one, wrong)
    with pytest.raises(InputError, match="confidence of 1"):
        compare_auroc([True, False], [1, 0], [1, 0], confidence=1)
    with pytest.raises(InputError, match="scores: 1 of 2 are not finite"):
        compare_auroc([True, False], [1, 0], [1, float("inf")])


@given(
    hnp.arrays(np.float64, 5, elements=st.floats(-3, 3)),
    st.integers(0, 99),
)
def test_a_joint_correction_is_no_smaller_than_each_test_and_keeps_their_order(
    differences: np.ndarray, seed: int
) -> None:
    draws = differences[:, None] + np.random.default_rng(seed).normal(size=(5, 200))
    together = max_t(differences, draws)
    alone = np.array([max_t(differences[i : i + 1], draws[i : i + 1])[0] for i in range(5)])
    assert (together >= alone - 1e-12).all()
    strength = np.abs(differences) / draws.std(axis=1)
    assert (np.diff(together[np.argsort(-strength)]) >= 0).all()
    assert together.min() >= 1 / 201


def test_a_joint_correction_of_one_comparison_counts_the_draws_that_are_as_far() -> None:
    draws = np.array([[0.5, 1.5, 2.5, 3.5]])  # around 2, by 1.5, 0.5, 0.5 and 1.5
    assert max_t(np.array([2.0]), draws)[0] == pytest.approx(1 / 5)
    assert max_t(np.array([1.0]), draws)[0] == pytest.approx(3 / 5)  # 1.5 and 2.5 are as far


def test_what_is_the_same_in_all_draws_is_no_difference_or_none_that_can_be_judged() -> None:
    found = max_t(np.array([0.0, 0.3, 5.0]), np.array([[0.0] * 9, [0.3] * 9, [4.0, 5.0, 6.0] * 3]))
    assert found[0] == 1
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(0.1)
