"""Time the pixel metrics against scikit-learn and the usual 200-threshold code.

    python examples/speed/metrics.py

40 maps of 512 x 512 in float32: smooth noise, in three of four of them one to four defects of
uneven shape that score higher on average. All functions get the same arrays; where two compute
the same metric, it must be the same. They take turns in one process, and the shortest time of
each counts. The error of the streamed metrics and of the replicates is the proven bound.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from vlmad_evaluation.bootstrap import bootstrap_pixels, interval
from vlmad_evaluation.metric import Metric
from vlmad_evaluation.pixel_metrics import pixel_metrics
from vlmad_evaluation.streaming import PixelStream

SAME = {
    "scikit-learn AUROC": "pixel_auroc",
    "scikit-learn AP": "pixel_ap",
    "usual 200 thresholds": "pixel_aupro_200_thresholds",
}


def blobs(images: int = 40, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Draw maps (images, size, size) in float32 and masks of defects."""
    rng = np.random.default_rng(0)
    maps = np.empty((images, size, size), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    rows, columns = np.mgrid[:size, :size]
    for index in range(images):
        noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 8)
        uneven = ndimage.gaussian_filter(rng.standard_normal((size, size)), 12)
        for _ in range(rng.integers(1, 5) if index % 4 else 0):
            row, column = rng.integers(30, size - 30, size=2)
            distance = np.hypot(rows - row, columns - column)
            masks[index] |= distance + 8 * uneven / uneven.std() < rng.integers(10, 45)
        raised = ndimage.gaussian_filter(masks[index].astype(float), 6)
        maps[index] = noise / noise.std() + 2.5 * raised
    return maps, masks


def usual_200_thresholds(maps: np.ndarray, masks: np.ndarray) -> float:
    """Compute AUPRO as evaluation scripts do: every image and region again at each threshold."""
    lowest, highest = maps.min(), maps.max()
    rates, overlaps = [], []
    for threshold in np.arange(lowest, highest, (highest - lowest) / 200):
        found = maps > threshold
        shares = []
        for above, mask in zip(found, masks, strict=True):
            labels, _ = ndimage.label(mask, np.ones((3, 3)))
            for number, box in enumerate(ndimage.find_objects(labels), start=1):
                region = labels[box] == number
                shares.append(above[box][region].sum() / region.sum())
        overlaps.append(np.mean(shares))
        rates.append(np.logical_and(~masks, found).sum() / (~masks).sum())
    rate, overlap = np.array(rates), np.array(overlaps)
    kept = rate < 0.3
    stretched = (rate[kept] - rate[kept].min()) / (rate[kept].max() - rate[kept].min())
    return float(auc(stretched, overlap[kept]))


def stream(maps: np.ndarray, masks: np.ndarray) -> dict[str, Metric]:
    """Compute the pixel metrics image by image, from histograms."""
    pixels = PixelStream()
    for scores, mask in zip(maps, masks, strict=True):
        pixels.add(scores, mask)
    return pixels.metrics()


def contestants(maps: np.ndarray, masks: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    truth, scores = masks.ravel(), maps.ravel()
    return {
        "vlmad, all exact": lambda: pixel_metrics(maps, masks),
        "vlmad, streamed": lambda: stream(maps, masks),
        "vlmad, 1000 replicates": lambda: bootstrap_pixels(maps, masks, replicates=1000),
        "scikit-learn AUROC": lambda: roc_auc_score(truth, scores),
        "scikit-learn AP": lambda: average_precision_score(truth, scores),
        "usual 200 thresholds": lambda: usual_200_thresholds(maps, masks),
    }


def print_metrics(found: dict[str, Any]) -> None:
    """Print the metrics with intervals and bounds; stop if two programs disagree."""
    metrics = found["vlmad, all exact"].metrics
    for name, key in SAME.items():
        if abs(found[name] - metrics[key].value) > 1e-9:
            raise SystemExit(f"{name} gives {found[name]}, not {metrics[key].value}")
    print("| metric | exact | 95 % interval, its error at most | streamed, its error at most |")
    print("|---|---|---|---|")
    for name, replicates in found["vlmad, 1000 replicates"].items():
        low, high = interval(replicates)
        streamed = found["vlmad, streamed"][name]
        cells = (
            name,
            f"{metrics[name].value:.5f}",
            f"{low:.3f} to {high:.3f}, {replicates.error:.0e}",
            f"{streamed.value:.5f}, {streamed.error:.0e}",
        )
        print(f"| {' | '.join(cells)} |")


def main(images: int, size: int, rounds: int) -> None:
    """Print a table of times."""
    functions = contestants(*blobs(images, size))
    times: dict[str, list[float]] = {name: [] for name in functions}
    found = {}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            found[name] = function()
            times[name].append(time.perf_counter() - start)
    print_metrics(found)
    ours = min(times["vlmad, all exact"])
    print("\n| program | seconds, shortest | longest | shortest / vlmad's |\n|---|---|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {min(taken):.2f} | {max(taken):.2f} | {min(taken) / ours:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.images, arguments.size, arguments.rounds)
