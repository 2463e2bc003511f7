"""The folder of a run: who may write to it, what it is a run of, and what is done in it.

A run is known by its identity (`vlmad_run.manifest.Identity`). A folder that holds a run of the
same identity is gone on with: images that are done are not computed again. One that holds
anything else is left alone. One process at a time writes to it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vlmad.errors import InputError, OutputError
from vlmad.files import PARTLY, digest, write_atomically
from vlmad.loading import chunks
from vlmad_formats.reading import Reading
from vlmad_run.manifest import MANIFEST, Manifest, RunResult, read_manifest
from vlmad_run.picked_product import UNKNOWN
from vlmad_run.places import locked
from vlmad_run.remote_images import image_at
from vlmad_run.rows import (
    LINES,
    MAPS,
    OVERLAYS,
    TABLE,
    ScoreRow,
    read_rows,
    to_csv,
    to_line,
)
from vlmad_run.storing import store_result
from vlmad_run.walking import has_vanished, whole_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from vlmad.types import Result
    from vlmad_run.thresholds import Threshold

AT_ONCE = 1000
"""Rows that are written together, where many are at hand."""
LARGE = 1e6
"""Pixels of a map from which on no second one waits to be written."""


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

    def __init__(self, path: Path, manifest: Manifest, threshold: Threshold | None = None) -> None:
        self.path, self.manifest, self.threshold = path, manifest, threshold
        self._rows: dict[str, ScoreRow] = {}
        self._images: list[Path] = []
        self.astray: set[Path] = set()
        """Places of images that never were there, as a list may name them."""
        self._batch: list[Future[ScoreRow]] = []
        self._complete: list[Future[ScoreRow]] = []
        """The batch before, whose maps may still be on their way to the disk."""
        self.remarks: list[str] = []
        """What is to be known of the code that the rest of the run is scored with."""

    def __enter__(self) -> Self:
        """Take the folder; whatever was left half-written is put right."""
        before = _manifest_in(self.path)
        with ExitStack() as stack:
            stack.enter_context(locked(self.path, MANIFEST))
            # one thread compresses maps while the model works on; more would slow the model down
            self._pool = stack.enter_context(ThreadPoolExecutor(1))
            self._take_over(before)
            self._held = stack.pop_all()
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the tables, and let others write to the folder."""
        with self._held, suppress(*(() if kind is None else (OutputError,))):
            self._finish(finished=kind is None)

    def abandon(self) -> None:
        """Write nothing any more, as where its disk has gone away, and let others write."""
        self._held.close()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def reading(self) -> Reading:
        """How the images were read."""
        return Reading.parse(self.manifest.identity.reading)

    def file_of(self, row: ScoreRow) -> Path:
        """Return where the image of a row is."""
        return image_at(row.image, self.manifest.folder)

    def missing(self, images: Iterable[Path], together: bool = False) -> list[Path]:
        """Return the images that are still to be scored; these are what the run is about.

        Those that could not be read before come last: the others are then scored in the same
        batches as if the run had never been stopped, and batches change the last digits.

        Args:
            images: all that the run is to score.
            together: whether scores depend on all images, so that all are scored anew.
        """
        self._images = list(images)
        if self.manifest.folder != os.getcwd():  # names that mean the same to this folder
            whole = zip(self._images, map(whole_name, self._images), strict=True)
            self._images = [image if str(image) == name else Path(name) for image, name in whole]
        places = {image.parent: image for image in self._images}
        gone = {place for place, image in places.items() if has_vanished(image)}
        self.astray = gone if gone != places.keys() else set()
        if together:
            return self._images
        lacking = [image for image in self._images if self.row(image) is None]
        return sorted(lacking, key=lambda image: whole_name(image) in self._rows)

    def row(self, image: Path) -> ScoreRow | None:
        """Return the row of an image, if it is done and its file is still the same."""
        row = self._rows.get(whole_name(image))
        if row is None or row.status != "done" or not (self.path / row.map).is_file():
            return None
        return row if _is_same_file(image, row) else None

    def rows(self, images: Iterable[Path]) -> Iterator[ScoreRow]:
        """Yield the rows of images, those that are there, in their order."""
        names = map(whole_name, images)
        return (self._rows[name] for name in names if name in self._rows)

    def all_rows(self) -> Iterator[ScoreRow]:
        """Yield the rows of all images in the folder, those of earlier commands too."""
        return iter(self._rows.values())

    def write_all(self, results: Iterable[Result]) -> Iterator[ScoreRow]:
        """Write what came of images, as `write` does; yield each row when it is on disk."""
        for result in results:
            yield from self.write(result)
        yield from self.flush()

    def write(self, result: Result) -> list[ScoreRow]:
        """Write what came of an image; its row follows when those of its batch can.

        Returns:
            The rows that this wrote: those of the batch before, when a batch is complete.

        Raises:
            InputError: not the image but the folder that it was in has gone away.
            OutputError: the folder cannot be written; what is done stays done.
        """
        if result.error is not None and self._has_vanished(image_at(result.name)):
            raise InputError(
                f"{image_at(result.name).parent} is no longer there; "
                "run the same command again when it is, to go on"
            )
        store = partial(store_result, self.path, self.manifest.good, self.threshold)
        self._batch.append(self._pool.submit(store, result))
        if result.map is not None and result.map.size > LARGE:
            wait(self._batch[:-1])
        if not result.ends_batch:
            return []
        rows = self.flush()
        self._complete, self._batch = self._batch, []
        return rows

    def adopt(self, rows: Sequence[ScoreRow], seconds: float) -> None:
        """Make it a run of rows that others scored; their maps lie in the folder already.

        Args:
            rows: in the order of their images.
            seconds: what scoring them took.
        """
        self._images = [self.file_of(row) for row in rows]
        self._remember(rows)
        self._started -= seconds

    def flush(self) -> list[ScoreRow]:
        """Write and return the rows that waited for their maps.

        Raises:
            OutputError: they cannot be written.
        """
        rows = [future.result() for future in self._complete]
        self._complete = []
        self.add(rows)
        return rows

    def add(self, rows: Sequence[ScoreRow]) -> None:
        """Write rows of images whose maps are in the folder.

        Raises:
            OutputError: they cannot be written.
        """
        if rows:
            try:
                with (self.path / LINES).open("ab") as file:
                    file.write(b"".join(map(to_line, rows)))
            except OSError as error:
                reason = error.strerror or error
                raise OutputError(f"cannot write {self.path / LINES}: {reason}") from error
            self._remember(rows)

    def add_all(self, groups: Iterable[Sequence[ScoreRow]]) -> Iterator[ScoreRow]:
        """Write rows, as `add` does; yield each when it is on disk."""
        for rows in groups:
            self.add(rows)
            yield from rows

    def add_unknown(self, rows: Iterable[ScoreRow]) -> None:
        """Write those of some rows, as `add` does, whose images the folder has no row of."""
        new = (row for row in rows if self._name_of(row) not in self._rows)
        for some in chunks(new, AT_ONCE):
            self.add(some)

    def _remember(self, rows: Iterable[ScoreRow]) -> None:
        self._rows |= {self._name_of(row): row for row in rows}

    def _has_vanished(self, image: Path) -> bool:
        return image.parent not in self.astray and has_vanished(image)

    def _name_of(self, row: ScoreRow) -> str:
        return whole_name(row.image, self.manifest.folder)

    def _take_over(self, before: Manifest | None) -> None:
        """Make the folder one of this run."""
        if before is not None:
            other = before.identity.differences(self.manifest.identity)
            if other:
                raise OutputError(
                    f"{self.path} holds a run that differs: {'; '.join(other[:4])}; "
                    "choose another --out, or repeat that run's options"
                )
            if before.shard != self.manifest.shard:
                was, now = (
                    f"{shard}, of {shard.whole}" if shard else "a whole run"
                    for shard in (before.shard, self.manifest.shard)
                )
                raise OutputError(f"{self.path} holds {was}, not {now}; choose another --out")
            self.remarks = before.identity.remarks(self.manifest.identity)
            self.manifest = self.manifest.model_copy(update={"folder": before.folder})
        self._note(RunResult(finished=False))
        for folder in (self.path, self.path / MAPS, self.path / OVERLAYS):
            for part in folder.glob(f"{PARTLY}*"):
                part.unlink(missing_ok=True)
        self._remember(read_rows(self.path))
        if self._rows:  # without what a crash left of the last line
            write_atomically(self.path / LINES, map(to_line, self.all_rows()))

    def _finish(self, finished: bool) -> None:
        """Bring the rows into the order of the images, and write down what came of them."""
        self.flush()
        order = dict.fromkeys([*map(whole_name, self._images), *self._rows])
        self._rows = {name: self._rows[name] for name in order if name in self._rows}
        write_atomically(self.path / LINES, map(to_line, self.all_rows()))
        write_atomically(self.path / TABLE, to_csv(self.all_rows()))
        rows, images = list(self.rows(self._images)), len(self._images)
        status = Counter(row.status for row in rows)
        self._note(
            RunResult(
                finished=finished and images == len(rows),
                images=images,
                done=status["done"],
                failed=status["failed"],
                anomalous=sum(row.verdict == "anomalous" for row in rows),
                unknown=sum(row.product == UNKNOWN for row in rows),
                seconds=round(time.monotonic() - self._started, 3),
            )
        )

    def _note(self, result: RunResult) -> None:
        self.result = result
        self.manifest = self.manifest.model_copy(update={"result": result})
        self.manifest.write(self.path / MANIFEST)


def _manifest_in(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except InputError as error:
        raise OutputError(f"{error}; choose another --out") from error


def _is_same_file(image: Path, row: ScoreRow) -> bool:
    try:
        status = image.stat()
        if (status.st_size, status.st_mtime_ns) == (row.bytes, row.modified):
            return True
        return status.st_size == row.bytes and digest(image) == row.sha256
    except (OSError, InputError):
        return False
