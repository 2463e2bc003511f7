"""Image and pixel metrics: reference outputs, scikit-learn, brute force, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from vlmad.errors import InputError
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.labelled_maps import as_scores, resize_map, resize_mask
from vlmad_evaluation.metric import Metric
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, pixel_metrics

HERE = Path(__file__).parent
SUBSET = HERE / "golden" / "metrics"
FULL = Path(os.environ.get("VLMAD_GOLDEN", HERE.parents[1] / "shared" / "golden")) / "metrics"
GOLDEN_NAMES = {
    "pixel_auroc": ("pixel_auroc", 1e-9),
    "pixel_ap": ("pixel_ap", 1e-9),
    "pixel_f1max": ("pixel_f1_max", 1e-9),
    "image_auroc": ("image_auroc", 1e-9),
    "image_ap": ("image_ap", 1e-9),
    "image_f1max": ("image_f1_max", 1e-9),
    "aupro_grouped_ties_030": ("pixel_aupro_30", 1e-9),
    "aupro_grouped_ties_005": ("pixel_aupro_05", 1e-9),
    "aupro_mvtec_030": ("pixel_aupro_30", 1e-3),
    "aupro_mvtec_005": ("pixel_aupro_05", 1e-3),
    "aupro_200_anomalyclip": ("pixel_aupro_200_thresholds", 1e-9),
}


@pytest.mark.parametrize(
    ("folder", "name"),
    [(SUBSET, "small"), (SUBSET, "tied"), (FULL, "small"), (FULL, "tied"), (FULL, "medium")],
)
def test_metrics_are_those_of_other_implementations(folder: Path, name: str) -> None:
    if not folder.is_dir():
        pytest.skip(f"no full reference outputs in {folder}")
    expected = json.loads((folder / "expected.json").read_text())[name]
    with np.load(folder / f"{name}.npz") as arrays:
        maps, masks = arrays["maps"], arrays["masks"] > 0
    found = dict(pixel_metrics(maps, masks).metrics)
    found |= image_metrics(masks.any((1, 2)), maps.max((1, 2)))
    assert set(expected) <= set(GOLDEN_NAMES)
    for golden, value in expected.items():
        ours, tolerance = GOLDEN_NAMES[golden]
        assert found[ours].value == pytest.approx(value, abs=tolerance), golden
        assert found[ours].error == 0


# brute force


def regions_of(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """Find 8-connected regions by walking from pixel to pixel."""
    left = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    regions = []
    while left:
        walk = [left.pop()]
        for row, column in walk:
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            walk.extend(near)
        regions.append(walk)
    return regions


def operating_points(
    maps: list[np.ndarray], masks: list[np.ndarray], thresholds: list[float], inclusive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return false positive rate and mean region overlap at each threshold, one by one."""
    regions = [
        [float(scores[place]) for place in region]
        for scores, mask in zip(maps, masks, strict=True)
        for region in regions_of(mask)
    ]
    normal = [float(v) for a, m in zip(maps, masks, strict=True) for v in a[~m]]

    def share(scores: list[float], threshold: float) -> float:
        above = [s >= threshold if inclusive else s > threshold for s in scores]
        return sum(above) / len(scores)

    rates = [share(normal, t) for t in thresholds]
    overlaps = [float(np.mean([share(region, t) for region in regions])) for t in thresholds]
    return np.array(rates), np.array(overlaps)


