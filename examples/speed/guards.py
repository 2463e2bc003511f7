"""Compare this tree with another commit: scores must be equal, speed and memory about.

    python examples/speed/guards.py [--old 6de0adc] [--images 32] [--rounds 5] [--only run scores]

Both are built as wheels and installed beside the same libraries, those of the environment that
this runs in. Commands take turns, each in a process of its own; a warming round is not counted.
Printed are ratios, new / old, of

- run: seconds of `vlmad run` for an image, dense and by windows, what a start costs taken off
- memory: the peaks of the same runs
- grid: seconds of a grid of 24 combinations
- start: seconds of `vlmad --help` and `vlmad plugins`

and of scores, how many were compared (all recipes, zero- and few-shot, each way of resizing,
float32 on the CPU) and the largest difference, which must be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "examples" / "samples"
OLD = "6de0adc"
RECIPES = {"dense": "clip", "windows": "winclip"}
GRID = (
    *("--prompt", "compositional,plain", "--scorer", "harmonic,max-cosine"),
    *("--attention", "diagonal", "--set", "attention.gamma=0|0.5|1"),
    *("--set", "extractor.scales=2,3|2,3,5", "--replicates", "100"),
)
SCORES = """
import hashlib, json, sys
from pathlib import Path
from vlmad import load_detector
from vlmad.errors import VlmadError
from vlmad.registry import Registry

options = {"backbone": {"precision": "float32", "device": "cpu"}}
products = [folder for folder in sorted(Path(sys.argv[1]).iterdir()) if folder.is_dir()]
for name in Registry.discover([]).names("detector"):
    for resize in ("squash", "pad", "tiles:2"):
        detector = load_detector(name, resize=resize, options=options)
        for shots in (0, 2):
            for product in products:
                images = [sorted(kind.glob("*.png"))[0] for kind in sorted(product.glob("test/*"))]
                try:
                    if shots:
                        detector.fit(sorted(product.glob("train/good/*.png"))[:shots])
                    results = detector.predict(images, product.name)
                except VlmadError:
                    continue  # it needs references, or makes no use of them
                for image, result in zip(images, results):
                    key = f"{name} {resize} {shots} {image}"
                    digest = hashlib.sha256(result.map.tobytes()).hexdigest()
                    print(json.dumps([key, result.score.hex(), digest]), flush=True)
"""
"""Prints each score, to its last bit, and the digest of its map; what both trees understand."""


class Tree(NamedTuple):
    """One of the two, installed in an environment of its own."""

    name: str
    python: Path
    folder: Path

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start Python with the plugins' index and caches in a folder of its own."""
        own = {"VLMAD_CACHE": str(self.folder / "cache"), **environment}
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VLMAD_PLUGINS")}
        command = [str(self.python), *words]
        return subprocess.Popen(command, env={**kept, **own}, stdout=subprocess.PIPE)

    def measure(self, *words: str) -> tuple[float, float]:
        """Run vlmad; return its seconds, and its peak of memory in megabytes."""
        started = time.perf_counter()
        process = self.start("-m", "vlmad", *words)
        assert process.stdout is not None
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{self.name}: vlmad {' '.join(words)} ended with {status}")
        return time.perf_counter() - started, usage.ru_maxrss / 1024


Measures = dict[str, float]
Work = Callable[[Tree, Path], Measures]


