"""How often `vlmad review` adopts what is no gain, in reviews of which the truth is known.

    python examples/simulate_reviews.py --reviews 200

Normal images are points of a Gaussian in eight dimensions, defects lie 1.5 from its centre along
each of two of them, and a score is the distance to the nearest of a memory of references. The run's
threshold is the best of all, so that any other one is a loss; new references help where the memory
is small. Folds, thresholds and intervals are those of the command. What would be kept is measured
on many new images.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from vlmad_calibration.cuts import as_scores, choose_threshold
from vlmad_calibration.rules import Rule
from vlmad_review.gains import HeldOut, confidence_of_each, gain, make_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, SHIFT, NEW = 8, 1.5, 1500
LEVELS = (0.95, confidence_of_each(2))
REVIEWED = ((5, 0.0), (8, 0.0), (12, 0.0), (20, 0.0), (20, 0.75), (20, 1.0))
"""Images of each class, and the share of them that are picked as mistakes of the run."""


@dataclass(frozen=True, slots=True)
class Images:
    """Points, and which of them are defects."""

    points: NDArray[np.float64]
    anomalous: NDArray[np.bool_]


def draw(rng: np.random.Generator, each: int) -> Images:
    """Draw as many normal images as defects."""
    points = rng.normal(size=(2 * each, WIDTH))
    points[each:, :2] += SHIFT
    return Images(points, np.arange(2 * each) >= each)


def scores(points: NDArray[np.float64], memory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point to the nearest in a memory, as float32 holds it."""
    squares = (points**2).sum(1)[:, None] + (memory**2).sum(1) - 2 * points @ memory.T
    nearest = np.sqrt(np.maximum(squares, 0)).min(1)
    return np.asarray(nearest, np.float32).astype(np.float64)


def threshold(found: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> float:
    """Choose the one of the largest F1."""
    good, bad = as_scores(found[~anomalous]), as_scores(found[anomalous])
    return choose_threshold(good, bad, Rule.f1, None)


def f1(found: NDArray[np.float64], anomalous: NDArray[np.bool_], limit: float) -> float:
    """Return F1, 2 TP / (2 TP + FP + FN)."""
    called = found >= limit
    both = 2 * (called & anomalous).sum()
    return float(both / (both + (called != anomalous).sum()))


def pick(
    rng: np.random.Generator,
    old: NDArray[np.float64],
    limit: float,
    each: int,
    mistakes: float,
) -> Images:
    """Draw images to review, of each class a share that the run is wrong about."""
    if not mistakes:
        return draw(rng, each)
    pool, chosen = draw(rng, 40 * each), []
    wrong = (scores(pool.points, old) >= limit) != pool.anomalous
    picked = round(each * mistakes)
    for side in (False, True):
        for kind, count in ((wrong, picked), (~wrong, each - picked)):
            chosen.append(np.flatnonzero((pool.anomalous == side) & kind)[:count])
    kept = np.concatenate(chosen)
    return Images(pool.points[kept], pool.anomalous[kept])


def review(rng: np.random.Generator, each: int, size: int, mistakes: float) -> list[bool]:
    """Return for each level what went wrong.

    A threshold is adopted that is no better, references are, and the true gain in F1 lies below
    the interval. A run that makes too few mistakes to fill the review is drawn anew.
    """
    old, new = rng.normal(size=(size, WIDTH)), draw(rng, NEW)
    before = scores(new.points, old)
    own = threshold(before, new.anomalous)
    images = pick(rng, old, own, each, mistakes)
    if len(images.anomalous) < 2 * each:
        return review(rng, each, size, mistakes)
    seed, anomalous = int(rng.integers(1 << 30)), images.anomalous
    folds = make_folds(anomalous, seed)
    assert folds is not None
    plain, few = scores(images.points, old), np.empty(len(anomalous))
    called = np.zeros(len(anomalous), dtype=bool)
    for fold in range(max(folds) + 1):
        inside, outside = folds == fold, folds != fold
        called[inside] = plain[inside] >= threshold(plain[outside], anomalous[outside])
        memory = np.concatenate([old, images.points[outside & ~anomalous]])
        few[inside] = scores(images.points[inside], memory)
    run = HeldOut(anomalous, plain, plain >= own, seed)
    anew = HeldOut(anomalous, plain, called, seed)
    more = HeldOut(anomalous, few, called, seed)
    kept = scores(new.points, np.concatenate([old, images.points[~anomalous]]))
    ranked = [roc_auc_score(new.anomalous, each) for each in (kept, before)]
    true = f1(before, new.anomalous, threshold(plain, anomalous)) - f1(before, new.anomalous, own)
    wrong = []
    for level in LEVELS:
        of_threshold, of_references = (
            gain(anew.f1, run.f1, level),
            gain(more.auroc, anew.auroc, level),
        )
        wrong += [
            of_threshold.low > 0 and true <= 0,
            of_references.low > 0 and ranked[0] <= ranked[1],
            of_threshold.low > true,
        ]
    return wrong


def main() -> None:
    """Print a row for each kind of review."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=int, default=200)
    reviews = parser.parse_args().reviews
    print("of each class, mistakes, memory | threshold for nothing | references, no better | below")
    for each, mistakes in REVIEWED:
        for size in (4, 100):
            rng = np.random.default_rng(each + size)
            found = np.mean([review(rng, each, size, mistakes) for _ in range(reviews)], axis=0)
            cells = " | ".join(f"{found[i]:.1%} {found[i + 3]:.1%}" for i in range(3))
            print(f"{each:3d} {mistakes:4.0%} {size:4d} | {cells}", flush=True)


if __name__ == "__main__":
    main()
