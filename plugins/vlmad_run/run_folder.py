"""The folder of a run: who may write to it, what it is a run of, and what is done in it.

A run is known by its identity (`vlmad_run.manifest.identity`). A folder that holds a run of the
same identity is gone on with: images that are done are not computed again. One that holds
anything else is left alone. One process at a time writes to it.
"""

from __future__ import annotations

import itertools
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from vlmad.errors import InputError, OutputError
from vlmad.files import PARTLY, digest, read_text, replace_atomically, write_atomically
from vlmad_run.manifest import differences
from vlmad_run.rows import MAPS, OVERLAYS, Row, from_line, to_csv, to_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

LINES, TABLE, MANIFEST, LOCK = "scores.jsonl", "scores.csv", "manifest.json", ".lock"


class BusyFolderError(OutputError):
    """Another process writes to the folder."""


class RunFolder:
    """A run folder that this process may write to; use it in a ``with`` statement.

    Args:
        path: the folder; it is made if it does not exist.
        manifest: what the run is, from `vlmad_run.manifest.describe_run`.

    Raises:
        OutputError: it holds something else, another process writes to it, or it cannot be
            written.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, dict(manifest)
        self.base = Path(os.path.abspath(str(manifest.get("folder", "."))))
        """What relative names of images start from: where the first command was given."""
        self._places: dict[str, int] = {}
        self._lock = FileLock(path / LOCK, timeout=0)

    def __enter__(self) -> Self:
        """Take the folder; whatever was left half-written is put right."""
        _check_free(self.path)
        try:
            for folder in (MAPS, OVERLAYS):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise BusyFolderError(
                f"another run is writing to {self.path}; wait for it or choose another --out"
            ) from None
        except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot write {self.path}: {reason}") from error
        try:
            self._check_identity()
            self._clear_away()
            self._find_rows()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let others write to the folder."""
        with suppress(OSError):
            self._lock.release()

    def __len__(self) -> int:
        return len(self._places)

    def named(self, images: Iterable[Path]) -> list[Path]:
        """Return images under names that mean the same to this folder, wherever we are now."""
        if self.base == Path.cwd():
            return list(images)
        return [Path(os.path.abspath(image)) for image in images]

    def file_of(self, row: Row) -> Path:
        """Return where the image of a row is."""
        return self.base / row.image

    def row(self, image: Path) -> Row | None:
        """Return what was said of an image, if it is done and its file is still the same."""
        place = self._places.get(self._key(str(image)))
        if place is None:
            return None
        row = self._read(place)
        if row is None or row.status != "done" or not (self.path / row.map).is_file():
            return None
        return row if _is_same_file(image, row) else None

    def knows(self, image: Path) -> bool:
        """Tell whether anything was said of an image, be it that it could not be read."""
        return self._key(str(image)) in self._places

    def append(self, rows: Sequence[Row]) -> None:
        """Write the lines of images; if they cannot be written whole, all are taken back."""
        lines, path = [to_line(row) for row in rows], self.path / LINES
        try:
            with path.open("ab") as file:
                place = file.tell()
                try:
                    file.write(b"".join(lines))
                    file.flush()
                except OSError:
                    with suppress(OSError):
                        os.truncate(path, place)
                    raise
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        for row, line in zip(rows, lines, strict=True):
            self._places[self._key(row.image)] = place
            place += len(line)

    def rows(self, images: Iterable[Path] = ()) -> Iterator[Row]:
        """Yield the rows of these images in their order, then those of others, from the disk."""
        keys = dict.fromkeys(itertools.chain((self._key(str(i)) for i in images), self._places))
        for key in keys:
            place = self._places.get(key)
            row = None if place is None else self._read(place)
            if row is not None:
                yield row

    def finish(self, images: Iterable[Path], result: Mapping[str, Any]) -> None:
        """Write the table and the manifest, and the lines in the order of the images."""
        images = list(images)
        lines = self.path / LINES
        replace_atomically(lines, (to_line(row) for row in self.rows(images)))
        self._find_rows()
        replace_atomically(self.path / TABLE, to_csv(self.rows(images)))
        self.note(result)

    def note(self, result: Mapping[str, Any]) -> None:
        """Write the manifest with what came of the run so far."""
        self.manifest["result"] = dict(result)
        write_atomically(self.path / MANIFEST, to_json(self.manifest))

    def _check_identity(self) -> None:
        before = read_manifest(self.path)
        if before is not None:
            other = differences(before["identity"], self.manifest["identity"])
            if other:
                raise OutputError(
                    f"{self.path} holds a run that differs in {'; '.join(other[:4])}: "
                    "choose another --out, or repeat that run's options"
                )
            self.base = Path(os.path.abspath(str(before.get("folder", self.base))))
            self.manifest["folder"] = str(self.base)
        self.note({"finished": False})

    def _clear_away(self) -> None:
        """Delete what was left half-written when a run was killed."""
        for folder in (self.path, self.path / MAPS, self.path / OVERLAYS):
            for part in folder.glob(f"{PARTLY}*"):
                part.unlink(missing_ok=True)

    def _key(self, image: str) -> str:
        return os.path.normpath(self.base / image)

    def _find_rows(self) -> None:
        """Note where each image's latest line is; cut off what was not written to its end."""
        self._places.clear()
        path = self.path / LINES
        if not path.exists():
            return
        place = 0
        try:
            with path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    row = from_line(line)
                    if row is not None:
                        self._places[self._key(row.image)] = place
                    place += len(line)
            if place < path.stat().st_size:
                os.truncate(path, place)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    def _read(self, place: int) -> Row | None:
        with (self.path / LINES).open("rb") as file:
            file.seek(place)
            return from_line(file.readline())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a run folder, or None if there is none.

    Raises:
        OutputError: there is one, but it cannot be read.
    """
    path = folder / MANIFEST
    try:
        table = json.loads(read_text(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise OutputError(f"cannot read {path}: {reason}; choose another --out") from error
    if not isinstance(table, dict) or not isinstance(table.get("identity"), dict):
        raise OutputError(f"{path} is no manifest of a run; choose another --out")
    return table


def to_json(value: Any) -> bytes:
    """Return readable JSON; names that are no text keep their bytes as escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _check_free(path: Path) -> None:
    """Refuse a path that is no folder, or one that holds something other than a run."""
    try:
        if not path.exists():
            return
        inside = {each.name for each in path.iterdir() if not each.name.startswith(PARTLY)}
        ours = {LOCK, *(name for name in (MAPS, OVERLAYS) if _is_empty_folder(path / name))}
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if inside - ours and read_manifest(path) is None:
        raise OutputError(f"{path} exists and holds something else; choose another --out")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _is_same_file(image: Path, row: Row) -> bool:
    try:
        status = image.stat()
        if (status.st_size, status.st_mtime_ns) == (row.bytes, row.modified):
            return True
        return status.st_size == row.bytes and digest(image) == row.sha256
    except (OSError, InputError):
        return False
