"""Folders that are kept between runs of what was made of users' files, such as a film's frames.

All of them are bounded together: beyond the limit those that were not used for longest go, but for
those that a living process uses.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from vlmad.errors import InputError, OptionError, OutputError
from vlmad.files import PARTLY, refuse_links
from vlmad_openclip.store import GIGABYTE, distrust, find_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILMS = "films"
FILMS_VARIABLE = "VLMAD_FILMS_GB"
"""How many gigabytes the frames of films may take."""
USUAL_LIMIT = 10 * GIGABYTE
LOCKS = ".locks"
_in_use: dict[Path, FileLock] = {}
"""What this process uses until it ends, when the system lets go of its locks."""
_made_of: dict[Path, Path] = {}
"""Of which file, as it was named, each of these was made."""


def film_folders() -> KeptFolders:
    """Return where the frames of films are kept.

    Raises:
        InputError: there is no folder for caches that can be trusted.
        OptionError: `VLMAD_FILMS_GB` is no positive number.
    """
    place = find_place()
    if place.folder is None:
        raise InputError(f"the frames of films need a folder to be kept in: {place.reason}")
    doubt = distrust(place.folder / FILMS)
    if doubt:
        raise InputError(f"the frames of films need a folder to be kept in: {doubt}")
    return KeptFolders(place.folder / FILMS, _limit())


def _limit() -> int:
    text, limit = os.environ.get(FILMS_VARIABLE), 0
    if not text:
        return USUAL_LIMIT
    with suppress(ValueError, OverflowError):  # no number, or no finite one
        limit = int(float(text) * GIGABYTE)
    if limit <= 0:
        raise OptionError(f"{FILMS_VARIABLE} must be a positive number of gigabytes, not '{text}'")
    return limit


class KeptFolders:
    """A folder of such folders.

    Args:
        folder: made with the first of them, for its owner alone.
        limit: bytes of all of them together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def take(self, name: str, fill: Callable[[Path], None], made_of: Path) -> Path:
        """Return the folder of a name, which stays until this process ends.

        Args:
            name: one that a file may have.
            fill: writes into a new folder what it is to hold, if there is none of the name.
            made_of: the user's file, see `as_named`.

        Raises:
            OutputError: it cannot be written, or is larger than all may be.
        """
        target = self.folder / name
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / LOCKS).mkdir(mode=0o700, parents=True, exist_ok=True)
            refuse_links([self.folder, self.folder / LOCKS, target])
            with self._lock(f"{name}.making"):
                self._hold(name)
                if target.is_dir():
                    os.utime(target)
                else:
                    self._make(target, fill)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
        _made_of[target] = made_of
        return target

    def entries(self) -> list[tuple[Path, int]]:
        """Return all of them and their bytes, the least recently used first."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if not path.name.startswith(".") and path.is_dir() and not path.is_symlink():
                found.append((path.stat().st_mtime, path, size_of(path)))
        return [(path, size) for _, path, size in sorted(found)]

    def clear(self) -> int:
        """Delete all that no process uses, and return how many they were."""
        refuse_links([self.folder])
        return sum(self._delete(path) for path, _ in self.entries())

    def _make(self, target: Path, fill: Callable[[Path], None]) -> None:
        partly = self.folder / f"{PARTLY}{target.name}"
        shutil.rmtree(partly, ignore_errors=True)  # of one that was killed
        partly.mkdir()
        try:
            fill(partly)
            self._make_room(size_of(partly))
            partly.rename(target)
        finally:
            shutil.rmtree(partly, ignore_errors=True)

    def _make_room(self, wanted: int) -> None:
        entries = self.entries()
        total = wanted + sum(size for _, size in entries)
        for path, size in entries:
            if total > self.limit and self._delete(path):
                total -= size

    def _delete(self, path: Path) -> bool:
        """Delete one of them, unless a living process uses it."""
        for mark in self._marks(path.name):
            if mark in _in_use:
                return False
            try:
                with FileLock(mark, timeout=0):
                    pass
            except Timeout:
                return False
            mark.unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()

    def _marks(self, name: str) -> Iterator[Path]:
        begin = f"{name}.used-"
        return (path for path in (self.folder / LOCKS).iterdir() if path.name.startswith(begin))

    def _hold(self, name: str) -> None:
        mark = self.folder / LOCKS / f"{name}.used-{os.getpid()}"
        if mark not in _in_use:
            _in_use[mark] = self._lock(mark.name)
            _in_use[mark].acquire()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / LOCKS / name, fallback_to_soft=False)


def as_named(image: Path) -> Path:
    """Return an image by what the user named: a frame as if its film were its folder.

    Raises:
        InputError: it is a frame of a film that nobody named.
    """
    film = _made_of.get(image.parent)
    if film is not None:
        return film / image.name
    if image.parent.parent.name == FILMS and image.parent.parent == film_folders().folder:
        raise InputError(f"--group needs the film of {image}: name it, also beside --manifest")
    return image


def size_of(folder: Path) -> int:
    """Return the bytes of the files right in a folder."""
    with os.scandir(folder) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
