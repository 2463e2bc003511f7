"""What is kept on disk between runs: text embeddings, features of images, digests of weights.

A cache never changes a result and never stops anything: an entry that is missing, damaged or
of something else is made anew, and a folder that cannot be written costs speed alone.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from vlmad.errors import OptionError, OutputError
from vlmad.files import CACHE_VARIABLE, cache_folder, read_bounded, refuse_links, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


Kind: TypeAlias = Literal["text", "visual", "digests"]
GIGABYTE = 10**9
LIMITS: Mapping[Kind, int] = {
    "text": GIGABYTE // 2,
    "visual": 4 * GIGABYTE,
    "digests": GIGABYTE // 100,
}
KINDS: tuple[Kind, ...] = tuple(LIMITS)
PLACE_VARIABLE = CACHE_VARIABLE
LIMIT_VARIABLE = "VLMAD_CACHE_GB"
"""How many gigabytes the visual features may take."""
ELSEWHERE = f"set {PLACE_VARIABLE} to another"
SUFFIX = ".entry"
CHECKSUM = hashlib.sha256().digest_size
ROOM = 0.9
"""What share of the limit is left after entries had to go, so that it is not done every time."""
CHANCE = random.SystemRandom()
"""By chance a writer measures the folder, the likelier the more it wrote: about whenever what
the last deletion left free has been written again, by however many processes."""
ABANDONED = 3600.0
"""Seconds after which a half-written file is no longer being written by anyone."""
SETTLED = 2.0
"""Seconds that a file must have been left alone: clocks of file systems tick slowly."""

FileStamp: TypeAlias = tuple[str, int, int, int, int]
"""What tells one state of a file from another without reading it: its path, size, inode, and
when its content and its state on the disk, which copying tools cannot set back, changed."""


class CachePlace(NamedTuple):
    """The folder of all caches, or None and the reason why there is none."""

    folder: Path | None
    reason: str = ""


class StoreEntry(NamedTuple):
    """A file of a store."""

    path: Path
    size: int
    used: float
    """When it was written or last read, in seconds."""


def find_place() -> CachePlace:
    """Return where caches live, unless others could write there; nothing is made or written."""
    folder = cache_folder()
    if folder is not None:
        reason = distrust(folder)
        return CachePlace(None, reason) if reason else CachePlace(folder)
    if PLACE_VARIABLE in os.environ:
        return CachePlace(None, f"{PLACE_VARIABLE} switches caches off")
    return CachePlace(None, f"no home folder; {ELSEWHERE}")


def distrust(folder: Path) -> str | None:
    """Return why what lies in a folder cannot be believed, and what to do; None if it can.

    One that is not there yet can: it is made for its owner alone.
    """
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"no cache folder can be used: {error}; {ELSEWHERE}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder; {ELSEWHERE}"
    if hasattr(os, "getuid") and found.st_uid not in (os.getuid(), 0):
        return f"{folder} belongs to another user; {ELSEWHERE}"
    if hasattr(os, "getuid") and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{folder} can be written by others; chmod go-w {folder}"
    return None


def limit_of(kind: Kind) -> int:
    """Return how many bytes the entries of a kind may take.

    Raises:
        OptionError: `VLMAD_CACHE_GB` is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if kind != "visual" or not text:
        return LIMITS[kind]
    limit = 0
    with suppress(ValueError, OverflowError):  # no number, or no finite one
        limit = int(float(text) * GIGABYTE)
    if limit <= 0:
        raise OptionError(f"{LIMIT_VARIABLE} must be a positive number of gigabytes, not '{text}'")
    return limit


def open_store(kind: Kind) -> Store | None:
    """Return the store of a kind, or None where there are no caches that can be trusted.

    Raises:
        OptionError: the limit that the user set is none.
    """
    folder = find_place().folder
    if folder is None or distrust(folder / kind):
        return None
    return Store(folder / kind, limit_of(kind))


class Store:
    """A folder of entries; no method but `clear` raises where the disk is the trouble.

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
            refuse_links([self.folder, self.path(key).parent])
            write_atomically(self.path(key), content + _checksum(key, content))
        except (OSError, OutputError):
            return False
        if len(content) + CHECKSUM > CHANCE.random() * (1 - ROOM) * self.limit:
            self._make_room()
        return True

    def entries(self) -> list[StoreEntry]:
        """Return all entries, the least recently used first."""
        found = []
        for path in self._files(f"*{SUFFIX}"):
            with suppress(OSError):  # another process may have deleted it
                state = path.stat()
                found.append(StoreEntry(path, state.st_size, state.st_mtime))
        return sorted(found, key=lambda entry: entry.used)

    def clear(self) -> int:
        """Delete all entries and return how many there were.

        Raises:
            OutputError: a folder in it is a link, which may lead to what is no entry.
        """
        refuse_links([self.folder, *self.folder.glob("??")])
        deleted = [_delete(entry.path) for entry in self.entries()]
        self._sweep(age=0.0)
        return sum(deleted)

    def _files(self, pattern: str) -> Iterator[Path]:
        """Yield files of such names in its own folders, not in those that a link leads to."""
        own = [] if self.folder.is_symlink() else self.folder.glob("??")
        return (path for each in own if not each.is_symlink() for path in each.glob(pattern))

    def _make_room(self) -> None:
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        if total <= self.limit:
            return
        for entry in entries:
            if total > self.limit * ROOM and _delete(entry.path):
                total -= entry.size
        self._sweep(ABANDONED)

    def _sweep(self, age: float) -> None:
        """Delete what interrupted writers left behind."""
        for path in self._files(".*"):
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


def key_of(facts: Mapping[str, object]) -> str:
    """Return the SHA-256 of facts, whatever the order of their names.

    Values are numbers, texts, None, and lists, tuples, sets and mappings of these; anything
    else counts by its type and what `repr` gives.

    >>> key_of({"a": 1, "b": (2, 3)}) == key_of({"b": (2, 3), "a": 1})
    True
    >>> key_of({"a": 1}) == key_of({"a": "1"})
    False
    """
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def _canonical(value: object) -> str:
    """Return a text that no other value gives."""
    if isinstance(value, Mapping):
        inner = sorted(f"{_canonical(name)}: {_canonical(value[name])}" for name in value)
        return f"mapping({', '.join(inner)})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(_canonical, value)))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_canonical, value))})"
    return f"{type(value).__qualname__} {value!r}"


def tensor_digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and values."""
    import torch

    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}\n".encode())
    if plain.numel():
        digest.update(plain.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def pack(tensor: Tensor) -> bytes | None:
    """Return a tensor in the safetensors format, or None if a number in it is not finite."""
    import torch
    from safetensors.torch import save

    if not torch.isfinite(tensor).all():
        return None
    return save({"value": tensor.detach().cpu().contiguous()})


def unpack(content: bytes | None) -> Tensor | None:
    """Return the tensor of an entry, or None if it is none or not finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    if content is None:
        return None
    try:
        tensor: Tensor | None = load(content).get("value")
    except (SafetensorError, ValueError, KeyError):
        return None
    return tensor if tensor is not None and torch.isfinite(tensor).all() else None


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
