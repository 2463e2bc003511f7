"""Holding a graph to what torch makes of the same images, one after the other, turn by turn."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlmad.errors import InputError, WeightsError, one_line
from vlmad_export.exported import Parity
from vlmad_export.onnx_detector import OnnxDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad.types import Result
    from vlmad_export.exported import Precision
    from vlmad_export.sessions import Session
    from vlmad_run.kinds import Runnable

TOLERANCES: dict[Precision, float] = {"float32": 0.01, "float16": 0.02, "int8": 0.1}
"""Of float32 and float16: of a difference in a score or map, as a share of the largest of all
images. Of int8: by how much ranks may correlate less than 1, and the share of changed verdicts."""
PROBE = (
    "import sys; from pathlib import Path; from vlmad_export.onnx_detector import OnnxDetector; "
    "from vlmad_export.sessions import open_session; graph = Path(sys.argv[1]); "
    "runs = OnnxDetector(graph, open_session(graph, sys.argv[2])); "
    "list(runs.stream([Path(sys.argv[3])])); "
    "from vlmad_export._parity import most_memory; print(most_memory())"
)


class Opened(NamedTuple):
    """How the file of a graph is opened to be compared."""

    runtime: str
    """The name of its distribution."""
    session: Callable[[], Session]
    apart: bool = True
    """Whether a process of its own tells the memory."""


@dataclass
class _Compared:
    """What was found so far, image by image."""

    torch: list[float] = field(default_factory=list)
    graph: list[float] = field(default_factory=list)
    map: float = 0.0
    largest_map: float = 0.0
    seconds: list[float] = field(default_factory=list)
    torch_seconds: list[float] = field(default_factory=list)

    def add(self, torch: Result, graph: Result) -> None:
        """Compare what both made of an image."""
        self.torch.append(torch.score)
        self.graph.append(graph.score)
        assert torch.map is not None
        assert graph.map is not None
        self.map = max(self.map, float(np.abs(torch.map - graph.map).max()))
        self.largest_map = max(self.largest_map, float(np.abs(torch.map).max()))


def compare(
    detector: Runnable,
    graph: Path,
    opened: Opened,
    images: Sequence[Path],
    threshold: float | None,
    torch_megabytes: float | None,
    usual: float = 0.0,
) -> Parity:
    """Score images by both, in turn, each image by itself; those that cannot be read are left out.

    Args:
        detector: in torch.
        graph: its file.
        opened: by what that is opened.
        images: by which both are compared.
        threshold: of which verdicts are counted.
        torch_megabytes: what torch needed.
        usual: a score that counts beside those of the images: what is remembered has none.

    Raises:
        WeightsError: the runtime cannot run the graph.
        InputError: no image could be scored.
    """
    started = time.perf_counter()
    exported = OnnxDetector(graph, opened.session())
    loaded, found = time.perf_counter() - started, _Compared()
    for index, image in enumerate([images[0], *images]):
        torch, torch_seconds, own, seconds = _in_turn(detector, exported, image, index % 2 == 1)
        if index == 0 or torch.error is not None or own.error is not None:
            _refuse_other_fault(torch, own)
            continue  # the first comes again: it waited for what is made once
        found.add(torch, own)
        found.torch_seconds.append(torch_seconds)
        found.seconds.append(seconds)
    if not found.torch:
        raise InputError("none of the images could be scored, so that nothing was compared")
    return Parity(
        runtime=f"{opened.runtime} {version(opened.runtime)}",
        images=len(found.torch),
        score=float(np.abs(np.subtract(found.torch, found.graph)).max()),
        map=found.map,
        largest_score=max(usual, float(np.abs(found.torch).max())),
        largest_map=max(usual, found.largest_map),
        rank_correlation=rank_correlation(found.torch, found.graph),
        changed_verdicts=_changed(found, threshold),
        milliseconds=1000 * float(np.median(found.seconds)),
        torch_milliseconds=1000 * float(np.median(found.torch_seconds)),
        load_seconds=loaded,
        megabytes=_memory_of(graph, opened.runtime, images[0]) if opened.apart else None,
        torch_megabytes=torch_megabytes,
    )


def _in_turn(
    detector: Runnable, exported: OnnxDetector, image: Path, torch_first: bool
) -> tuple[Result, float, Result, float]:
    """Return what torch and the graph make of an image, and how long each took.

    Whoever is first reads the file from the disk.
    """
    taken = {}
    for name in ("torch", "graph") if torch_first else ("graph", "torch"):
        started = time.perf_counter()
        [result] = detector.stream([image], 1) if name == "torch" else exported.stream([image])
        taken[name] = result, time.perf_counter() - started
    return *taken["torch"], *taken["graph"]


def _refuse_other_fault(torch: Result, graph: Result) -> None:
    if (torch.error is None) != (graph.error is None):
        raise InputError(f"only one of both could score an image: {torch.error or graph.error}")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's correlation; None of fewer than three different scores."""
    from scipy.stats import spearmanr

    if min(len(set(first)), len(set(second))) < 3:
        return None
    return float(spearmanr(first, second).statistic)


def _changed(found: _Compared, threshold: float | None) -> int | None:
    if threshold is None:
        return None
    pairs = zip(found.torch, found.graph, strict=True)
    return sum((torch >= threshold) != (graph >= threshold) for torch, graph in pairs)


def most_memory() -> float | None:
    """Return how many megabytes this process needed at most since it started, if Linux tells."""
    try:
        told = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", told)
    return int(found[1]) * 1024 / 1e6 if found else None


def _memory_of(graph: Path, runtime: str, image: Path) -> float | None:
    """Return what a process needs that does nothing but score an image, if Linux tells.

    Raises:
        WeightsError: the process came to nothing.
    """
    command = [sys.executable, "-c", PROBE, str(graph), runtime, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = one_line(lines[-1] if lines else f"status {done.returncode}")
        raise WeightsError(f"a process of its own cannot run the graph in {runtime}: {reason}")
    told = done.stdout.split()[-1:]  # a runtime may say something before
    return None if told == ["None"] else float(told[0])


def beyond(found: Parity, precision: Precision, tolerance: float) -> str | None:
    """Return in words what differs by more than is tolerated, or None."""
    if precision == "int8":
        ranks, changed = found.rank_correlation, found.changed_verdicts
        if ranks is None:
            return "fewer than three scores differ, so that ranks tell nothing"
        if not 1 - ranks <= tolerance:
            return f"ranks correlate by {ranks:.3f} only"
        if changed is not None and changed > tolerance * found.images:
            return f"{changed} of {found.images} verdicts changed"
        return None
    for name, differs, largest in (
        ("scores", found.score, found.largest_score),
        ("maps", found.map, found.largest_map),
    ):
        share = differs / largest if largest > 0 else math.inf if differs > 0 else 0.0
        if not share <= tolerance:
            return f"{name} differ by up to {share:.2%} of the largest"
    return None
