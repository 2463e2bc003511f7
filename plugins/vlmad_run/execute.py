"""Scoring the images of a run and writing what comes of them, one at a time."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vlmad.errors import OutputError
from vlmad_run.drawing import draw_overlays
from vlmad_run.scoring import Task, score_into

if TYPE_CHECKING:
    from vlmad.detector import Detector
    from vlmad.errors import PluginError
    from vlmad_run.rows import Row
    from vlmad_run.run_folder import RunFolder
    from vlmad_run.scoring import LeftBehind
    from vlmad_run.thresholds import Threshold

ROWS_SHOWN = 40
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
Overlays = Literal["all", "anomalous", "none"]


@dataclass(slots=True)
class Summary:
    """What came of a run, for those who look at it."""

    done: int = 0
    failed: int = 0
    anomalous: int = 0
    kept: int = 0
    """Images that an earlier, interrupted run had done."""
    highest: list[tuple[float, int, Row]] = field(default_factory=list)
    """The highest scores with their rows, a heap of at most `ROWS_SHOWN`."""
    failures: list[Row] = field(default_factory=list)
    """The first images that could not be scored."""

    def count(self, row: Row) -> None:
        """Take a row into account."""
        if row.status == "failed" or row.score is None:
            self.failed += 1
            if len(self.failures) < ROWS_SHOWN:
                self.failures.append(row)
            return
        self.done += 1
        self.anomalous += row.verdict == "anomalous"
        entry = (row.score, -self.done, row)
        push = heapq.heappush if len(self.highest) < ROWS_SHOWN else heapq.heappushpop
        push(self.highest, entry)

    def shown(self) -> list[Row]:
        """Return the rows with the highest scores, the highest first."""
        return [row for _, _, row in sorted(self.highest, reverse=True)]


def execute(
    detector: Detector,
    images: Sequence[Path],
    folder: RunFolder,
    *,
    class_name: str = "object",
    batch_size: int = 8,
    threshold: Threshold | None = None,
    overlays: Overlays = "all",
    progress: Progress = lambda what, done, total: None,
    each: Callable[[Row], None] = lambda row: None,
) -> Summary:
    """Score the images that are not done yet, and write the tables and pictures.

    Args:
        detector: fitted, if there are references.
        images: the files.
        folder: an open run folder of this detector.
        class_name: what the images show.
        batch_size: images that are encoded together.
        threshold: from which score on an image is anomalous.
        overlays: which pictures to draw.
        progress: told after each image.
        each: given each row, those that were done before included.

    Raises:
        OutputError: the folder cannot be written; what is done stays done.
        InputError: the place where the images are has gone away.
    """
    started = time.monotonic()
    images = folder.named(images)
    task = Task(detector, folder, class_name, threshold)
    told = 0

    def note(task: Task, row: Row) -> None:
        nonlocal told
        each(row)
        told += 1
        progress("scoring", told, len(images))

    summary = _score([task], images, batch_size, note)[task]
    draw_overlays(folder, images, overlays, threshold, progress)
    folder.note(_result(summary, len(images), started, finished=True))
    return summary


def execute_together(
    tasks: Sequence[Task],
    images: Sequence[Path],
    batch_size: int,
    left_behind: LeftBehind,
    after_batch: Callable[[], None],
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Do what `execute` does for several detectors on the same images, without pictures.

    Args:
        tasks: their resizing and the preprocessing of their backbones are the same.
        images: the files, by names that mean the same to all folders.
        batch_size: images that are encoded together.
        left_behind: told which task goes no further because a part of it failed.
        after_batch: called when all have taken a batch.
        progress: told how many rows there are.

    Raises:
        OutputError: a folder cannot be written; what is done stays done.
        InputError: the place where the images are has gone away.
    """
    started, told = time.monotonic(), 0
    behind: set[Task] = set()

    def note(task: Task, row: Row) -> None:
        nonlocal told
        told += 1
        progress(told)

    def leave(task: Task, error: PluginError) -> None:
        behind.add(task)
        left_behind(task, error)

    summaries = _score(tasks, images, batch_size, note, leave, after_batch)
    for task, summary in summaries.items():
        if task not in behind:
            task.folder.note(_result(summary, len(images), started, finished=True))


def _score(
    tasks: Sequence[Task],
    images: Sequence[Path],
    batch_size: int,
    note: Callable[[Task, Row], None],
    left_behind: LeftBehind | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> dict[Task, Summary]:
    """Score, count and write the tables, also of what is done when it is interrupted."""
    summaries = {task: Summary() for task in tasks}
    started = time.monotonic()

    def take(task: Task, row: Row) -> None:
        summaries[task].count(row)
        note(task, row)

    try:
        lacking: dict[Task, list[Path]] = {task: [] for task in tasks}
        for task, image in itertools.product(tasks, images):
            row = task.done(image)
            if row is None:
                lacking[task].append(image)
            else:
                summaries[task].kept += 1
                take(task, row)
        for task, row in score_into(lacking, images, batch_size, left_behind, after_batch):
            take(task, row)
    except BaseException:
        with suppress(OutputError):  # what is done is in the lines at least
            _finish(summaries, images, started)
        raise
    _finish(summaries, images, started)
    return summaries


def _finish(summaries: dict[Task, Summary], images: Sequence[Path], started: float) -> None:
    for task, summary in summaries.items():
        task.folder.finish(images, _result(summary, len(images), started, finished=False))


def _result(summary: Summary, images: int, started: float, finished: bool) -> dict[str, object]:
    return {
        "finished": finished,
        "images": images,
        "done": summary.done,
        "failed": summary.failed,
        "anomalous": summary.anomalous,
        "seconds": round(time.monotonic() - started, 3),
    }
