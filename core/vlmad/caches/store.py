"""Entries of one kind: files that are whole or absent, checked, and limited in size."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vlmad.caches.place import distrust, find_place, limit_of
from vlmad.errors import OutputError
from vlmad.files import read_bounded, write_atomically

if TYPE_CHECKING:
    from vlmad.caches.place import Kind

SUFFIX = ".entry"
CHECKSUM = hashlib.sha256().digest_size
ROOM = 0.9
"""What share of the limit is left after entries had to go, so that it is not done every time."""
ABANDONED = 3600.0
"""Seconds after which a half-written file is no longer being written by anyone."""


class Entry(NamedTuple):
    """A file of a store."""

    path: Path
    size: int
    used: float
    """When it was written or last read, in seconds."""


class Store:
    """A folder of entries; no method raises where the disk is the trouble.

    A file is its content and a SHA-256 over key and content, so that one that was cut off,
    changed or moved is never taken for what it is not.

    Args:
        folder: made when the first entry is written, for its owner alone.
        limit: bytes; beyond it the entries that were not used for longest are deleted.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._unseen = limit  # bytes written since the folder was last measured

    def path(self, key: str) -> Path:
        """Return the file of a key."""
        return self.folder / key[:2] / f"{key}{SUFFIX}"

    def read(self, key: str) -> bytes | None:
        """Return an entry's content, or None if there is none or it is damaged."""
        path = self.path(key)
        try:
            data = read_bounded(path, self.limit)
        except OSError:
            return None
        content = data[:-CHECKSUM]
        if len(data) < CHECKSUM or data[-CHECKSUM:] != _checksum(key, content):
            return None
        with suppress(OSError):
            os.utime(path)  # the time of use; many file systems do not keep that of reading
        return content

    def write(self, key: str, content: bytes) -> bool:
        """Keep an entry, if that is possible; return whether it was."""
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(self.path(key), content + _checksum(key, content))
        except (OSError, OutputError):
            return False
        self._unseen += len(content) + CHECKSUM
        if self._unseen > self.limit * (1 - ROOM):
            self._make_room()
        return True

    def entries(self) -> list[Entry]:
        """Return all entries, the least recently used first."""
        found = []
        for path in self.folder.glob(f"??/*{SUFFIX}"):
            with suppress(OSError):  # another process may have deleted it
                state = path.stat()
                found.append(Entry(path, state.st_size, state.st_mtime))
        return sorted(found, key=lambda entry: entry.used)

    def clear(self) -> int:
        """Delete all entries and return how many there were."""
        entries = self.entries()
        deleted = [_delete(entry.path) for entry in entries]
        self._sweep(age=0.0)
        return sum(deleted)

    def _make_room(self) -> None:
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        if total > self.limit:
            for entry in entries:
                if total <= self.limit * ROOM:
                    break
                total -= entry.size if _delete(entry.path) else 0
            self._sweep(ABANDONED)
        self._unseen = 0

    def _sweep(self, age: float) -> None:
        """Delete what interrupted writers left behind."""
        for path in self.folder.glob("??/.*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()


def open_store(kind: Kind) -> Store | None:
    """Return the store of a kind, or None where there are no caches that can be trusted.

    Raises:
        OptionError: the limit that the user set is none.
    """
    folder = find_place().folder
    if folder is None or _is_distrusted(folder / kind):
        return None
    return Store(folder / kind, limit_of(kind))


def _is_distrusted(folder: Path) -> bool:
    try:
        return distrust(folder) is not None
    except OSError:  # it cannot be looked at
        return True


def _checksum(key: str, content: bytes) -> bytes:
    checksum = hashlib.sha256(key.encode())
    checksum.update(content)
    return checksum.digest()


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
