"""What a file system tells of a folder, or that it tells nothing."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from watchfiles.main import FileChange

SILENT = frozenset(
    [
        "cifs",
        "smb3",
        "smbfs",
        "nfs",
        "nfs4",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "vboxsf",
        "prl_fs",
        "drvfs",
        "davfs",
    ]
)
"""File systems whose changes by other machines are not told of; and all of ``fuse.…``."""
WAIT, TOGETHER = 10, 5
"""Milliseconds that are waited for something to happen, and for more of it."""
MOUNTS = Path("/proc/mounts")
ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
"""A space or the like in a path there."""


class Notifications(Protocol):
    """Tells what has changed."""

    def changed(self) -> Iterator[Path]:
        """Wait a moment, and yield the paths that changed since the last time."""


def mounted(mounts: Path | None = None) -> list[tuple[str, str]]:
    """Return where something is mounted and as which file system; nothing where nobody tells."""
    try:
        lines = (mounts or MOUNTS).read_bytes().splitlines()
    except OSError:
        return []
    words = [[*line.split(b" "), b"", b"", b""] for line in lines]
    places = [ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), each[1]) for each in words]
    return [
        (os.fsdecode(place).rstrip("/"), os.fsdecode(each[2]))
        for place, each in zip(places, words, strict=True)
    ]


def mount_of(where: str, mounts: Path | None = None) -> tuple[str, str]:
    """Return where what a real path lies on is mounted, and as which file system."""
    found = ("", "")
    for place, kind in mounted(mounts):
        if (where == place or where.startswith(f"{place}/")) and len(place) >= len(found[0]):
            found = place, kind
    return found


def sends_none(root: Path, mounts: Path | None = None) -> bool:
    """Return whether a folder is on a file system that tells of no changes by others."""
    try:
        _, kind = mount_of(os.path.realpath(root), mounts)
    except OSError:
        return False
    return kind in SILENT or kind.startswith("fuse.")


@contextmanager
def notifications(root: Path, poll: bool, stop: Event) -> Iterator[Notifications]:
    """Begin to be told what changes in a folder and below it.

    Raises:
        InputError: the library for it is missing, or the system cannot watch so many folders.
    """
    if poll:
        yield _Pauses(stop)
        return
    try:
        from watchfiles import watch
    except ImportError as error:
        remedy = "pip install 'vlmad[line]', or --poll"
        raise InputError(f"watching a folder needs watchfiles: {remedy}") from error
    try:
        told = watch(
            root, watch_filter=None, step=TOGETHER, debounce=WAIT, rust_timeout=WAIT,
            yield_on_timeout=True, stop_event=stop, ignore_permission_denied=True,
        )  # fmt: skip
        first = next(told)  # from here on nothing is missed
    except (OSError, StopIteration) as error:
        raise InputError(f"{root} cannot be watched: {error}; --poll looks instead") from error
    yield _Told(told, [Path(path) for _, path in first])
    told.close()


class _Pauses:
    """Where nothing is told: a moment passes."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def changed(self) -> Iterator[Path]:
        self._stop.wait(WAIT / 1000)
        return iter(())


class _Told:
    """What watchfiles tells."""

    def __init__(self, told: Iterator[set[FileChange]], first: list[Path]) -> None:
        self._told, self._first = told, first

    def changed(self) -> Iterator[Path]:
        first, self._first = self._first, []
        yield from first
        yield from (Path(path) for _, path in sorted(next(self._told, set())))
