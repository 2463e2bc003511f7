"""Streamed pixel metrics: the stated error holds, and order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vlmad.errors import InputError
from vlmad_evaluation.bootstrap import bootstrap_pixels, resample
from vlmad_evaluation.curves import CURVE_METRICS
from vlmad_evaluation.image_curves import ImageCurveCollector
from vlmad_evaluation.labelled_maps import LabelledMap
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, SortedPixels, pixel_metrics
from vlmad_evaluation.streaming import PixelStream, ordered_bits, score_of_bits

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
FEW = st.integers(0, 40).map(lambda i: float(np.float32(0.5 + i / 100)))
"""Scores that share bins and values."""
Images = tuple[np.ndarray, np.ndarray]


def streamed(maps: np.ndarray, masks: np.ndarray, bins: int) -> PixelStream:
    pixels = PixelStream(bins)
    for scores, mask in zip(maps, masks, strict=True):
        pixels.add(scores, mask)
    return pixels


def images(elements: st.SearchStrategy[float]) -> st.SearchStrategy[Images]:
    """Draw three maps of 4 x 5 with masks that have both classes."""
    maps = hnp.arrays(np.float32, (3, 4, 5), elements=elements)
    masks = hnp.arrays(bool, (3, 4, 5)).filter(lambda m: m.any() and not m.all())
    return st.tuples(maps, masks)


def assert_bounds_hold(maps: np.ndarray, masks: np.ndarray, bins: int) -> None:
    exact = pixel_metrics(maps, masks).metrics
    pixels = streamed(maps, masks, bins)
    for name, metric in pixels.metrics().items():
        if name in EXACT_METRICS:
            value, low, high = CURVE_METRICS[name.removeprefix("pixel_")](pixels.curve())
            assert low - 1e-12 <= exact[name].value <= high + 1e-12, name
            assert low - 1e-12 <= value <= high + 1e-12, name
            assert abs(metric.value - exact[name].value) <= metric.error + 1e-12, name


@pytest.mark.slow
@given(images(FLOATS | FEW), st.integers(2, 40))
def test_the_stated_error_holds_for_any_scores_and_any_number_of_bins(
    arrays: Images, bins: int
) -> None:
    assert_bounds_hold(*arrays, bins)


@pytest.mark.slow
@given(images(FLOATS), st.permutations(range(3)), st.integers(2, 40))
def test_the_order_of_images_does_not_change_the_counts(
    arrays: Images, order: list[int], bins: int
) -> None:
    maps, masks = arrays
    one = streamed(maps, masks, bins).curve()
    other = streamed(maps[order], masks[order], bins).curve()
    np.testing.assert_array_equal(one.thresholds, other.thresholds)
    np.testing.assert_array_equal(one.false_positives, other.false_positives)
    np.testing.assert_array_equal(one.true_positives, other.true_positives)
    np.testing.assert_allclose(one.overlap, other.overlap)


def test_rounding_double_precision_is_part_of_the_error() -> None:
    maps, masks = np.array([[[1.0, 1.0 + 1e-12]]]), np.array([[[False, True]]])
    metric = streamed(maps, masks, 16).metrics()["pixel_auroc"]
    assert (metric.value, metric.error) == (0.5, 0.5)


@given(hnp.arrays(np.float32, 20, elements=FLOATS))
def test_ordered_bits_keep_the_order_and_come_back(scores: np.ndarray) -> None:
    bits = ordered_bits(scores)
    np.testing.assert_array_equal(scores.argsort(kind="stable"), bits.argsort(kind="stable"))
    np.testing.assert_array_equal(score_of_bits(bits), scores)
    assert len(np.unique(bits)) == len(np.unique(scores))


def test_a_stream_of_one_class_is_undefined_and_so_is_the_200_threshold_variant() -> None:
    pixels = PixelStream(8)
    assert pixels.metrics()["pixel_auroc"].reason == "no anomalous pixel"
    pixels.add([[0.0, 1.0]], [[True, True]])
    assert pixels.metrics()["pixel_auroc"].reason == "no normal pixel"
    pixels.add([[0.0, 1.0]], [[False, False]])
    assert pixels.metrics()["pixel_auroc"].value == 0.5
    assert "second pass" in pixels.metrics()["pixel_aupro_200_thresholds"].reason


def test_a_stream_refuses_what_it_cannot_count() -> None:
    with pytest.raises(InputError, match="at least 2"):
        PixelStream(1)
    pixels = PixelStream()
    with pytest.raises(InputError, match="map of image 0 goes beyond float32"):
        pixels.add([[1e300, 0.0]], [[False, True]])
    with pytest.raises(InputError, match="map of image 0: 1 of 2 are not finite"):
        pixels.add([[float("nan"), 0.0]], [[False, True]])
    assert (pixels.images, pixels.regions) == (0, 0)


def test_a_second_pass_gives_intervals_of_what_does_not_fit_into_memory() -> None:
    rng = np.random.default_rng(2)
    masks = np.zeros((12, 30, 30), dtype=bool)
    masks[5:, 5:12, 8:20] = True
    maps = rng.normal(size=masks.shape) + rng.normal(size=(12, 1, 1)) + masks  # double precision
    collector = ImageCurveCollector(*streamed(maps, masks, 1 << 16).thresholds())
    for scores, mask in zip(maps, masks, strict=True):
        collector.add(SortedPixels.of([LabelledMap(scores, mask)]))
    found = resample(collector.curves(), EXACT_METRICS, replicates=100)
    for name, expected in bootstrap_pixels(maps, masks, replicates=100).items():
        assert found[name].error < 0.01
        joint = found[name].error + expected.error
        np.testing.assert_allclose(found[name].values, expected.values, rtol=0, atol=joint)


def test_the_thresholds_of_a_second_pass_lie_below_scores_that_were_rounded_up() -> None:
    lowest = 1.0 - 2e-8  # float32 has nothing between 1 - 6e-8 and 1
    pixels = PixelStream()
    pixels.add([[lowest, 2.0]], [[False, True]])
    collector = ImageCurveCollector(*pixels.thresholds())
    collector.add(
        SortedPixels.of([LabelledMap(np.array([[lowest, 2.0]]), np.array([[False, True]]))])
    )
    assert collector.curves().false_positives[0, -1] == 1


def test_a_bin_that_reaches_beyond_the_lowest_score_begins_at_it() -> None:
    pixels = streamed(np.array([[[-3e38, 3e38]]]), np.array([[[False, True]]]), 2)
    assert pixels.curve().thresholds[-1] == np.float32(-3e38)


def test_a_second_pass_over_other_maps_is_noticed() -> None:
    pixels = PixelStream()
    with pytest.raises(InputError, match="no anomalous pixel: intervals need both classes"):
        pixels.thresholds()
    pixels.add([[0.25, 0.5]], [[False, True]])
    collector = ImageCurveCollector(*pixels.thresholds())
    with pytest.raises(InputError, match="no images to resample"):
        collector.curves()
    with pytest.raises(InputError, match="lower score than the first pass found"):
        collector.add(SortedPixels.of([LabelledMap(np.array([[0.1]]), np.array([[True]]))]))
