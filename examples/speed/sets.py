"""Measure the memory of runs that compare all images with each other.

    python examples/speed/sets.py [COUNT… [-- WORD…]]

Scores so many images of 320 pixels (200 and 500) with the recipe musc and further words of a
command line, each count in a process of its own; prints the peak memory of each and how long it
took.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTS, SIDE = (200, 500), 320


def main() -> None:
    """Measure and print."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    counts = [int(word) for word in sys.argv[1:at]] or COUNTS
    for count in counts:
        megabytes, seconds = measure(count, sys.argv[at + 1 :])
        print(f"{count} images: {megabytes:.1f} MB at the peak, {seconds:.1f} s", flush=True)


def measure(count: int, words: Sequence[str]) -> tuple[float, float]:
    """Return the peak in megabytes, and the seconds, of a run over so many images."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder, "images"), count)
        started = time.perf_counter()
        run = ["run", f"{folder}/images", "--detector", "musc", "--out", f"{folder}/out"]
        process = subprocess.Popen(
            [sys.executable, "-m", "vlmad", *run, "--overlays", "none", *words],
            stdout=subprocess.DEVNULL,
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
