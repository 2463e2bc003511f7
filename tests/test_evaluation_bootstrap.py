"""Intervals over images: exact replicates, scipy's intervals, coverage, degenerate sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vlmad.errors import InputError
from vlmad_evaluation.bootstrap import (
    Method,
    average_replicates,
    bootstrap_images,
    bootstrap_pixels,
    interval,
    stratified_weights,
    with_interval,
)
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.metric import Metric, macro_average
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, pixel_metrics


def noisy_maps(
    rng: np.random.Generator, normal: int, defective: int, size: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Draw maps whose noise, and whose defects' contrast, differs from image to image."""
    masks = np.zeros((normal + defective, size, size), dtype=bool)
    masks[normal:, 3:8, 4:9] = True
    offset, contrast = rng.normal(size=(2, len(masks), 1, 1))
    maps = rng.normal(size=masks.shape) + offset + (1 + contrast) * masks
    return maps.astype(np.float32), masks


@settings(max_examples=15)
@given(st.integers(0, 99), st.sampled_from([16, 64, 300]))
def test_binned_replicates_are_as_near_to_exact_ones_as_they_say(seed: int, bins: int) -> None:
    maps, masks = noisy_maps(np.random.default_rng(seed), 4, 5)
    found = bootstrap_pixels(maps, masks, replicates=8, seed=seed, bins=bins)
    weights = stratified_weights(masks.any((1, 2)).astype(int), 8, seed).astype(int)
    for number, weight in enumerate(weights):
        exact = pixel_metrics(maps.repeat(weight, 0), masks.repeat(weight, 0)).metrics
        for name in EXACT_METRICS:
            distance = abs(found[name].values[number] - exact[name].value)
            assert distance <= found[name].error + 1e-12


def test_few_distinct_scores_make_exact_replicates() -> None:
    maps, masks = noisy_maps(np.random.default_rng(1), 3, 4)
    maps = np.round(maps * 10)
    found = bootstrap_pixels(maps, masks, replicates=5, seed=3)
    weights = stratified_weights(masks.any((1, 2)).astype(int), 5, 3).astype(int)
    for number, weight in enumerate(weights):
        exact = pixel_metrics(maps.repeat(weight, 0), masks.repeat(weight, 0)).metrics
        for name in EXACT_METRICS:
            assert found[name].error == 0
            assert found[name].values[number] == pytest.approx(exact[name].value, abs=1e-12)


def test_image_replicates_and_jackknife_are_those_of_the_images_themselves() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(15) >= 6
    scores = np.round(rng.normal(size=15) + labels, 1)
    found = bootstrap_images(labels, scores, replicates=6, seed=2)
    weights = stratified_weights(labels.astype(int), 6, 2).astype(int)
    sets = [np.arange(15).repeat(w) for w in weights]
    left_out = [np.delete(np.arange(15), i) for i in range(15)]
    for name, replicates in found.items():
        assert replicates.error == 0
        for chosen, values in ((sets, replicates.values), (left_out, replicates.without)):
            exact = [image_metrics(labels[c], scores[c])[name].value for c in chosen]
            np.testing.assert_allclose(values, exact, atol=1e-12)


@pytest.mark.parametrize(("method", "name"), [("bca", "BCa"), ("percentile", "percentile")])
def test_intervals_are_those_of_scipy(method: Method, name: str) -> None:
    rng = np.random.default_rng(11)
    labels = np.arange(50) >= 20
    scores = rng.normal(size=50) + 1.8 * labels

    def auroc(normal: np.ndarray, anomalous: np.ndarray, axis: int) -> np.ndarray:
        return (anomalous[..., :, None] > normal[..., None, :]).mean((-1, -2))

    classes, rng = (scores[~labels], scores[labels]), np.random.default_rng(0)
    theirs = stats.bootstrap(classes, auroc, n_resamples=20000, method=name, batch=2000, rng=rng)
    found = bootstrap_images(labels, scores, replicates=20000)["image_auroc"]
    ours = interval(found, 0.95, method)
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.005)
    other = interval(found, 0.95, "percentile" if method == "bca" else "bca")
    assert abs(other[0] - ours[0]) > 0.01  # or nothing was compared


