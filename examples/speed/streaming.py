"""Measure how the memory of a run grows with the number of its images.

    python examples/speed/streaming.py [MANY [FEW]]

Scores so many small images (10,000 and 100) with a model of two blocks, each count in a process
of its own, and prints the peak memory of both and their ratio.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vlmad.testing import TWO_LAYERS

MANY, FEW = 10_000, 100
TWO_BLOCKS = (
    *("--detector", "clip", "--backbone", f"openclip:{TWO_LAYERS}"),
    *("--set", "backbone.weights=random:0", "--set", "backbone.device=cpu"),
)


def main() -> None:
    """Measure both and print."""
    counts = [int(word) for word in sys.argv[1:]] or [MANY]
    few = counts[1] if len(counts) > 1 else FEW
    peaks = {count: measure(count) for count in (few, counts[0])}
    for count, (megabytes, seconds) in peaks.items():
        print(f"{count} images: {megabytes:.1f} MB at the peak, {seconds:.1f} s")
    print(f"ratio {peaks[counts[0]][0] / peaks[few][0]:.3f}")


def measure(count: int) -> tuple[float, float]:
    """Return the peak in megabytes, and the seconds, of a run over so many images."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder, "images"), count)
        started = time.perf_counter()
        words = ["run", f"{folder}/images", "--out", f"{folder}/out", "--quiet", *TWO_BLOCKS]
        process = subprocess.Popen([sys.executable, "-m", "vlmad", *words])
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return usage.ru_maxrss / 1024, time.perf_counter() - started


def draw(folder: Path, count: int) -> None:
    """Write small images of noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        values = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{index:05d}.png")


if __name__ == "__main__":
    main()
