"""What the evidence of `vlmad drift` promises, on drawn scores: false alarms, and delays.

    python examples/drift/simulated.py

Scores are drawn from a gamma distribution; a share of defects scores far higher. Each line is of
so many streams as `--streams` says. The figures in docs/drift.md are its output.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vlmad_drift.drift_watch import DEFECTS, DriftWatch
from vlmad_drift.martingales import Martingale, fortune_of

Numbers = NDArray[np.float64]
LARGEST_SHARE = 8
"""Among so many quantities alpha is divided in the command; delays are of one of them."""


def drawn(rng: np.random.Generator, count: int) -> Numbers:
    """Draw scores of good parts: mean 0, standard deviation 1, skewed."""
    return (rng.gamma(9, size=count) - 9) / 3


def with_defects(rng: np.random.Generator, scores: Numbers, share: float) -> Numbers:
    """Let a share of scores be those of defects."""
    return np.where(rng.random(len(scores)) < share, scores + 6, scores)


def joined(usual: Numbers, scores: Numbers) -> Iterator[float]:
    """Yield the evidence after each score, as `vlmad drift` gathers it."""
    watch = DriftWatch({"score": [*(10 + usual)]}, ["score"], alpha=1e-12)
    for score in scores:
        watch.see("", "", {"score": 10 + float(score)})
        yield watch.evidence["score"]


def fixed(usual: Numbers, scores: Numbers) -> Iterator[float]:
    """Yield the evidence of who ranks each score among the usual ones alone."""
    chance, sides = np.random.default_rng(0), (Martingale(DEFECTS), Martingale(DEFECTS))
    for score in scores:
        p = (np.sum(usual > score) + chance.random()) / (len(usual) + 1)
        sides[0].step(p)
        sides[1].step(1 - p)
        yield fortune_of(sides)


def false_alarms(streams: int, length: int) -> Table:
    """Measure how often unchanged streams ever reach the evidence that an alarm needs."""
    table = Table("usual scores", "ranked among", "defects", "alpha 0.1", "0.05", "0.01", box=None)
    ways: tuple[tuple[str, Callable[[Numbers, Numbers], Iterator[float]], float], ...] = (
        ("all before", joined, 0.0),
        ("all before", joined, 0.05),
        ("all before", joined, 0.15),
        ("the usual ones", fixed, 0.0),
    )
    for usual in (4, 16, 64):
        for name, way, share in ways:
            rng, highest = np.random.default_rng(usual), []
            for _ in range(streams):
                known, new = drawn(rng, usual), with_defects(rng, drawn(rng, length), share)
                highest.append(max(way(known, new)))
            reached = [np.mean(np.array(highest) >= 1 / alpha) for alpha in (0.1, 0.05, 0.01)]
            table.add_row(str(usual), name, f"{share:.0%}", *(f"{each:.1%}" for each in reached))
    return table


def delay(usual: Numbers, scores: Numbers, start: int) -> float:
    """Return after how many changed images there is an alarm; infinite if there is none."""
    needed = LARGEST_SHARE / 0.01
    for number, evidence in enumerate(joined(usual, scores)):
        if evidence >= needed and number >= start:
            return number - start + 1
    return np.inf


def delays(streams: int) -> Table:
    """Measure when a change is found, by its size, its start, and how it comes."""
    table = Table("change", "comes", "usual scores", "since image", "found", "median", box=None)
    for gradual in (False, True):
        for usual, start in ((4, 1), (16, 1), (64, 1), (16, 201), (64, 201), (64, 2001)):
            for size in (0.5, 1.0, 2.0, 4.0):
                rng, found = np.random.default_rng(usual), []
                grows = np.minimum(1, np.arange(300) / 200) if gradual else np.ones(300)
                for _ in range(streams):
                    scores = with_defects(rng, drawn(rng, start + 299), 0.05)
                    scores[start - 1 :] += size * grows
                    found.append(delay(drawn(rng, usual), scores, start - 1))
                share, median = np.mean(np.isfinite(found)), np.median(found)
                table.add_row(
                    f"{size:g}",
                    "over 200 images" if gradual else "at once",
                    str(usual),
                    str(start),
                    f"{share:.0%}",
                    f"{median:.0f}" if np.isfinite(median) else "",
                )
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--length", type=int, default=1000)
    given, console = parser.parse_args(), Console(width=120)
    console.print(f"\nfalse alarms in {given.length} images, {given.streams} streams\n")
    console.print(false_alarms(given.streams, given.length))
    console.print("\nimages from a change (of standard deviations) to an alarm, 5 % defects\n")
    console.print(delays(max(1, given.streams // 10)))


if __name__ == "__main__":
    main()
