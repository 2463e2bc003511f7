"""Compare this tree with another commit: scores must be equal, speed and memory about.

    python examples/speed/guards.py [--old 6de0adc] [--images 32] [--rounds 5] [--only run scores]

Both are built as wheels and installed beside the same libraries, those of the environment that
this runs in. Commands take turns, each in a process of its own; a warming round is not counted.
Printed are ratios, new / old, of

- start: seconds of `vlmad --help`, `vlmad plugins`, and `vlmad run` of one image
- run: seconds of `vlmad run` for an image, by recipe, what a start costs taken off, and the peaks
- memory: the peaks of runs of 100 and of 2,000 small images by a model of two blocks
- passes: seconds of a batch, by way and precision, of `vlmad bench-speed`
- grid: seconds of a grid of 24 combinations
- metrics: seconds of all exact pixel metrics as a share of scikit-learn's pixel AUROC

and of scores, how many were compared (all recipes, zero- and few-shot, each way of resizing,
float32 on the CPU) and the largest difference, which must be 0. Recipes are alike by name, so that
where another detector is the default now, it is beside the one that was. `--json FILE` keeps the
ratios, for docs/results.py. What the other commit may not have is measured beside other things:
a server's answers by examples/serve/load.py, graphs by examples/graphs/speed.py.
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
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "examples" / "samples"
OLD = "6de0adc"
EXACT = ("--precision", "float32")
"""What both can compute in: the other commit may take bfloat16 by itself."""
REFERENCES = ("--references", str(SAMPLES / "cloth/train/good"), "--shots", "4")
RECIPES = {
    "the default": EXACT,
    "the default, 4 references": (*EXACT, *REFERENCES),
    **{name: (*EXACT, "--detector", name) for name in ("clip", "winclip", "anomalyclip", "hybrid")},
}
FEW, MANY = 100, 2000
TWO_LAYERS = """
try:
    from vlmad.testing import TWO_LAYERS
except ImportError:
    from vlmad.testing.examples import TWO_LAYERS