def install(name: str, source: Path, folder: Path) -> Tree:
    """Build a wheel of a tree, and install it beside this environment's libraries."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, source], check=True)
    place = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", place], check=True)
    own = next(place.glob("lib/python*/site-packages"))
    # a plain path line: what is installed here comes first, editable installs there do not count
    (own / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = place / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", *folder.glob("*.whl")], check=True)
    return Tree(name, python, folder)


def install_both(commit: str, folder: Path) -> list[Tree]:
    """Install another commit and this tree as it stands."""
    (source := folder / "source").mkdir()
    content = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "x", "-C", source], input=content.stdout, check=True)
    for name in ("old", "new"):
        (folder / name).mkdir()
    return [install("old", source, folder / "old"), install("new", ROOT, folder / "new")]


def prepare(folder: Path, count: int) -> Path:
    """Link the sample images, each as often as it takes to make `count`."""
    (images := folder / "images").mkdir()
    found = sorted(SAMPLES.glob("*/test/*/*.png"))
    for index in range(count):
        (images / f"{index:05}.png").symlink_to(found[index % len(found)])
    return images


def measure_start(tree: Tree, folder: Path) -> Measures:
    """Time the two commands that everyone waits for."""
    return {f"start: {word}": tree.measure(word)[0] for word in ("--help", "plugins")}


def measure_grid(tree: Tree, folder: Path) -> Measures:
    """Time a grid of 24 combinations."""
    out = str(folder / "grid")
    return {"grid": tree.measure("grid", str(SAMPLES / "cloth"), *GRID, "--quiet", "--out", out)[0]}


def measure_runs(images: Path) -> Work:
    """Return what times runs on a folder of images, without a start, and notes their peaks."""
    paths = sorted(images.iterdir())

    def measure(tree: Tree, folder: Path) -> Measures:
        found = {}
        for name, recipe in RECIPES.items():
            words = ("--detector", recipe, "--quiet", "--out")
            start, _ = tree.measure("run", str(paths[0]), *words, str(folder / f"one-{name}"))
            whole, peak = tree.measure("run", str(images), *words, str(folder / f"all-{name}"))
            found[f"run, {name}: seconds an image"] = (whole - start) / (len(paths) - 1)
            found[f"run, {name}: megabytes at the peak"] = peak
        return found

    return measure


def take_turns(trees: list[Tree], work: Work, rounds: int) -> Iterator[list[Measures]]:
    """Yield what was measured of old and new in each round but the first, which warms caches."""
    for number in range(rounds + 1):
        measured = []
        for tree in trees if number % 2 else trees[::-1]:
            with tempfile.TemporaryDirectory(dir=tree.folder) as folder:
                measured.append(work(tree, Path(folder)))
        if number:
            yield measured if number % 2 else measured[::-1]


def print_ratios(rounds: list[list[Measures]]) -> None:
    """Print a line for each measure."""
    for name in rounds[0][0]:
        old, new = ([measured[i][name] for measured in rounds] for i in range(2))
        ratios = sorted(n / o for o, n in zip(old, new, strict=True))
        print(
            f"{name}: {statistics.median(ratios):.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f}); "
            f"medians {statistics.median(old):.3g} -> {statistics.median(new):.3g}",
            flush=True,
        )


def compare_scores(trees: list[Tree]) -> bool:
    """Print how scores and maps differ; return whether all are equal."""
    tables: list[dict[str, list[str]]] = []
    for tree in trees:
        process = tree.start("-c", SCORES, str(SAMPLES), VLMAD_CACHE="off")
        content, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{tree.name}: scoring ended with {process.returncode}")
        tables.append({key: found for key, *found in map(json.loads, content.splitlines())})
    old, new = tables
    both = old.keys() & new.keys()
    scores = [abs(float.fromhex(old[k][0]) - float.fromhex(new[k][0])) for k in both]
    maps = sum(old[key][1] != new[key][1] for key in both)
    print(f"scores: {len(both)} compared, largest difference {max(scores, default=0):g}")
    print(f"maps: {len(both)} compared, {maps} differ; {len(old.keys() ^ new.keys())} in one only")
    return bool(both) and old == new


def main() -> None:
    """Measure and print; exit with 1 if scores differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--old", default=OLD, help="the commit to compare with")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    guards = ("scores", "start", "run", "grid")
    parser.add_argument("--only", nargs="+", choices=guards, default=guards)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        trees = install_both(given.old, Path(place))
        equal = compare_scores(trees) if "scores" in given.only else True
        runs = measure_runs(prepare(Path(place), given.images))
        works: dict[str, Work] = {"start": measure_start, "run": runs, "grid": measure_grid}
        for name, work in works.items():
            if name in given.only:
                print_ratios(list(take_turns(trees, work, given.rounds)))
    sys.exit(not equal)


if __name__ == "__main__":
    main()
