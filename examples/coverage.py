"""Count how often intervals of image AUROC hold the truth, by method.

    python examples/coverage.py

Scores are normally distributed, so that the true AUROC is known. An interval of 95 % should hold
it in 95 of 100 sets.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import norm

from vlmad_evaluation.bootstrap import Method, bootstrap_images, interval

SETTINGS = ((20, 60, 0.95), (20, 60, 0.85), (30, 90, 0.98), (50, 50, 0.75), (8, 10, 0.90))
METHODS: tuple[Method, ...] = ("bca", "percentile")


def coverage(normal: int, anomalous: int, truth: float, sets: int) -> dict[Method, float]:
    """Return for each method the share of sets whose interval holds the truth."""
    labels = np.arange(normal + anomalous) >= normal
    shift = norm.ppf(truth) * 2**0.5
    hits = dict.fromkeys(METHODS, 0)
    for seed in range(sets):
        scores = np.random.default_rng(seed).normal(size=len(labels)) + shift * labels
        found = bootstrap_images(labels, scores, replicates=1000, seed=sets + seed)["image_auroc"]
        for method in METHODS:
            low, high = interval(found, 0.95, method)
            hits[method] += low <= truth <= high
    return {method: count / sets for method, count in hits.items()}


def main(sets: int) -> None:
    """Print a table."""
    print("| normal, anomalous images | true AUROC | BCa | percentile |\n|---|---|---|---|")
    for normal, anomalous, truth in SETTINGS:
        found = coverage(normal, anomalous, truth, sets)
        shares = " | ".join(f"{share:.1%}" for share in found.values())
        print(f"| {normal}, {anomalous} | {truth} | {shares} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000)
    main(parser.parse_args().sets)
