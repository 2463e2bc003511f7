"""Scoring the images of a run and writing what comes of them, one at a time."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad.images import Source, has_vanished
from vlmad.loading import ahead
from vlmad.overlays import png, to_16_bits
from vlmad.runs.drawing import draw_overlays
from vlmad.runs.rows import MAPS, OVERLAYS, Row, file_stem

if TYPE_CHECKING:
    from vlmad.detector import Detector, Result
    from vlmad.runs.folder import RunFolder
    from vlmad.thresholds import Threshold

DIGITS = 9
"""As many tell every float32 apart."""
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
    summary = Summary()
    started = time.monotonic()
    images = folder.named(images)
    try:
        for row in _rows(detector, images, folder, class_name, batch_size, threshold, summary):
            summary.count(row)
            each(row)
            progress("scoring", summary.done + summary.failed, len(images))
    except BaseException:
        with suppress(OutputError):  # what is done is in the lines at least
            folder.finish(images, _result(summary, len(images), started, finished=False))
        raise
    folder.finish(images, _result(summary, len(images), started, finished=False))
    draw_overlays(folder, images, overlays, threshold, progress)
    folder.note(_result(summary, len(images), started, finished=True))
    return summary


def _result(summary: Summary, images: int, started: float, finished: bool) -> dict[str, object]:
    return {
        "finished": finished,
        "images": images,
        "done": summary.done,
        "failed": summary.failed,
        "anomalous": summary.anomalous,
        "seconds": round(time.monotonic() - started, 3),
    }


def _rows(
    detector: Detector,
    images: Sequence[Path],
    folder: RunFolder,
    class_name: str,
    batch_size: int,
    threshold: Threshold | None,
    summary: Summary,
) -> Iterator[Row]:
    """Yield the rows that are there, then score the rest and yield each as it is written.

    What could not be read is tried again after the others, so that those are scored in the
    same batches as if the run had never been stopped: batches change the last digits.
    """
    fresh: list[Path] = []
    again: list[Path] = []
    for image in images:
        row = folder.row(image)
        if row is not None and detector.scorer.scope != "set":
            summary.kept += 1
            yield row
        else:
            (again if folder.knows(image) else fresh).append(image)

    def keep(result: Result) -> tuple[Row, bool]:
        return _keep(result, folder.path, threshold), result.ends_batch

    for missing in (fresh, again) if detector.scorer.scope != "set" else (images,):
        sources = (Source(str(path), path) for path in missing)
        results = detector.stream(sources, class_name, batch_size)
        yield from _write(results, folder, keep, batch_size)


def _write(
    results: Iterator[Result],
    folder: RunFolder,
    keep: Callable[[Result], tuple[Row, bool]],
    batch_size: int,
) -> Iterator[Row]:
    """Write results as they come; the lines of a batch all at once, when its maps are there."""
    gone: list[Path] = []
    batch: list[Row] = []
    for row, ends in ahead(_until_gone(results, gone), keep, batch_size, weigh=_megapixels):
        batch.append(row)
        if ends:
            folder.append(batch)
            yield from batch
            batch.clear()
    if gone:
        raise InputError(
            f"{gone[0]} is no longer there; run the same command again when it is, to go on"
        )


def _until_gone(results: Iterable[Result], gone: list[Path]) -> Iterator[Result]:
    """Stop where not one file but the folder of the files is gone, and name it in `gone`."""
    for result in results:
        if result.error is not None and has_vanished(Path(result.name)):
            gone.append(Path(result.name).parent)
            return
        yield result


def _megapixels(result: Result) -> float:
    """Weigh a result, so that few maps wait to be written where they are large."""
    return 1.0 if result.map is None else max(1.0, result.map.size / 1e6)


def _keep(result: Result, out: Path, threshold: Threshold | None) -> Row:
    """Store an image's map and return its row."""
    size, modified = result.status or (None, None)
    row = Row(result.name, sha256=result.sha256, bytes=size, modified=modified)
    if result.map is None:
        return replace(row, status="failed", reason=result.error or "")
    stored, scale = to_16_bits(result.map)
    stem = file_stem(result.name)
    write_atomically(out / MAPS / f"{stem}.png", png(Image.fromarray(stored)))
    return replace(
        row,
        score=_rounded(result.score),
        verdict=threshold.verdict(result.score) if threshold else "",
        map=f"{MAPS}/{stem}.png",
        map_low=_rounded(scale.low),
        map_high=_rounded(scale.high),
        overlay=f"{OVERLAYS}/{stem}.png",
        milliseconds=round(result.seconds * 1000, 1),
    )


def _rounded(value: float) -> float:
    assert math.isfinite(value)
    return float(f"{value:.{DIGITS}g}")
