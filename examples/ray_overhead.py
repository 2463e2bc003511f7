"""Measure what `vlmad run --engine ray` costs over a plain run: once, and for each image.

    python examples/ray_overhead.py PHOTOS --counts 16,64 --repeat 3

Each engine scores few and many of the photographs by the command itself. What it takes for each
image is the slope between the two, and the start is the rest; of some rounds the median. Beside the
clock's time stands that of all processors, of the command and of whatever it starts, which a busy
machine changes less (Linux).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from vlmad_run.finding import find_images

ENGINES = {"plain": (), "1 worker": ("--engine", "ray:workers=1")}
ENGINES |= {"2 workers": ("--engine", "ray:workers=2")}
ADOPT_ORPHANS = 36
"""PR_SET_CHILD_SUBREAPER: what Ray starts becomes a child of this process when its own is gone."""


def main() -> None:
    """Print a table of seconds before the first image and milliseconds for each."""
    parser = argparse.ArgumentParser(description="Measure what a cluster costs for each image.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--counts", default="16,64", help="how many images, few and many")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    few, many = map(int, given.counts.split(","))
    images = [path.absolute() for path in find_images([given.photos])]
    if len(images) < many:
        sys.exit(f"{given.photos} holds {len(images)} images, fewer than {many}")
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in ENGINES}
    for _ in range(given.repeat):
        for name, words in ENGINES.items():
            found = list[tuple[float, float]]()
            for count in (few, many):
                found.append(measure(images[:count], words))
                took = f"{found[-1][0]:.1f} s, {found[-1][1]:.1f} s of processors"
                print(f"{name}: {count} images in {took}", file=sys.stderr, flush=True)
            each = [(high - low) / (many - few) for low, high in zip(*found, strict=True)]
            starts = [low - few * slope for low, slope in zip(found[0], each, strict=True)]
            rounds[name].append((starts[0], each[0], starts[1], each[1]))
    print("| engine | start | each image | start, processors | each image, processors |")
    print("|---|---|---|---|---|")
    for name, all_found in rounds.items():
        start, each, start_all, each_all = map(median, zip(*all_found, strict=True))
        clock = f"{start:.1f} s | {each * 1000:.0f} ms"
        print(f"| {name} | {clock} | {start_all:.1f} s | {each_all * 1000:.0f} ms |")


def measure(images: list[Path], words: tuple[str, ...]) -> tuple[float, float]:
    """Return the seconds of a run over images: by the clock, and of all processors."""
    with tempfile.TemporaryDirectory() as place:
        listed = Path(place, "list.txt")
        listed.write_text("".join(f"{image}\n" for image in images))
        out = ("--out", str(Path(place, "out")), "--overlays", "none", "--quiet")
        command = [sys.executable, "-m", "vlmad", "run", f"@{listed}", *out, *words]
        before, began = processors(), time.perf_counter()
        subprocess.run(command, check=True)
        taken = time.perf_counter() - began
        with suppress(ChildProcessError):  # until there is none
            while True:
                os.wait()
        return taken, processors() - before


def processors() -> float:
    """Return the seconds that processors spent on all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