print(TWO_LAYERS)
"""
"""Prints where the model of two blocks is, in either tree."""
METRICS = ("vlmad, all exact", "scikit-learn AUROC")
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
    source: Path

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

    def told(self, *words: str, **environment: str) -> str:
        """Run Python; return what it prints."""
        process = self.start(*words, **environment)
        content, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{self.name}: {words} ended with {process.returncode}")
        return content.decode()


class Ratio(NamedTuple):
    """New / old over the rounds, and the medians of both."""

    least: float
    largest: float
    median: float
    old: float
    new: float


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
    return Tree(name, python, folder, source)


def install_both(commit: str, folder: Path) -> list[Tree]:
    """Install another commit and this tree as it stands."""
    (source := folder / "source").mkdir()
    content = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "x", "-C", source], input=content.stdout, check=True)
    for name in ("old", "new"):
        (folder / name).mkdir()
    return [install("old", source, folder / "old"), install("new", ROOT, folder / "new")]


def prepare(images: Path, count: int) -> list[Path]:
    """Link the sample images, each as often as it takes to make `count`."""
    images.mkdir()
    found = cycle(sorted(SAMPLES.glob("*/test/*/*.png")))
    for index, image in enumerate(islice(found, count)):
        (images / f"{index:05}.png").symlink_to(image)
    return sorted(images.iterdir())


def measure_start(images: list[Path], tree: Tree, folder: Path) -> Measures:
    """Time what everyone waits for."""
    one = ("run", str(images[0]), "--quiet", "--out", str(folder / "one"))
    words = {"--help": ("--help",), "plugins": ("plugins",), "run of one image": one}
    return {f"start, {name}: seconds": tree.measure(*each)[0] for name, each in words.items()}


def measure_runs(images: list[Path], tree: Tree, folder: Path) -> Measures:
    """Time runs on a folder of images, without a start, and note their peaks."""
    found = {}
    for number, (name, recipe) in enumerate(RECIPES.items()):
        words = (*recipe, "--quiet", "--out")
        start, _ = tree.measure("run", str(images[0]), *words, str(folder / f"one-{number}"))
        all_of_them = ("run", str(images[0].parent), *words, str(folder / f"all-{number}"))
        whole, peak = tree.measure(*all_of_them)
        found[f"run, {name}: seconds an image"] = (whole - start) / (len(images) - 1)
        found[f"run, {name}: megabytes at the peak"] = peak
    return found


def measure_memory(_: list[Path], tree: Tree, folder: Path) -> Measures:
    """Measure the peaks of few and of many images, by a model of two blocks."""
    two_layers = tree.told("-c", TWO_LAYERS)
    model = ("--backbone", f"openclip:{two_layers.strip()}", "--set", "backbone.weights=random:0")
    found = {}
    for count in (FEW, MANY):
        images = prepare(folder / f"images-{count}", count)[0].parent
        words = ("run", str(images), "--detector", "clip", *model, "--quiet")
        peak = tree.measure(*words, "--out", str(folder / f"out-{count}"))[1]
        found[f"memory, {count} images: megabytes at the peak"] = peak
    return found


def measure_passes(_: list[Path], tree: Tree, folder: Path) -> Measures:
    """Time an image of each way of encoding."""
    words = ("-m", "vlmad", "bench-speed", "--rounds", "2", "--json")
    return {
        f"pass, {way['way']}, {way['precision']}: seconds an image": 1 / way["images_per_second"]
        for way in json.loads(tree.told(*words))["ways"]
    }


def measure_grid(_: list[Path], tree: Tree, folder: Path) -> Measures:
    """Time a grid of 24 combinations."""
    words = ("grid", str(SAMPLES / "cloth"), *GRID, "--quiet", "--out", str(folder / "grid"))
    return {"grid of 24: seconds": tree.measure(*words)[0]}


def measure_metrics(_: list[Path], tree: Tree, folder: Path) -> Measures:
    """Time all exact pixel metrics beside scikit-learn's pixel AUROC, by the tree's own script."""
    table = tree.told(str(tree.source / "examples/speed/metrics.py"), "--rounds", "1")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    seconds = {row[0]: float(row[1]) for row in rows if row[0] in METRICS and row[1:]}
    ours, theirs = (seconds[name] for name in METRICS)
    return {"metrics: share of scikit-learn's time": ours / theirs}


WORKS = {
    "start": measure_start,
    "run": measure_runs,
    "memory": measure_memory,
    "passes": measure_passes,
    "grid": measure_grid,
    "metrics": measure_metrics,
}


def take_turns(trees: list[Tree], work: Work, rounds: int) -> Iterator[list[Measures]]:
    """Yield what was measured of old and new in each round but the first, which warms caches."""
    for number in range(rounds + 1):
        measured = []
        for tree in trees if number % 2 else trees[::-1]:
            with tempfile.TemporaryDirectory(dir=tree.folder) as folder:
                measured.append(work(tree, Path(folder)))
        if number:
            yield measured if number % 2 else measured[::-1]


def print_ratios(rounds: list[list[Measures]]) -> dict[str, Ratio]:
    """Print a line for each measure that both have; return them."""
    found = {}
    for name in (each for each in rounds[0][0] if each in rounds[0][1]):
        old, new = ([measured[i][name] for measured in rounds] for i in range(2))
        shares = sorted(n / o for o, n in zip(old, new, strict=True))
        middles = (statistics.median(values) for values in (shares, old, new))
        found[name] = ratio = Ratio(shares[0], shares[-1], *middles)
        print(
            f"{name}: {ratio.median:.3f} (from {ratio.least:.3f} to {ratio.largest:.3f}); "
            f"medians {ratio.old:.3g} -> {ratio.new:.3g}",
            flush=True,
        )
    return found


def compare_scores(trees: list[Tree]) -> bool:
    """Print how scores and maps differ; return whether all are equal."""
    tables: list[dict[str, list[str]]] = []
    for tree in trees:
        content = tree.told("-c", SCORES, str(SAMPLES), VLMAD_CACHE="off")
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
    parser.add_argument("--only", nargs="+", choices=("scores", *WORKS), default=["scores", *WORKS])
    parser.add_argument("--json", type=Path, help="a file for the ratios")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        trees = install_both(given.old, Path(place))
        equal = compare_scores(trees) if "scores" in given.only else True
        images = prepare(Path(place, "images"), given.images)
        kept: dict[str, Ratio] = {}
        for work in (partial(WORKS[name], images) for name in WORKS if name in given.only):
            kept |= print_ratios(list(take_turns(trees, work, given.rounds)))
            if given.json:
                given.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    sys.exit(not equal)


if __name__ == "__main__":
    main()
