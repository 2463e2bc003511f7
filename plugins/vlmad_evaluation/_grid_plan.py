"""The plan of a grid: its combinations and passes, and a time measured on one image."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from vlmad.errors import InputError, VlmadError
from vlmad.types import ImageBatch
from vlmad_documents.documents import Document, FileName
from vlmad_evaluation._cell_scoring import side_by_side
from vlmad_evaluation.result_documents import GridAxes, SkippedEntry
from vlmad_run.learning_in_fit import learning_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.detector import Detector
    from vlmad.loading import Pieces
    from vlmad_evaluation._bench_plan import Plan
    from vlmad_evaluation._cell_scoring import SideBySide


class PlannedPass(Document):
    """A pass over every image."""

    backbone: str
    attention: str
    requests: list[str]


class GridPlan(Document):
    """What a grid will do; `vlmad grid --plan --json` prints it."""

    format: Literal["vlmad grid plan 2"] = "vlmad grid plan 2"
    baseline: FileName
    grid: GridAxes
    notes: dict[FileName, list[FileName]]
    """On combinations, such as a part that made way."""
    skipped: list[SkippedEntry]
    """What will not be measured, and why."""
    passes: list[PlannedPass]
    images: int
    """Distinct ones, references included."""
    cells: int
    seconds: float | None
    """Of all passes and scores, as if nothing were done yet; metrics are not in it."""


def plan_grid(
    plan: Plan, detectors: Mapping[str, Detector], axes: GridAxes, timed: bool
) -> GridPlan:
    """Return the plan of a grid."""
    groups = side_by_side(detectors, keep=False)  # what a cache holds would look free
    backbones = {d.backbone: None for group in groups for d in group.detectors.values()}
    images = {sample.image for cell in plan.cells for sample in cell.samples}
    images |= {path for cell in plan.cells for path in cell.references}
    cost = [_seconds(plan, group) for group in groups] if timed else []
    known = sum(scoring for _, scoring in cost) / len(detectors)
    seconds = len(images) * sum(encoding for encoding, _ in cost) + plan.images * known
    return GridPlan(
        baseline=next(iter(detectors)),
        grid=axes,
        notes={name: list(d.assembly.notes) for name, d in detectors.items()},
        skipped=list(plan.skipped),
        passes=[
            PlannedPass(
                backbone=backbone.spec.name,
                attention=each.attention.registration.name,
                requests=list(map(describe_request, each.requests)),
            )
            for backbone in backbones
            for each in backbone.passes
        ],
        images=len(images),
        cells=len(plan.cells),
        seconds=seconds if timed else None,
    )


def _seconds(plan: Plan, group: SideBySide) -> tuple[float, float]:
    """Measure an image's passes, and all its scores together.

    What fails here is left out: its cells say so when they are scored.
    """
    images = {sample.image: cell.class_name for cell in plan.cells for sample in cell.samples}
    loaded = zip(group.load(images, 1), images.values(), strict=False)
    readable = ((pieces, name) for pieces, name in loaded if pieces[0].failure is None)
    pieces, class_name = next(readable, (None, ""))
    if pieces is None:
        raise InputError("no image can be read; 'vlmad data' names the reasons")
    _time(group, pieces, class_name)  # to warm up
    group.forget([])
    whole, scoring = (_time(group, pieces, class_name) for _ in range(2))
    return max(0.0, whole - scoring), scoring


def _time(group: SideBySide, pieces: Pieces, class_name: str) -> float:
    started = time.perf_counter()
    for detector in group.detectors.values():
        with suppress(VlmadError), learning_in(None, most_steps=1):
            if detector.scorer.references == "required":
                batch = ImageBatch(tuple(pieces), detector.resizing.of_each)
                detector.memory = detector.memory_of([detector.features(batch)])
            detector.results([pieces], class_name)
    return time.perf_counter() - started


def describe_request(request: Any) -> str:
    """Return a request in a few words.

    >>> from vlmad import ClassToken, Patches, Windows
    >>> describe_request(Windows(3)), describe_request(Patches(12, "beside"))
    ('windows 3', 'patches 12 of the second path')
    """
    words = [re.sub(r"\B(?=[A-Z])", " ", type(request).__name__).lower()]
    for each in fields(request):
        value = getattr(request, each.name)
        if value != each.default:
            said = "of the second path" if value == "beside" else str(value)
            words.append(f"not {each.name}" if value is False else said)
    return " ".join(words)
