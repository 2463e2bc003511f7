"""From images to lines and maps on disk, for one run or several side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image
from vlmad.streaming import Stream, stream_together

from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad.images import Source, has_vanished
from vlmad.loading import ahead
from vlmad_run.overlays import png, to_16_bits
from vlmad_run.rows import MAPS, OVERLAYS, Row, file_stem

if TYPE_CHECKING:
    from vlmad.detector import Detector
    from vlmad.errors import PluginError
    from vlmad.types import Result
    from vlmad_run.run_folder import RunFolder
    from vlmad_run.thresholds import Threshold

DIGITS = 9
"""As many tell every float32 apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A detector and the folder that takes what it says."""

    detector: Detector
    """Fitted, if there are references."""
    folder: RunFolder
    """Open, and of a run of this detector."""
    class_name: str = "object"
    threshold: Threshold | None = None
    """From which score on an image is anomalous."""

    def done(self, image: Path) -> Row | None:
        """Return the row of an image that need not be scored again, or None."""
        return None if self.detector.scorer.scope == "set" else self.folder.row(image)


LeftBehind: TypeAlias = Callable[[Task, "PluginError"], None]


def score_into(
    lacking: Mapping[Task, Sequence[Path]],
    images: Sequence[Path],
    batch_size: int,
    left_behind: LeftBehind | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Task, Row]]:
    """Score what the tasks lack, side by side, and yield each row when its batch is written.

    What a task could not read before, it tries again after the others, so that those are scored
    in the same batches as if it had never been stopped: batches change the last digits. Tasks
    that come to an image for the first time meet it in its place. A scorer of sets sees all
    images anew, in one go.

    Args:
        lacking: for each task the images that it lacks; the detectors are as
            `vlmad.streaming.stream_together` takes them.
        images: the files, in the order in which they are to be scored.
        batch_size: images that are encoded together.
        left_behind: told which task goes no further because a part of it failed; without it,
            that ends all.
        after_batch: called when all have taken a batch.

    Raises:
        OutputError: a folder cannot be written.
        InputError: the place where the images are has gone away.
    """
    behind: set[Task] = set()
    for some, wanted in _rounds(lacking, images):
        streams = {
            Stream(task.detector, task.class_name, batch_size, set(map(str, own))): task
            for task, own in wanted.items()
            if task not in behind
        }

        def leave(stream: Stream, error: PluginError, of: dict[Stream, Task] = streams) -> None:
            if left_behind is None:
                raise error
            behind.add(of[stream])
            left_behind(of[stream], error)

        if streams:
            sources = (Source(str(path), path) for path in some)
            results = stream_together(list(streams), sources, leave, after_batch)
            yield from _write(((streams[s], result) for s, result in results), batch_size)


def _rounds(
    lacking: Mapping[Task, Sequence[Path]], images: Sequence[Path]
) -> list[tuple[list[Path], dict[Task, list[Path]]]]:
    """Return the images of each round and which task takes which of them."""
    rounds: tuple[dict[Task, list[Path]], dict[Task, list[Path]]] = {}, {}
    for task, own in lacking.items():
        of_set = task.detector.scorer.scope == "set"
        for image in own:
            again = not of_set and task.folder.knows(image)
            rounds[again].setdefault(task, []).append(image)
    found = []
    for wanted in filter(None, rounds):
        together = {image for own in wanted.values() for image in own}
        found.append(([image for image in images if image in together], wanted))
    return found


def _write(
    results: Iterable[tuple[Task, Result]], batch_size: int
) -> Iterator[tuple[Task, Row]]:
    """Write results as they come; the lines of a batch all at once, when its maps are there."""
    gone: list[Path] = []
    batches: dict[Task, list[Row]] = {}
    for task, row, ends in ahead(_until_gone(results, gone), _keep, batch_size, weigh=_megapixels):
        batch = batches.setdefault(task, [])
        batch.append(row)
        if ends:
            task.folder.append(batch)
            yield from ((task, each) for each in batch)
            batch.clear()
    if gone:
        raise InputError(
            f"{gone[0]} is no longer there; run the same command again when it is, to go on"
        )


def _until_gone(
    results: Iterable[tuple[Task, Result]], gone: list[Path]
) -> Iterator[tuple[Task, Result]]:
    """Stop where not one file but the folder of the files is gone, and name it in `gone`."""
    for task, result in results:
        if result.error is not None and has_vanished(Path(result.name)):
            gone.append(Path(result.name).parent)
            return
        yield task, result


def _megapixels(what: tuple[Task, Result]) -> float:
    """Weigh a result, so that few maps wait to be written where they are large."""
    heat = what[1].map
    return 1.0 if heat is None else max(1.0, heat.size / 1e6)


def _keep(what: tuple[Task, Result]) -> tuple[Task, Row, bool]:
    """Store an image's map and return its row, and whether it ends a batch."""
    task, result = what
    return task, _row(result, task.folder.path, task.threshold), result.ends_batch


def _row(result: Result, out: Path, threshold: Threshold | None) -> Row:
    """Store an image's map and return its row."""
    size, modified = result.status or (None, None)
    row = Row(result.name, sha256=result.sha256, bytes=size, modified=modified)
    if result.map is None:
        return replace(row, status="failed", reason=result.error or "")
    stored, scale = to_16_bits(result.map)
    score = _rounded(result.score)  # judged as it is written, so that tables can be trusted
    stem = file_stem(result.name)
    write_atomically(out / MAPS / f"{stem}.png", png(Image.fromarray(stored)))
    return replace(
        row,
        score=score,
        verdict=threshold.verdict(score) if threshold else "",
        map=f"{MAPS}/{stem}.png",
        map_low=_rounded(scale.low),
        map_high=_rounded(scale.high),
        overlay=f"{OVERLAYS}/{stem}.jpg",
        milliseconds=round(result.seconds * 1000, 1),
    )


def _rounded(value: float) -> float:
    assert math.isfinite(value)
    return float(f"{value:.{DIGITS}g}")
