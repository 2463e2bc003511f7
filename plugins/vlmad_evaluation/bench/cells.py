"""Running a cell: fit, score, measure, and write the threshold that it gives."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad.errors import InputError
from vlmad.images import digest
from vlmad.manifest import describe_run
from vlmad.runs import RunFolder, describe_images, execute
from vlmad.runs.rows import MAPS
from vlmad.thresholds import Threshold, write_threshold
from vlmad_evaluation.bench.measuring import Scored, measure
from vlmad_evaluation.bench.results import CellResult, read_result, write_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vlmad.detector import Detector
    from vlmad_evaluation.bench.folder import BenchFolder
    from vlmad_evaluation.bench.plan import Cell, Settings

RULE = "the largest F1 on the test images themselves"


def run_cell(
    cell: Cell,
    detector: Detector,
    folder: BenchFolder,
    settings: Settings,
    progress: Callable[[int], None],
) -> CellResult:
    """Score and measure a cell, or read what came of it if it is finished.

    Args:
        cell: which.
        detector: its detector; whatever it was fitted on is forgotten.
        folder: the bench's.
        settings: what is measured how.
        progress: told how many images of the cell are done.

    Raises:
        InputError: an image has gone, or no image of the cell can be scored.
        OutputError: the folder cannot be written, or holds something else.
    """
    result = read_result(folder.cell(cell))
    if result is None:
        result = _compute(cell, detector, folder, settings, progress)
    if not settings.keep_maps:
        _delete_maps(folder.cell(cell))
    progress(len(cell.samples))
    return result


def _compute(
    cell: Cell,
    detector: Detector,
    folder: BenchFolder,
    settings: Settings,
    progress: Callable[[int], None],
) -> CellResult:
    detector.memory, detector.references = None, ()
    if cell.references:
        detector.fit(cell.references, settings.batch_size)
    manifest = _manifest(cell, detector)
    scored = _score(cell, detector, folder, manifest, settings, progress)
    result = _measure(cell, scored, manifest, settings)
    _write_threshold(cell, result, folder, manifest["identity"])
    write_result(folder.cell(cell), result)
    return result


def _delete_maps(place: Path) -> None:
    for path in (place / MAPS).glob("*.png"):
        with suppress(OSError):  # they are in no one's way
            path.unlink()


def _manifest(cell: Cell, detector: Detector) -> dict[str, Any]:
    references = [(str(path), digest(path)) for path in cell.references]
    images = [sample.image for sample in cell.samples]
    settings = {
        "images": describe_images(images),
        "category": cell.category,
        "shots": cell.shots,
        "seed": cell.seed,
    }
    return describe_run(detector, cell.class_name, references, None, settings)


def _score(
    cell: Cell,
    detector: Detector,
    folder: BenchFolder,
    manifest: Mapping[str, Any],
    settings: Settings,
    progress: Callable[[int], None],
) -> list[Scored]:
    """Run the detector as `vlmad run` does, without pictures; return what could be scored."""
    place = folder.cell(cell)
    with RunFolder(place, manifest) as run:
        execute(
            detector,
            list(dict.fromkeys(sample.image for sample in cell.samples)),
            run,
            class_name=cell.class_name,
            batch_size=settings.batch_size,
            overlays="none",
            progress=lambda what, done, total: progress(done),
        )
        rows = [(sample, run.row(sample.image)) for sample in cell.samples]
    scored = [Scored(sample, row, place) for sample, row in rows if row is not None]
    if not scored:
        raise InputError(
            f"{cell.detector} could score no image of {cell.category}; see {place}/scores.csv"
        )
    return scored


def _measure(
    cell: Cell, scored: list[Scored], manifest: Mapping[str, Any], settings: Settings
) -> CellResult:
    measured = measure(scored, settings)
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    scores = np.array([each.row.score for each in scored], dtype=np.float64)
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
