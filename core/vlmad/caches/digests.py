"""What files hash to, remembered, so that gigabytes of weights are read once and not each time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from vlmad.caches.keys import key_of
from vlmad.caches.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTLED = 2.0
"""Seconds that a file must have been left alone: clocks of file systems tick slowly."""


class Stamp(NamedTuple):
    """What tells one state of a file from another without reading it."""

    path: str
    size: int
    modified: int
    """Nanoseconds."""
    changed: int
    """Likewise, of its state on the disk, which copying tools cannot set back."""
    inode: int


def stamp(path: Path) -> Stamp | None:
    """Return a file's stamp, or None if it cannot be looked at."""
    try:
        state = path.stat()
        times = state.st_mtime_ns, state.st_ctime_ns
        return Stamp(os.path.realpath(path), state.st_size, *times, state.st_ino)
    except OSError:
        return None


def remembered_digest(
    path: Path, before: Stamp | None, purpose: str, compute: Callable[[], str]
) -> str:
    """Return a digest, computed only if it is not known for this state of a file.

    Args:
        path: the file.
        before: its stamp, taken before anything was read from it; None remembers nothing.
        purpose: what is hashed and how, so that different digests of a file do not mix.
        compute: how it is done.
    """
    store = open_store("digests")
    if store is None or before is None:
        return compute()
    key = key_of({"purpose": purpose, "stamp": tuple(before)})
    known = store.read(key)
    if known is not None:
        return known.decode("ascii")
    digest = compute()
    settled = time.time() - max(before.modified, before.changed) / 1e9 > SETTLED
    if settled and stamp(path) == before:  # or it was another file that was hashed
        store.write(key, digest.encode("ascii"))
    return digest
