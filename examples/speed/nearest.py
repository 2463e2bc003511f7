"""Time nearest neighbours beside the bare matrix product and beside anomalib's PatchCore.

    python examples/speed/nearest.py --threads 2 --rounds 5
    python examples/speed/nearest.py --coreset

The first compares the distances of 40 images of 28 x 28 patches to a memory of 10,000 x 512, on the
same features: what `vlmad_memory.nearest_rows` takes, one matrix product of that size, and
`PatchcoreModel.euclidean_dist` with `nearest_neighbors` of anomalib 2.7, taken unmodified from the
wheel, in turns. The second times coresets of 10 % of 209 references.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vlmad_memory.coreset import farthest_first, random_projection
from vlmad_memory.nearest_rows import nearest_rows

PINNED, MODEL = "anomalib==2.7.0", "anomalib/models/image/patchcore/torch_model.py"
METHODS, CONSTANT = ("euclidean_dist", "nearest_neighbors"), "DEFAULT_CHUNK_SIZE"
IMAGES, PATCHES, ROWS, WIDTH = 40, 28 * 28, 10_000, 512


class TheirModel:
    """Has of PatchcoreModel what its two methods ask for: the memory."""

    memory_bank: torch.Tensor


def their_methods(wheel: Path | None) -> Any:
    """Return an object with those methods of PatchcoreModel that compute distances."""
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            download = ["-m", "pip", "download", "-q", "--no-deps", "-d", folder, PINNED]
            subprocess.run([sys.executable, *download], check=True)
            [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            tree = ast.parse(archive.read(MODEL))
    names: dict[str, Any] = {"torch": torch}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == CONSTANT:
            names[CONSTANT] = ast.literal_eval(node.value)
        if isinstance(node, ast.FunctionDef) and node.name in METHODS:
            static = any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
            exec(compile(ast.Module([_plain(node)], []), MODEL, "exec"), names)
            method = names[node.name]
            setattr(TheirModel, node.name, staticmethod(method) if static else method)
    return TheirModel()


def _plain(node: ast.FunctionDef) -> ast.FunctionDef:
    """Return a method without what is not imported here: annotations and decorators."""
    node.returns, node.decorator_list = None, []
    for each in node.args.args:
        each.annotation = None
    return node


def seconds(work: Callable[[], Any]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def compare(wheel: Path | None, rounds: int) -> None:
    """Print what shares of their times ours takes, and how far the distances are apart."""
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(ROWS, WIDTH, generator=generator)
    queries = torch.randn(IMAGES * PATCHES, WIDTH, generator=generator)
    theirs = their_methods(wheel)
    theirs.memory_bank = memory
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: nearest_rows(queries, memory).squared[:, 0].sqrt(),
        "bare product": lambda: queries @ memory.T,
        "anomalib": lambda: theirs.nearest_neighbors(embedding=queries, n_neighbors=1)[0],
    }
    off = (ways["ours"]() - ways["anomalib"]().flatten()).abs().max()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(way))
    for name in ways:
        ratio = median(a / b for a, b in zip(times["ours"], times[name], strict=True))
        print(f"{name}: {median(times[name]):.2f} s; ours takes {ratio:.2f} of that")
    print(f"largest difference of a distance: {float(off):.1e}")


@torch.inference_mode()
def coresets() -> None:
    """Print how long a coreset of 10 % takes."""
    for side, width in ((15, 784), (20, 784)):
        rows = torch.randn(209 * side * side, width, generator=torch.Generator().manual_seed(0))
        projection = random_projection(len(rows), width, 0)
        assert projection is not None
        narrow = rows @ projection.T
        took = seconds(lambda: farthest_first(narrow, len(rows) // 10, 0))  # noqa: B023  # now
        print(f"209 references, {side} x {side}: {took:.0f} s in {narrow.shape[1]} dimensions")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--coreset", action="store_true")
    parser.add_argument("--wheel", type=Path, help="anomalib's; by default it is downloaded")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.threads} threads")
    if given.coreset:
        coresets()
    else:
        compare(given.wheel, given.rounds)


if __name__ == "__main__":
    main()
