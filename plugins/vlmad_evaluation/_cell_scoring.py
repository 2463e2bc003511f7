"""Scoring the cells of a category side by side, so that each image is encoded once for all."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmad.streaming import encode_together

from vlmad.errors import PluginError
from vlmad.files import digest
from vlmad.images import Source
from vlmad_evaluation._bench_plan import Skipped
from vlmad_evaluation._cell_metrics import Scored
from vlmad_evaluation.sharing import Shared
from vlmad_run.execute import execute_together
from vlmad_run.manifest import describe_run
from vlmad_run.places import describe_images
from vlmad_run.run_folder import RunFolder
from vlmad_run.scoring import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from vlmad.detector import Detector
    from vlmad.types import Features
    from vlmad_evaluation._bench_folder import BenchFolder
    from vlmad_evaluation._bench_plan import Cell, Settings


@dataclass(slots=True)
class SideBySide:
    """Detectors that can take the same batches: their images are made ready alike."""

    names: tuple[str, ...]
    shared: Shared

    @property
    def detectors(self) -> dict[str, Detector]:
        """The detectors that share, by name."""
        return dict(zip(self.names, self.shared.detectors, strict=True))


def side_by_side(detectors: Mapping[str, Detector]) -> list[SideBySide]:
    """Part detectors into as few groups as possible that can take the same batches.

    Features are kept on disk too: the next bench of the same images finds them there.
    """
    alike: dict[Any, list[str]] = {}
    for name, detector in detectors.items():
        key = detector.backbone.spec.preprocessing, str(detector.resizing)
        alike.setdefault(key, []).append(name)
    return [
        SideBySide(tuple(names), Shared([detectors[name] for name in names], keep=True))
        for names in alike.values()
    ]


@dataclass(slots=True)
class Outcome:
    """What came of scoring cells."""

    scored: dict[Cell, list[Scored]] = field(default_factory=dict)
    manifests: dict[Cell, dict[str, Any]] = field(default_factory=dict)
    failures: dict[Cell, Skipped] = field(default_factory=dict)
    """What a part of the detector failed at."""

    def fail(self, cell: Cell, error: PluginError) -> None:
        """Note that a cell has no result."""
        reason = str(error)
        self.failures[cell] = Skipped(cell.detector, cell.category, cell.shots, reason, True)


def score_cells(
    cells: Sequence[Cell],
    group: SideBySide,
    folder: BenchFolder,
    settings: Settings,
    progress: Callable[[int], None],
) -> Outcome:
    """Score the images of cells as `vlmad run` does, without pictures, each image once for all.

    Args:
        cells: of one category and of detectors of the group.
        group: the detectors.
        folder: the bench's; each cell has a run folder in it.
        settings: what is measured how.
        progress: told how many images are done, one counting for each cell.

    Raises:
        InputError: an image or a reference has gone.
        OutputError: a folder cannot be written, or holds something else.
    """
    outcome = Outcome()
    with ExitStack() as opened:
        tasks: dict[Task, Cell] = {}
        for cell, detector in _fitted(cells, group, settings, outcome).items():
            try:
                manifest = outcome.manifests[cell] = _manifest(cell, detector)
            except PluginError as error:  # its prompts
                outcome.fail(cell, error)
                continue
            run = opened.enter_context(RunFolder(folder.cell(cell), manifest))
            tasks[Task(detector, run, cell.class_name)] = cell
        if tasks:
            execute_together(
                list(tasks),
                list(dict.fromkeys(sample.image for sample in cells[0].samples)),
                settings.batch_size,
                left_behind=lambda task, error: outcome.fail(tasks[task], error),
                after_batch=group.shared.forget,
                progress=progress,
            )
        for task, cell in tasks.items():
            if cell not in outcome.failures:
                outcome.scored[cell] = _scored(cell, task.folder)
    return outcome


def _scored(cell: Cell, run: RunFolder) -> list[Scored]:
    rows = ((sample, run.row(sample.image)) for sample in cell.samples)
    return [Scored(sample, row, run.path) for sample, row in rows if row is not None]


def _fitted(
    cells: Sequence[Cell], group: SideBySide, settings: Settings, outcome: Outcome
) -> dict[Cell, Detector]:
    """Return for each cell its detector, fitted on the cell's references."""
    encoded, errors = _encode_references(cells, group, settings.batch_size)
    fitted: dict[Cell, Detector] = {}
    for cell in cells:
        detector = copy.copy(group.detectors[cell.detector])
        try:
            if cell.references:
                if cell.detector in errors:
                    raise errors[cell.detector]
                sources = [Source(str(path), path) for path in cell.references]
                own = encoded[cell.detector]
                detector.remember([own[path] for path in cell.references], sources)
        except PluginError as error:
            outcome.fail(cell, error)
        else:
            fitted[cell] = detector
    return fitted


def _encode_references(
    cells: Iterable[Cell], group: SideBySide, batch_size: int
) -> tuple[dict[str, dict[Path, Features]], dict[str, PluginError]]:
    """Return the features of all references by detector, and who failed at them."""
    fewshot = [cell for cell in cells if cell.references]
    paths = list(dict.fromkeys(path for cell in fewshot for path in cell.references))
    names = {group.detectors[cell.detector]: cell.detector for cell in fewshot}
    encoded: dict[str, dict[Path, Features]] = {name: {} for name in names.values()}
    errors: dict[str, PluginError] = {}
    if not names:
        return encoded, errors
    of_each = encode_together(
        list(names),
        (Source(str(path), path) for path in paths),
        batch_size,
        lambda detector, error: errors.update({names[detector]: error}),
        group.shared.forget,
    )
    for path, features in zip(paths, of_each, strict=True):
        for detector, own in features.items():
            encoded[names[detector]][path] = own
    return encoded, errors


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
