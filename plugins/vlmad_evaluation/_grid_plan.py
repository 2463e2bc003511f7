"""The plan of a grid: what will be asked of the images and texts, and what that will cost.

Times are measured, on the first image, the first class name and a few maps; nothing is guessed
from tables of hardware. Features are encoded anew for it, so that a filled cache does not make
them look free.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vlmad.errors import InputError, VlmadError
from vlmad.images import Source
from vlmad.loading import load
from vlmad.types import ImageBatch
from vlmad_datasets.headers import read_header
from vlmad_evaluation._bench_cells import AT_ONCE
from vlmad_evaluation._grid_texts import Texts, count_texts
from vlmad_evaluation._grid_trials import (
    MEGAPIXEL,
    MetricCosts,
    is_streamed,
    metric_costs,
    scoring_cost,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vlmad_evaluation._bench_plan import Cell, Plan, Settings, Skipped
    from vlmad_evaluation._cell_scoring import SideBySide
    from vlmad_evaluation.sharing import Pass


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A pass over every image."""

    backbone: str
    attention: str
    requests: tuple[str, ...]
    combinations: int
    """How many are answered by it."""
    seconds: float
    """For an image."""
    numbers: int
    """How many it gives for an image, 4 bytes each."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a grid will cost, all images of all cells, those included that are done already."""

    passes: tuple[PassPlan, ...]
    texts: Texts
    images: int
    """Distinct ones, references included."""
    cells: int
    scorings: int
    """An image counts for each cell."""
    seconds_per_reading: float
    """Of an image, before the passes."""
    seconds_of_scoring: float
    """With the maps written."""
    seconds_of_metrics: float
    bytes_of_maps: int
    """In the grid's folder; where maps are not kept, the most that are there at a time."""
    bytes_of_results: int
    """In the grid's folder too: metrics, and their values on resampled images."""

    @property
    def seconds_of_encoding(self) -> float:
        """Of images and texts."""
        each = self.seconds_per_reading + sum(each.seconds for each in self.passes)
        return self.images * each + self.texts.seconds

    @property
    def seconds(self) -> float:
        """Of the whole."""
        return self.seconds_of_encoding + self.seconds_of_scoring + self.seconds_of_metrics

    @property
    def bytes_of_features(self) -> int:
        """In the cache, as far as its limit allows."""
        return self.images * sum(4 * each.numbers for each in self.passes)


@dataclass(frozen=True, slots=True)
class Planned:
    """What is not going to be measured, and what all else will cost."""

    skipped: tuple[Skipped, ...]
    cost: Estimate


def estimate(
    plan: Plan,
    groups: Sequence[SideBySide],
    settings: Settings,
    progress: Callable[[str, int, int], None],
) -> Estimate:
    """Measure on one image what the whole will take.

    A part that fails here is left out: its cells say so when they are scored.

    Raises:
        InputError: no image can be read.
        WeightsError: weights cannot be loaded.
    """
    seen = _first_readable(plan.cells, groups[0])
    total = len(groups) + len(settings.shots) + 2
    passes: list[PassPlan] = []
    reading = 0.0
    for index, group in enumerate(groups):
        progress("estimating", index, total)
        pieces, seconds = _read(seen.path, group)
        passes += _passes(group, pieces)
        reading += seconds
    names = list({cell.category: cell.class_name for cell in plan.cells}.values())
    texts = count_texts((d for group in groups for d in group.shared.detectors), names)
    costs, heat = {}, None
    for index, shots in enumerate(settings.shots):
        progress("estimating", len(groups) + index, total)
        costs[shots], found = scoring_cost(groups, seen.path, seen.class_name, shots, reading)
        heat = found if heat is None else heat
    progress("estimating", total - 1, total)
    sizes = _Sizes(plan.cells, settings)
    metrics = MetricCosts()
    if heat is not None:
        metrics = metric_costs(plan.cells, heat, settings, sizes.any_is_streamed)
    progress("estimating", total, total)
    maps = [costs[c.shots].bytes_per_megapixel * sizes.stored(c) for c in plan.cells]
    return Estimate(
        tuple(passes),
        texts,
        sizes.images,
        len(plan.cells),
        plan.images,
        reading,
        sum(costs[c.shots].of(len(c.samples), sizes.stored(c)) for c in plan.cells),
        sum(metrics.of(sizes.measured(c)) for c in plan.cells),
        round(sum(maps if settings.keep_maps else sorted(maps)[-AT_ONCE:])),
        metrics.bytes_of_result * len(plan.cells),
    )


