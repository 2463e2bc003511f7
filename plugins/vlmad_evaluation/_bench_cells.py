"""The cells of a bench: scored side by side, measured one by one, each with its threshold."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad.loading import chunks
from vlmad_evaluation._bench_plan import Skipped
from vlmad_evaluation._cell_metrics import Scored, measure
from vlmad_evaluation._cell_results import CellResult, read_result, write_result
from vlmad_evaluation._cell_scoring import score_cells
from vlmad_run.rows import MAPS
from vlmad_run.thresholds import Threshold, write_threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vlmad_evaluation._bench_folder import BenchFolder
    from vlmad_evaluation._bench_plan import Cell, Settings
    from vlmad_evaluation._cell_scoring import Outcome, SideBySide

RULE = "the largest F1 on the test images themselves"
AT_ONCE = 64
"""Cells that are scored side by side; each holds what it remembers of its references."""
SETS_AT_ONCE = 8
"""Fewer, of scorers that see all images together: each may hold features of its own of all."""


def run_cells(
    cells: Sequence[Cell],
    group: SideBySide,
    folder: BenchFolder,
    settings: Settings,
    progress: Callable[[int], None],
) -> Iterator[tuple[Cell, CellResult | Skipped]]:
    """Yield what comes of each cell; that of finished ones is read.

    Args:
        cells: of one category and of detectors of the group.
        group: the detectors.
        folder: the bench's.
        settings: what is measured how.
        progress: told how many images of the cells are done, one counting for each cell.

    Raises:
        InputError: an image has gone.
        OutputError: the folder cannot be written, or holds something else.
    """
    told = 0
    for some in _side_by_side(cells, group):
        finished = {cell: read_result(folder.cell(cell)) for cell in some}
        missing = [cell for cell in some if finished[cell] is None]
        done = told + sum(len(cell.samples) for cell in some if finished[cell] is not None)
        progress(done)
        outcome = score_cells(missing, group, folder, settings, _after(done, progress))
        for cell in some:
            yield cell, finished[cell] or _result(cell, outcome, folder, settings)
            if not settings.keep_maps:
                _delete_maps(folder.cell(cell))
        told += sum(len(cell.samples) for cell in some)
        progress(told)


def _side_by_side(cells: Sequence[Cell], group: SideBySide) -> Iterator[list[Cell]]:
    """Yield the cells that are scored at one time."""
    of_sets = {n for n, each in group.detectors.items() if each.scorer.scope == "set"}
    yield from chunks((cell for cell in cells if cell.detector not in of_sets), AT_ONCE)
    yield from chunks((cell for cell in cells if cell.detector in of_sets), SETS_AT_ONCE)


def _after(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda count: progress(done + count)


def _result(
    cell: Cell, outcome: Outcome, folder: BenchFolder, settings: Settings
) -> CellResult | Skipped:
    """Measure a cell that was scored, and keep what comes of it."""
    if cell in outcome.failures:
        return outcome.failures[cell]
    scored, manifest = outcome.scored[cell], outcome.manifests[cell]
    if not scored:
        reason = f"no image could be scored, see {folder.cell(cell)}/scores.csv"
        return Skipped(cell.detector, cell.category, cell.shots, reason, fault=True)
    result = measure_cell(cell, scored, manifest, settings)
    _write_threshold(cell, result, folder, manifest["identity"])
    write_result(folder.cell(cell), result)
    return result


def _delete_maps(place: Path) -> None:
    for path in (place / MAPS).glob("*.png"):
        with suppress(OSError):  # they are in no one's way
            path.unlink()


def measure_cell(
    cell: Cell, scored: Sequence[Scored], manifest: Mapping[str, Any], settings: Settings
) -> CellResult:
    """Measure what could be scored of a cell.

    Args:
        cell: which.
        scored: its images, in the order of the data set.
        manifest: of its run; names the references.
        settings: what is measured how.
    """
    measured = measure(scored, settings)
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    scores = np.array([each.row.score for each in scored], dtype=np.float64)
    done = {each.sample for each in scored}
    facts = {
        "detector": cell.detector,
        "category": cell.category,
        "class_name": cell.class_name,
        "shots": cell.shots,
        "seed": cell.seed,
        "references": manifest["references"],
        "normal": int((~labels).sum()),
        "anomalous": int(labels.sum()),
        "failed": len(cell.samples) - len(scored),
        "left_out": [os.path.abspath(s.image) for s in cell.samples if s not in done],
        "pixels": measured.pixels,
    }
    return CellResult(facts, measured.metrics, measured.replicates, labels, scores)


def _write_threshold(
    cell: Cell, result: CellResult, folder: BenchFolder, identity: Mapping[str, Any]
) -> None:
    """Write where F1 is largest as a file that `vlmad run --threshold` takes.

    It lies halfway to the next lower score, so that rounding in the last digit decides nothing.
    """
    best = result.metrics["image_f1_max"]
    if best.value is None or best.threshold is None:
        return
    lower = result.scores[result.scores < best.threshold]
    value = (best.threshold + lower.max()) / 2 if len(lower) else best.threshold
    evidence = {
        "warning": "chosen on the test images: expect more errors on others",
        "category": cell.category,
        "normal": int((~result.labels).sum()),
        "anomalous": int(result.labels.sum()),
        "f1": best.value,
        "false_alarms": int((result.scores[~result.labels] >= value).sum()),
        "missed": int((result.scores[result.labels] < value).sum()),
    }
    write_threshold(Threshold(float(value), RULE, identity, evidence), folder.threshold(cell))
