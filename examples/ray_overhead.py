"""Measure what `vlmad run --engine ray` costs over a plain run: once, and for each image.

    python examples/ray_overhead.py PHOTOS --counts 16,64 --repeat 3

Each engine scores few and many of the photographs by the command itself. What it takes for each
image is the slope between the two, and the start is the rest; the least of some rounds, because
whatever else runs on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vlmad_run.finding import find_images

ENGINES = {"plain": (), "1 worker": ("--engine", "ray:workers=1")}
ENGINES |= {"2 workers": ("--engine", "ray:workers=2")}


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
    least: dict[tuple[str, int], float] = {}
    for _ in range(given.repeat):
        for name, words in ENGINES.items():
            for count in (few, many):
                seconds = measure(images[:count], words)
                least[name, count] = min(seconds, least.get((name, count), seconds))
                print(f"{name}: {count} images in {seconds:.1f} s", file=sys.stderr, flush=True)
    print("| engine | start | each image |", "|---|---|---|", sep="\n")
    for name in ENGINES:
        each = (least[name, many] - least[name, few]) / (many - few)
        start = least[name, few] - each * few
        print(f"| {name} | {start:.1f} s | {each * 1000:.0f} ms |")


def measure(images: list[Path], words: tuple[str, ...]) -> float:
    """Return the seconds of a run over images."""
    with tempfile.TemporaryDirectory() as place:
        listed = Path(place, "list.txt")
        listed.write_text("".join(f"{image}\n" for image in images))
        out = ("--out", str(Path(place, "out")), "--overlays", "none", "--quiet")
        command = [sys.executable, "-m", "vlmad", "run", f"@{listed}", *out, *words]
        began = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