def brute_aupro(maps: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    """Integrate trapezoid by trapezoid over every distinct score, up to the limit."""
    distinct = sorted({float(v) for scores in maps for v in scores.ravel()}, reverse=True)
    rates, overlaps = operating_points(maps, masks, distinct, inclusive=True)
    area, x0, y0 = 0.0, 0.0, 0.0
    for x1, y1 in zip(rates, overlaps, strict=True):
        end = min(x1, limit)
        if end > x0:
            y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
        x0, y0 = x1, y1
    return float(area / limit)


def labelled_maps(
    kind: type = np.float32, values: int = 5
) -> st.SearchStrategy[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Draw one to four small maps of whole numbers, with masks that have both classes."""

    def fill(shapes: list[tuple[int, int]]) -> st.SearchStrategy[tuple]:
        maps = [hnp.arrays(kind, s, elements=st.integers(0, values)) for s in shapes]
        masks = [hnp.arrays(bool, s) for s in shapes]
        return st.tuples(st.tuples(*maps).map(list), st.tuples(*masks).map(list))

    shape = st.tuples(st.integers(1, 6), st.integers(1, 6))
    sets = st.lists(shape, min_size=1, max_size=4).flatmap(fill)
    return sets.filter(lambda s: 0 < sum(m.sum() for m in s[1]) < sum(m.size for m in s[1]))


@pytest.mark.slow
@given(labelled_maps(), st.sampled_from([0.3, 0.05]))
def test_pixel_metrics_with_many_ties_are_those_of_scikit_learn_and_of_brute_force(
    images: tuple[list[np.ndarray], list[np.ndarray]], limit: float
) -> None:
    maps, masks = images
    found = pixel_metrics(maps, masks)
    labels = np.concatenate([m.ravel() for m in masks])
    scores = np.concatenate([a.ravel() for a in maps])
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    expected = {
        "pixel_auroc": roc_auc_score(labels, scores),
        "pixel_ap": average_precision_score(labels, scores),
        "pixel_f1_max": f1,
        f"pixel_aupro_{limit * 100:02.0f}": brute_aupro(maps, masks, limit),
    }
    for name, value in expected.items():
        assert found.metrics[name].value == pytest.approx(value, abs=1e-12)
    assert found.regions == sum(len(regions_of(m)) for m in masks)
    threshold = found.metrics["pixel_f1_max"].threshold
    called = scores >= threshold
    assert 2 * (called & labels).sum() / (called.sum() + labels.sum()) == pytest.approx(f1)


@pytest.mark.slow
@given(labelled_maps(values=200))
def test_the_200_threshold_variant_is_that_of_its_definition(
    images: tuple[list[np.ndarray], list[np.ndarray]],
) -> None:
    maps, masks = images
    metric = pixel_metrics(maps, masks).metrics["pixel_aupro_200_thresholds"]
    low, high = min(a.min() for a in maps), max(a.max() for a in maps)
    if low == high:
        assert metric == Metric(value=None, reason="all scores are equal")
        return
    thresholds = np.arange(low, high, (high - low) / 200).tolist()
    rates, overlaps = operating_points(maps, masks, thresholds, inclusive=False)
    kept = rates < 0.3
    if len(set(rates[kept])) < 2:
        assert metric.value is None
        assert "fewer than two of 200 thresholds" in metric.reason
        return
    x, y = rates[kept], overlaps[kept]
    x = (x - x.min()) / (x.max() - x.min())
    area = sum((x[i] - x[i + 1]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))
    assert metric.value == pytest.approx(area, abs=1e-12)


# agreement and invariance


def test_double_precision_is_not_rounded_away() -> None:
    maps = [np.array([[1.0, 1.0 + 1e-12]]), np.array([[1.0]], dtype=np.float32)]
    found = pixel_metrics(maps, [np.array([[False, True]]), np.array([[False]])])
    assert found.metrics["pixel_auroc"].value == 1


@pytest.mark.parametrize("largest", [3e38, 1e-44, 1e-30])
def test_scores_at_the_ends_of_single_precision_are_scores_too(largest: float) -> None:
    maps = np.array([[[-largest, 0, largest / 2, largest]]], dtype=np.float32)
    found = pixel_metrics(maps, np.array([[[False, False, False, True]]])).metrics
    assert [found[name].value for name in EXACT_METRICS] == [1] * len(EXACT_METRICS)
    usual = found["pixel_aupro_200_thresholds"]
    assert usual.value is None
    assert usual.reason.startswith("fewer than two" if largest == 1e-30 else "no 200 steps")


# what is undefined


def test_one_class_alone_leaves_metrics_undefined_with_a_reason() -> None:
    normal, anomalous = image_metrics([False, False], [0.1, 0.2]), image_metrics([True], [0.1])
    assert normal["image_auroc"] == Metric(value=None, reason="no anomalous image")
    assert anomalous["image_ap"] == Metric(value=None, reason="no normal image")
    scores = [np.ones((2, 2))]
    for mask, reason in ((False, "no anomalous pixel"), (True, "no normal pixel")):
        found = pixel_metrics(scores, [np.full((2, 2), mask)])
        assert {(each.value, each.reason) for each in found.metrics.values()} == {(None, reason)}


def test_without_masks_pixel_metrics_are_undefined() -> None:
    found = pixel_metrics([np.ones((2, 2))] * 2, [None, None])
    assert str(found.metrics["pixel_aupro_30"]) == "undefined: no mask"
    assert (found.images, found.left_out) == (0, 2)


def test_a_normal_image_needs_no_mask_and_a_defective_one_without_is_left_out() -> None:
    maps = [np.zeros((1, 2)), np.array([[0.0, 1.0]]), np.ones((1, 2))]
    masks = [None, np.array([[False, True]]), None]
    found = pixel_metrics(maps, masks, labels=[False, True, True])
    assert (found.images, found.left_out, found.metrics["pixel_auroc"].value) == (2, 1, 1.0)


# what is refused

MAP, MASK = np.zeros((2, 3)), np.array([[True, False, False]] * 2)


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (lambda: pixel_metrics([], []), "no maps"),
        (lambda: pixel_metrics([MAP], []), "1 maps, 0 masks: need one each"),
        (lambda: pixel_metrics([MAP], [MASK], labels=[]), "1 maps, 1 masks, 0 labels"),
        (lambda: pixel_metrics([MAP], [MASK], labels=[2]), "labels must be booleans, not int64"),
        (lambda: pixel_metrics([MAP], [MASK.T]), r"map \(2, 3\) and mask \(3, 2\) of image 0"),
        (lambda: pixel_metrics([MAP], [MASK * 255]), "mask of image 0 must be booleans, not int"),
        (lambda: pixel_metrics([MAP], [[[True], []]]), "mask of image 0 are not an array"),
        (lambda: pixel_metrics([MAP / 0], [MASK]), "map of image 0: 6 of 6 are not finite"),
        (lambda: pixel_metrics([MAP * np.inf], [MASK]), "not finite"),
        (lambda: pixel_metrics([MAP + 1j], [MASK]), "real numbers, not complex128"),
        (lambda: pixel_metrics([[["a"]]], [[[True]]]), "real numbers, not <U1"),
        (lambda: pixel_metrics([MAP[0]], [MASK[0]]), r"height x width, not \(3,\)"),
        (lambda: pixel_metrics([MAP[:0]], [MASK[:0]]), r"height x width, not \(0, 3\)"),
        (lambda: pixel_metrics([MAP], [MASK], resolution=(0, 4)), "evaluation resolution of 0 x 4"),
        (lambda: image_metrics([], []), "no images to evaluate"),
        (lambda: image_metrics([1, 0], [0.1, 0.2]), "labels must be booleans, not int64"),
        (lambda: image_metrics([True, False], [0.1]), r"labels \(2,\) and scores \(1,\)"),
        (lambda: image_metrics([True, False], [0.1, float("nan")]), "1 of 2 are not finite"),
        (lambda: image_metrics([True, False], [0.1, None]), "real numbers, not object"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_unusable_input_is_refused_in_words(evaluate: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate()


# resolution


@given(st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(1, 12)] * 2))
def test_maps_are_resized_as_torch_does(old: tuple[int, int], new: tuple[int, int]) -> None:
    scores = np.random.default_rng(0).random(old).astype(np.float32)
    expected = F.interpolate(
        torch.from_numpy(scores)[None, None], new, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resize_map(scores, new), expected[0, 0], atol=1e-5)


@given(hnp.arrays(bool, st.tuples(*[st.integers(1, 9)] * 2)), st.tuples(*[st.integers(1, 12)] * 2))
def test_masks_stay_boolean_and_take_the_pixel_below(
    mask: np.ndarray, new: tuple[int, int]
) -> None:
    resized = resize_mask(mask, new)
    assert (resized.shape, resized.dtype) == (new, np.bool_)
    expected = F.interpolate(torch.from_numpy(mask)[None, None].float(), new, mode="nearest-exact")
    np.testing.assert_array_equal(resized, expected[0, 0].numpy() > 0.5)


def test_defects_that_the_resolution_loses_are_counted() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[0, 0] = True
    found = pixel_metrics([np.ones((9, 9))] * 2, [mask, ~mask], resolution=(3, 3))
    assert (found.vanished, found.regions) == (1, 1)
    assert pixel_metrics([np.ones((9, 9))] * 2, [mask, ~mask]).vanished == 0


@pytest.mark.parametrize(
    ("kind", "kept"), [("uint16", "float32"), ("float16", "float32"), ("int64", "float64")]
)
def test_short_numbers_are_compared_in_single_precision(kind: str, kept: str) -> None:
    assert as_scores(np.ones(3, dtype=kind)).dtype == kept


@pytest.mark.slow
def test_the_speed_script_finds_the_same_numbers_as_what_it_is_compared_with() -> None:
    script = HERE.parent / "examples" / "speed" / "metrics.py"
    small = ["--images", "8", "--size", "96", "--rounds", "1"]
    done = subprocess.run([sys.executable, script, *small], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| usual 200 thresholds |" in done.stdout
    assert "| pixel_aupro_05 |" in done.stdout
