"""What is kept on disk between runs: text embeddings, features of images, digests of weights.

A cache never changes a result and never stops anything: an entry that is missing, damaged or
of something else is made anew, and a folder that cannot be written costs speed alone.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from vlmad.errors import OptionError, OutputError
from vlmad.files import cache_place, distrust, read_bounded, write_atomically
from vlmad_openclip._digests import backbone_facts, key_of, pack, tensor_digest, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "KINDS",
    "LIMIT_VARIABLE",
    "FileStamp",
    "Kind",
    "Store",
    "StoreEntry",
    "backbone_facts",
    "key_of",
    "limit_of",
    "open_store",
    "pack",
    "remembered_digest",
    "stamp",
    "tensor_digest",
    "unpack",
]

Kind: TypeAlias = Literal["text", "visual", "digests"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIMIT_VARIABLE = "VLMAD_CACHE_GB"
"""How many gigabytes the visual features may take."""
GIGABYTE = 10**9
LIMITS: dict[Kind, int] = {
    "text": GIGABYTE // 2,
    "visual": 4 * GIGABYTE,
    "digests": GIGABYTE // 100,
}
SUFFIX = ".entry"
CHECKSUM = hashlib.sha256().digest_size
ROOM = 0.9
"""What share of the limit is left after entries had to go, so that it is not done every time."""
CHANCE = random.SystemRandom()
"""By chance a writer measures the folder, the likelier the more it wrote: on average whenever
what the last deletion left free has been written again, by however many processes."""
ABANDONED = 3600.0
"""Seconds after which a half-written file is no longer being written by anyone."""
SETTLED = 2.0
"""Seconds that a file must have been left alone: clocks of file systems tick slowly."""

FileStamp: TypeAlias = tuple[str, int, int, int, int]
"""What tells one state of a file from another without reading it: its path, size, inode, and
when its content and its state on the disk, which copying tools cannot set back, changed."""


class StoreEntry(NamedTuple):
    """A file of a store."""

    path: Path
    size: int
    used: float
    """When it was written or last read, in seconds."""


def limit_of(kind: Kind) -> int:
    """Return how many bytes the entries of a kind may take.

    Raises:
        OptionError: `VLMAD_CACHE_GB` is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if kind != "visual" or not text:
        return LIMITS[kind]
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not (math.isfinite(gigabytes) and gigabytes > 0):
        raise OptionError(f"{LIMIT_VARIABLE} must be a positive number of gigabytes, not '{text}'")
    return int(gigabytes * GIGABYTE)


def open_store(kind: Kind) -> Store | None:
    """Return the store of a kind, or None where there are no caches that can be trusted.

    Raises:
        OptionError: the limit that the user set is none.
    """
    folder = cache_place().folder
    if folder is None:
        return None
    try:
        trusted = distrust(folder / kind) is None
    except OSError:  # it cannot be looked at
        return None
    return Store(folder / kind, limit_of(kind)) if trusted else None


class Store:
    """A folder of entries; no method raises where the disk is the trouble.

    A file is its content and a SHA-256 over key and content, so that one that was cut off,
    changed or moved is never taken for what it is not.

    Args:
        folder: made when the first entry is written, for its owner alone.
        limit: bytes, about; beyond it the entries that were not used for longest are deleted.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

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
        if len(content) + CHECKSUM > CHANCE.random() * (1 - ROOM) * self.limit:
            self._make_room()
        return True

    def entries(self) -> list[StoreEntry]:
        """Return all entries, the least recently used first."""
        found = []
        for path in self.folder.glob(f"??/*{SUFFIX}"):
            with suppress(OSError):  # another process may have deleted it
                state = path.stat()
                found.append(StoreEntry(path, state.st_size, state.st_mtime))
        return sorted(found, key=lambda entry: entry.used)

    def clear(self) -> int:
        """Delete all entries and return how many there were."""
        deleted = [_delete(entry.path) for entry in self.entries()]
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

    def _sweep(self, age: float) -> None:
        """Delete what interrupted writers left behind."""
        for path in self.folder.glob("??/.*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()


def _checksum(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def stamp(path: Path) -> FileStamp | None:
    """Return a file's stamp, or None if it cannot be looked at."""
    try:
        found, real = path.stat(), os.path.realpath(path)
    except OSError:
        return None
    return real, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def remembered_digest(
    path: Path, before: FileStamp | None, purpose: str, compute: Callable[[], str]
) -> str:
    """Return a digest, computed only if it is not known for this state of a file.

    So gigabytes of weights are read once and not each time.

    Args:
        path: the file.
        before: its stamp, taken before anything was read from it; None remembers nothing.
        purpose: what is hashed and how, so that different digests of a file do not mix.
        compute: how it is done.
    """
    store = open_store("digests")
    if store is None or before is None:
        return compute()
    key = key_of({"purpose": purpose, "stamp": before})
    known = store.read(key)
    if known is not None:
        return known.decode("ascii")
    digest = compute()
    settled = time.time() - max(before[-2:]) / 1e9 > SETTLED
    if settled and stamp(path) == before:  # or it was another file that was hashed
        store.write(key, digest.encode("ascii"))
    return digest
