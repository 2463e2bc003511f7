"""Time the pixel metrics against scikit-learn and the usual 200-threshold code.

    python examples/speed/metrics.py [--rounds 3] [--skip-slow]

40 maps of 512 x 512 in float32: smooth noise, in 30 of them one to four defects of uneven shape
that score higher on average. All functions get the same arrays. They take turns in one process,
and the shortest time of each counts; the ratios are those of these times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from vlmad_evaluation.bootstrap import bootstrap_pixels
from vlmad_evaluation.pixel_metrics import pixel_metrics
from vlmad_evaluation.streaming import PixelStream

IMAGES, DEFECTIVE, SIZE = 40, 30, 512
Arrays = tuple[np.ndarray, np.ndarray]


def blobs(seed: int = 0) -> Arrays:
    """Draw maps (40, 512, 512) float32 and masks of defects: smooth noise above a threshold."""
    rng = np.random.default_rng(seed)
    maps = np.empty((IMAGES, SIZE, SIZE), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for index in range(IMAGES):
        noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 8)
        uneven = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 12)
        for _ in range(rng.integers(1, 5) if index < DEFECTIVE else 0):
            row, column = rng.integers(30, SIZE - 30, size=2)
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


def stream(maps: np.ndarray, masks: np.ndarray) -> object:
    """Compute the pixel metrics image by image, from histograms."""
    pixels = PixelStream()
    for scores, mask in zip(maps, masks, strict=True):
        pixels.add(scores, mask)
    return pixels.metrics()


def contestants(maps: np.ndarray, masks: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    truth, scores = masks.ravel(), maps.ravel()
    return {
        "vlmad, all exact": lambda: pixel_metrics(maps, masks),
        "vlmad, streaming": lambda: stream(maps, masks),
        "vlmad, 1000 replicates": lambda: bootstrap_pixels(maps, masks, replicates=1000),
        "scikit-learn AUROC": lambda: roc_auc_score(truth, scores),
        "scikit-learn AP": lambda: average_precision_score(truth, scores),
        "usual 200 thresholds": lambda: usual_200_thresholds(maps, masks),
    }


def main(rounds: int, skip_slow: bool) -> None:
    """Print the metrics and a table of times and ratios."""
    maps, masks = blobs()
    evaluation = pixel_metrics(maps, masks)
    for name, metric in evaluation.metrics.items():
        print(f"{name:28} {metric}")
    share = masks.mean()
    print(f"{evaluation.regions} regions, {share:.1%} of the pixels\n")
    functions = contestants(maps, masks)
    if skip_slow:
        del functions["usual 200 thresholds"]
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    ours = min(times["vlmad, all exact"])
    print("| | seconds, shortest | longest | shortest as a multiple of ours |\n|---|---|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {min(taken):.2f} | {max(taken):.2f} | {min(taken) / ours:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-slow", action="store_true", help="leave out the 200 thresholds")
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.skip_slow)
