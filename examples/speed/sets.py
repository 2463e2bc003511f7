"""Measure the memory of a run that compares all images with each other.

    python examples/speed/sets.py [COUNT… [--sample N]]

Scores so many images of 320 pixels (200 and 500) with the recipe musc, each count in a process of
its own, and prints the peak memory of each and how long it took.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

COUNTS, SIDE = (200, 500), 320


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--sample", type=int, default=0)
    given = parser.parse_args()
    for count in given.counts:
        megabytes, seconds = measure(count, given.sample)
        print(f"{count} images: {megabytes:.1f} MB at the peak, {seconds:.1f} s", flush=True)


def measure(count: int, sample: int) -> tuple[float, float]:
    """Return the peak in megabytes, and the seconds, of a run over so many images."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder, "images"), count)
        started = time.perf_counter()
        words = ["run", f"{folder}/images", "--detector", "musc", "--out", f"{folder}/out"]
        words += ["--set", f"scorer.sample={sample}", "--overlays", "none"]
        process = subprocess.Popen(
            [sys.executable, "-m", "vlmad", *words], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return usage.ru_maxrss / 1024, time.perf_counter() - started


def draw(folder: Path, count: int) -> None:
    """Write photographs of one tile, each with noise of its own."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    tile = np.kron(rng.integers(60, 200, (16, 16, 3)), np.ones((20, 20, 1)))
    for index in range(count):
        values = tile + rng.normal(0, 8, (SIDE, SIDE, 3))
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / f"{index:05d}.png")


if __name__ == "__main__":
    main()
