"""The folder of a run: who may write to it, what it is a run of, and what is done in it.

A run is known by its identity (`vlmad_run.manifest.Identity`). A folder that holds a run of the
same identity is gone on with: images that are done are not computed again. One that holds
anything else is left alone. One process at a time writes to it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout
from PIL import Image

from vlmad.errors import InputError, OutputError, printable
from vlmad.files import PARTLY, digest, replace_atomically, write_atomically
from vlmad.images import has_vanished
from vlmad_run._score_lines import ScoreLines
from vlmad_run.manifest import MANIFEST, Manifest, RunResult, read_manifest
from vlmad_run.pictures import png, to_16_bits
from vlmad_run.rows import LINES, MAPS, OVERLAYS, TABLE, ScoreRow, file_stem, to_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from vlmad.types import Result
    from vlmad_run.thresholds import Threshold

LOCK = ".lock"
DIGITS = 9
"""As many tell every float32 apart."""
WRITERS = 2
"""Threads that compress maps while the model works on."""
MOST_WAITING = 8e6
"""Pixels of maps that wait to be written; one map may always wait."""


class RunFolder:
    """A run folder that this process may write to; use it in a ``with`` statement.

    The rows of a batch are written together, when their maps are on disk: a run that was killed
    goes on with the same batches. Leaving the ``with`` statement writes the tables and the
    manifest, whether all is done or not.

    Args:
        path: the folder; it is made if it does not exist.
        manifest: what the run is, from `vlmad_run.manifest.describe_run`.
        threshold: from which score on an image is anomalous.

    Raises:
        OutputError: it holds something else, another process writes to it, or it cannot be
            written.
    """

    def __init__(
        self, path: Path, manifest: Manifest, threshold: Threshold | None = None
    ) -> None:
        self.path, self.manifest, self.threshold = path, manifest, threshold
        self._lock = FileLock(path / LOCK, timeout=0)
        self._lines = ScoreLines(path / LINES, Path(manifest.folder))
        self._images: list[Path] = []
        self._batch: list[Future[ScoreRow]] = []
        self._complete: list[Future[ScoreRow]] = []
        """The batch before, whose maps may still be on their way to the disk."""
        self._waiting: list[tuple[int, Future[ScoreRow]]] = []

    def __enter__(self) -> Self:
        """Take the folder; whatever was left half-written is put right."""
        _check_free(self.path)
        try:
            for folder in (MAPS, OVERLAYS):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            busy = f"another run is writing to {self.path}; wait for it or choose another --out"
            raise OutputError(busy) from None
        except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot write {self.path}: {reason}") from error
        try:
            self._take_over()
        except BaseException:
            self._lock.release()
            raise
        self._started = time.monotonic()
        self._pool = ThreadPoolExecutor(WRITERS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the tables, and let others write to the folder."""
        try:
            with suppress(*(() if kind is None else (OutputError,))):  # the lines are there
                self._finish(finished=kind is None)
        finally:
            self._pool.shutdown(cancel_futures=True)
            with suppress(OSError):
                self._lock.release()

    def __len__(self) -> int:
        return len(self._lines)

    def file_of(self, row: ScoreRow) -> Path:
        """Return where the image of a row is."""
        return self._lines.base / row.image

    def missing(self, images: Iterable[Path], together: bool = False) -> list[Path]:
        """Return the images that are still to be scored; these are what the run is about.

        Those that could not be read before come last: the others are then scored in the same
        batches as if the run had never been stopped, and batches change the last digits.

        Args:
            images: all that the run is to score.
            together: whether scores depend on all images, so that all are scored anew.
        """
        self._images = self._named(images)
        if together:
            return self._images
        lacking = [image for image in self._images if self.row(image) is None]
        return sorted(lacking, key=lambda image: image in self._lines)

    def row(self, image: Path) -> ScoreRow | None:
        """Return the row of an image, if it is done and its file is still the same."""
        row = self._lines.get(image)
        if row is None or row.status != "done" or not (self.path / row.map).is_file():
            return None
        return row if _is_same_file(image, row) else None

    def rows(self, images: Iterable[Path]) -> Iterator[ScoreRow]:
        """Yield the rows of images, those that are there, in their order."""
        return (row for image in self._named(images) if (row := self._all().get(image)))

    def all_rows(self) -> Iterator[ScoreRow]:
        """Yield the rows of all images in the folder, those of earlier commands too."""
        return iter(self._all())

    def _all(self) -> ScoreLines:
        """Return the lines, with those that waited for their maps."""
        self._append(self._complete)
        self._complete = []
        return self._lines

    def write(self, result: Result) -> None:
        """Write what came of an image; its row follows when those of its batch can.

        Raises:
            InputError: not the image but the folder that it was in has gone away.
            OutputError: the folder cannot be written; what is done stays done.
        """
        if result.error is not None and has_vanished(Path(result.name)):
            raise InputError(
                f"{Path(result.name).parent} is no longer there; "
                "run the same command again when it is, to go on"
            )
        self._make_room()
        future = self._pool.submit(self._store, result)
        self._batch.append(future)
        self._waiting.append((0 if result.map is None else result.map.size, future))
        if result.ends_batch:
            self._append(self._complete)
            self._complete, self._batch = self._batch, []

    def _make_room(self) -> None:
        """Wait until few maps wait to be written, fewer where they are large."""
        while sum(pixels for pixels, _ in self._waiting) > MOST_WAITING:
            self._waiting.pop(0)[1].result()
        self._waiting = [(n, future) for n, future in self._waiting if not future.done()]

    def _append(self, batch: Sequence[Future[ScoreRow]]) -> None:
        if batch:
            self._lines.append([future.result() for future in batch])

    def _store(self, result: Result) -> ScoreRow:
        """Store an image's map and return its row."""
        size, modified = result.status or (None, None)
        if result.map is None:
            return ScoreRow(
                image=result.name,
                status="failed",
                reason=printable(result.error),
                sha256=result.sha256,
                bytes=size,
                modified=modified,
            )
        stored, scale = to_16_bits(result.map)
        score = _rounded(result.score)  # judged as it is written, so that tables can be trusted
        stem = file_stem(result.name)
        write_atomically(self.path / MAPS / f"{stem}.png", png(Image.fromarray(stored)))
        return ScoreRow(
            image=result.name,
            score=score,
            verdict=self.threshold.verdict(score) if self.threshold else "",
            map=f"{MAPS}/{stem}.png",
            map_low=_rounded(scale.low),
            map_high=_rounded(scale.high),
            overlay=f"{OVERLAYS}/{stem}.jpg",
            milliseconds=round(result.seconds * 1000, 1),
            sha256=result.sha256,
            bytes=size,
            modified=modified,
        )

    def _named(self, images: Iterable[Path]) -> list[Path]:
        """Return images under names that mean the same to this folder, wherever we are now."""
        if self._lines.base == Path.cwd():
            return list(images)
        return [Path(os.path.abspath(image)) for image in images]

    def _take_over(self) -> None:
        """Make the folder one of this run."""
        before = _manifest_in(self.path)
        if before is not None:
            other = before.identity.differences(self.manifest.identity)
            if other:
                raise OutputError(
                    f"{self.path} holds a run that differs in {'; '.join(other[:4])}: "
                    "choose another --out, or repeat that run's options"
                )
            self.manifest = self.manifest.model_copy(update={"folder": before.folder})
            self._lines.base = Path(before.folder)
        self._note(RunResult(finished=False))
        for folder in (self.path, self.path / MAPS, self.path / OVERLAYS):
            for part in folder.glob(f"{PARTLY}*"):
                part.unlink(missing_ok=True)
        self._lines.read()

    def _finish(self, finished: bool) -> None:
        self._all().sort(self._images)
        replace_atomically(self.path / TABLE, to_csv(self._lines))
        found = Counter(word for row in self.rows(self._images) for word in _counted(row))
        seconds = round(time.monotonic() - self._started, 3)
        images = len(self._images)
        finished = finished and images == found["done"] + found["failed"]
        self._note(RunResult(finished=finished, images=images, seconds=seconds, **found))

    def _note(self, result: RunResult) -> None:
        self.result = result
        self.manifest = self.manifest.model_copy(update={"result": result})
        self.manifest.write(self.path / MANIFEST)


def _check_free(path: Path) -> None:
    """Refuse a path that is no folder, or one that holds something other than a run."""
    try:
        if not path.exists():
            return
        inside = {each.name for each in path.iterdir() if not each.name.startswith(PARTLY)}
        ours = {LOCK, *(name for name in (MAPS, OVERLAYS) if _is_empty_folder(path / name))}
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if inside - ours and _manifest_in(path) is None:
        raise OutputError(f"{path} exists and holds something else; choose another --out")


def _manifest_in(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except InputError as error:
        raise OutputError(f"{error}; choose another --out") from error


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _is_same_file(image: Path, row: ScoreRow) -> bool:
    try:
        status = image.stat()
        if (status.st_size, status.st_mtime_ns) == (row.bytes, row.modified):
            return True
        return status.st_size == row.bytes and digest(image) == row.sha256
    except (OSError, InputError):
        return False


def _counted(row: ScoreRow) -> Iterator[str]:
    yield row.status
    if row.verdict == "anomalous":
        yield row.verdict


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