class _Seen(NamedTuple):
    """The image that is tried."""

    path: Path
    class_name: str


def _first_readable(cells: Sequence[Cell], group: SideBySide) -> _Seen:
    failure = None
    everything = [_Seen(sample.image, cell.class_name) for cell in cells for sample in cell.samples]
    for seen in dict.fromkeys(everything):
        failure = _read(seen.path, group)[0][0].failure
        if failure is None:
            return seen
    raise InputError(f"no image can be read; the last: {failure}")


def _read(path: Path, group: SideBySide) -> tuple[list[Source], float]:
    """Return the pieces that the model sees of an image, and how long it takes to make them."""
    detector = group.shared.detectors[0]
    started = time.perf_counter()
    source = Source(str(path), path)
    (pieces,) = load([source], detector.resizing, detector.backbone.spec.preprocessing, 1)
    return pieces, time.perf_counter() - started


class _Sizes:
    """How many millions of pixels cells have."""

    def __init__(self, cells: Sequence[Cell], settings: Settings) -> None:
        samples = {sample.image: sample for cell in cells for sample in cell.samples}
        self._stored = {path: _megapixels(path) for path in samples}
        own, fixed = self._stored, settings.resolution
        self._measured = own if fixed is None else dict.fromkeys(own, math.prod(fixed) / MEGAPIXEL)
        self.images = len(own.keys() | {path for cell in cells for path in cell.references})
        self.any_is_streamed = any(is_streamed(self.measured(cell)) for cell in cells)

    def stored(self, cell: Cell) -> float:
        """Return those of a cell's maps."""
        return sum(self._stored[sample.image] for sample in cell.samples)

    def measured(self, cell: Cell) -> float:
        """Return those that its pixel metrics are computed from."""
        known = (s for s in cell.samples if s.mask is not None or not s.anomalous)
        return sum(self._measured[sample.image] for sample in known)


def _megapixels(path: Path) -> float:
    try:
        return math.prod(read_header(path).size) / MEGAPIXEL
    except InputError:  # its cells say so
        return 0.0


@torch.inference_mode()
def _passes(group: SideBySide, pieces: Sequence[Source]) -> Iterator[PassPlan]:
    """Time each pass on an image, the second time it sees it."""
    for each in group.shared.passes:
        backbone, attention = each.assembly.parts["backbone"].part, each.attention
        requests = list(each.requests)
        batches = [ImageBatch((p,), group.shared.detectors[0].resizing.of_each) for p in pieces]
        try:
            for some in (batches[:1], batches):
                started = time.perf_counter()
                for batch in some:
                    answers = backbone.encode(batch, requests, attention.part)
                seconds = time.perf_counter() - started
        except VlmadError:
            raise
        except Exception:  # then each detector asks alone (`vlmad_evaluation.sharing`)
            continue
        yield PassPlan(
            backbone.spec.name,
            attention.registration.name,
            tuple(map(describe_request, requests)),
            _answered(group, each),
            seconds,
            len(batches) * sum(tensor.numel() for tensor in answers.tensors.values()),
        )


def _answered(group: SideBySide, asked: Pass) -> int:
    return sum(asked in route.values() for route in group.shared.routes)


def describe_request(request: Any) -> str:
    """Return a request in a few words.

    >>> from vlmad import Patches, Windows
    >>> describe_request(Windows(3)), describe_request(Patches(12, "beside"))
    ('windows 3', 'patches 12 beside projected')
    """
    kind = type(request).__name__
    if kind == "ClassToken":
        return "class token" if request.normed else "class token raw"
    if kind == "Windows":
        shared = " shared" if request.encoding == "shared" else ""
        return f"windows {request.size}{shared}{'' if request.normed else ' raw'}"
    if kind == "Patches":
        path = " beside" if request.path == "beside" else ""
        return f"patches {request.layer}{path} {request.stage}"
    return str(request) if kind != "Tiles" else f"tiles {request.grid}"
