"""Time a whole `vlmad run`: files read, scored, maps and overlays written.

    python examples/speed/run.py FOLDER… [--images 64] [--rounds 3]

Three detectors of the embedded model take turns: dense features, exact windows, shared windows.
What a start costs (imports, loading) is measured apart, by a run on one image, and taken off.
Beside each rate stands how many cores other programs kept busy meanwhile; where that is not
about zero, the rate says little.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from vlmad_run.finding import find_images

WAYS = {
    "dense": ["--detector", "clip"],
    "exact windows": ["--detector", "winclip"],
    "shared windows": ["--detector", "winclip", "--set", "extractor.encoding=shared"],
}
LARGEST = 512


def seconds(words: list[str], images: list[Path], folder: Path) -> float:
    """Return how long a run into a new folder takes."""
    listed = folder / "images.txt"
    listed.write_text("\n".join(map(str, images)))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-m", "vlmad", "run", "--list", str(listed), "--quiet"]
        start = time.perf_counter()
        subprocess.run([*command, *words, "--out", f"{out}/run"], check=True, env=os.environ)
        return time.perf_counter() - start


def prepare(folders: list[Path], count: int, into: Path) -> list[Path]:
    """Copy images, none larger than `LARGEST` pixels to a side, some more than once if need be."""
    found = find_images(folders)
    images = []
    for index in range(count):
        with Image.open(found[index % len(found)]) as image:
            image.thumbnail((LARGEST, LARGEST))
            images.append(into / f"{index}.png")
            image.convert("RGB").save(images[-1])
    return images


def seconds_at_work() -> tuple[float, float]:
    """Return the processors' seconds that this machine, and that the runs, have taken so far."""
    with Path("/proc/stat").open() as file:  # Linux alone tells the former
        user, nice, system, _, _, interrupts, soft, *_ = map(int, file.readline().split()[1:])
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")
    return whole, ours.ru_utime + ours.ru_stime


def main(folders: list[Path], count: int, rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = prepare(folders, count, folder)
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        print("| detector | images a second | cores busy elsewhere |\n|---|---|---|")
        for number in range(rounds + 1):  # the first round fills the text cache
            for name, words in WAYS.items():
                start = seconds(words, images[:1], folder)
                before = seconds_at_work()
                whole = seconds(words, images, folder)
                all_work, ours = (b - a for a, b in zip(before, seconds_at_work(), strict=True))
                if number:
                    rates[name].append((count - 1) / (whole - start))
                    elsewhere = (all_work - ours) / whole
                    print(f"| {name} | {rates[name][-1]:.1f} | {elsewhere:.2f} |", flush=True)
    for name, taken in rates.items():
        print(f"{name}: median {statistics.median(taken):.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.folders, arguments.images, arguments.rounds)