def test_image_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth, hits = 0.9, 0
    shift = stats.norm.ppf(truth) * 2**0.5
    labels = np.arange(60) >= 25
    for seed in range(150):
        scores = np.random.default_rng(seed).normal(size=60) + shift * labels
        low, high = interval(bootstrap_images(labels, scores, replicates=300)["image_auroc"])
        hits += low <= truth <= high
    assert 0.90 <= hits / 150 <= 0.99


def test_the_interval_of_an_average_is_narrower_and_ignores_the_order_of_images() -> None:
    labels = np.arange(40) >= 15
    rng = np.random.default_rng(0)  # both categories have their images from good to bad
    scores = np.concatenate([np.sort(rng.normal(size=15)), np.sort(rng.normal(size=25)) + 1])
    one = bootstrap_images(labels, scores)["image_auroc"]
    average = average_replicates({"tile": one, "wood": one})
    assert average.estimate == one.estimate
    assert average.values.std() == pytest.approx(one.values.std() / 2**0.5, rel=0.1)
    low, high = interval(average)
    assert low < average.estimate < high
    # the jackknife centres the images of each class of each category by themselves
    np.testing.assert_array_equal(average.strata, np.append(one.strata, one.strata + 2))
    alone = average_replicates({"tile": one})
    assert interval(alone) == pytest.approx(interval(one))
    mean = macro_average({name: Metric(value=one.estimate) for name in ("tile", "wood")})
    assert with_interval(mean, average).low == low


def test_a_single_image_of_a_class_gives_a_value_without_interval() -> None:
    labels, scores = [True, False, False], [0.5, 0.1, 0.6]
    found = bootstrap_images(labels, scores, replicates=50)["image_auroc"]
    metric = with_interval(image_metrics(labels, scores)["image_auroc"], found)
    assert (metric.value, metric.low) == (0.5, None)
    assert metric.reason == "no interval from a single anomalous image"
    assert average_replicates({"tile": found}).reason == "no interval: a category has none"


def test_undefined_metrics_have_no_replicates_and_stay_undefined() -> None:
    assert bootstrap_images([True], [0.1]) == {}
    assert bootstrap_pixels([np.ones((2, 2))], [np.zeros((2, 2), dtype=bool)]) == {}
    assert bootstrap_pixels([np.ones((2, 2))], [None]) == {}
    some = bootstrap_images([True, True, False, False], [3, 2, 1, 2], replicates=9)["image_auroc"]
    undefined = Metric(value=None, reason="no mask")
    assert with_interval(undefined, some) == undefined


def test_normal_pixels_of_one_image_alone_allow_no_interval() -> None:
    masks = np.ones((4, 3, 3), dtype=bool)
    masks[0, 0] = False
    maps = np.random.default_rng(0).random(masks.shape)
    found = bootstrap_pixels(maps, masks, replicates=50)["pixel_auroc"]
    metric = with_interval(pixel_metrics(maps, masks).metrics["pixel_auroc"], found)
    assert metric.value == pytest.approx(found.estimate)
    assert metric.reason == "no interval: some resampled sets lack normal pixels"
    with pytest.raises(InputError, match="lack normal pixels"):
        interval(found)


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(InputError, match="1 replicates make no interval"):
        bootstrap_images([True, False], [1.0, 0.0], replicates=1)
    with pytest.raises(InputError, match="8 bins are too coarse"):
        bootstrap_pixels([np.ones((1, 1))], [np.ones((1, 1), dtype=bool)], bins=8)
    found = bootstrap_images([True, False] * 2, [1, 0, 2, 3], replicates=2)["image_auroc"]
    with pytest.raises(InputError, match="confidence of 95"):
        interval(found, 95)
    with pytest.raises(InputError, match="as many replicates"):
        average_replicates({})
