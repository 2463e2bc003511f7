"""A folder that images are written to: each is taken once, when it is whole.

A file is whole when its size and time stand still and it decodes to its end. One that never does
is taken after `PATIENCE` all the same, and is NG. It is known by its place, size and time of
change, so that one written anew is another image.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_line._folders import Folders
from vlmad_line._notifications import Notifications, notifications, sends_none
from vlmad_line.endpoints import Arrival
from vlmad_run.walking import NOT_READ, is_readable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from threading import Event

    from vlmad_run.walking import Kind, Place

STILL, STILL_IF_EMPTY = 0.02, 1.0
"""Seconds that a file stands still before it is looked into; the second where its end is zeros, as
of one whose room was made before it was filled."""
PATIENCE = 5.0
"""Seconds that a file may stand still without being whole."""
LOOK_AGAIN, AT_MOST = 5.0, 0.05
"""Seconds after which all is looked through, should a notification have been lost; and which share
of the time may go into that."""
POLL = 0.2
"""Seconds from one look to the next where there are no notifications."""
FORGOTTEN = 1000
"""Images that are forgotten together when they are gone."""
SIGN = 0.5
"""Seconds of a look after which there is a sign of life."""
TOLD = find_spec("watchfiles") is not None
"""Whether there is the library that is told of changes."""
OUTPUT: tuple[Kind, ...] = ("image", "format")
"""Kinds of files that are judged: those in formats that are not read are NG."""


@dataclass(slots=True)
class _Candidate:
    """A file that may be whole soon."""

    stamp: tuple[int, int]
    since: float
    """When it was first seen like this, of `time.monotonic`."""
    due: float
    """When it is looked into."""
    noticed: float
    """When it was, in seconds since 1970."""


@dataclass
class WatchedFolder:
    """A source of the images in a folder and all below it; see `vlmad_line.endpoints.KeepsComing`.

    Args:
        seen: keys of images that were judged before.
        poll: whether to look instead of waiting for notifications; by default where none come.
        once: whether to end when all that is there is taken.
        forget: gets keys of images that were judged and are there no more, some at a time.
    """

    seen: Collection[str] = ()
    poll: bool | None = None
    once: bool = False
    forget: Callable[[Collection[str]], None] | None = None
    _done: set[str] = field(default_factory=set)
    _gone: set[str] = field(default_factory=set)
    _waiting: dict[Path, _Candidate] = field(default_factory=dict)
    _folders: Folders = field(default_factory=Folders)

    def arrivals(self, argument: str, stop: Event) -> Iterator[Arrival | None]:
        """Yield images as they are whole, the oldest first.

        Raises:
            InputError: there is no such folder, or it has gone away.
        """
        root = Path(argument)
        self._folders.require_all(root)
        if not self._folders.known:  # it is asked for the first time
            self._done |= set(self.seen)
        poll = (not TOLD or sends_none(root)) if self.poll is None else self.poll
        with notifications(root, poll or self.once, stop) as news:
            yield None
            due = 0.0
            while not stop.is_set():
                now = time.monotonic()
                if now >= due:
                    for _ in self._look_through(root):
                        if stop.is_set():
                            return
                        yield None
                    took = time.monotonic() - now
                    due = now + (took + POLL if poll else max(LOOK_AGAIN, took / AT_MOST))
                    yield None
                for path in self._whole():
                    yield None if path is None else self._arrival(path, argument)
                if self.once and not self._waiting:
                    return
                yield None
                due = self._hear(news, due)

    def keys(self, argument: str) -> set[str]:
        """Return the keys of all images that are there, whole or not.

        Raises:
            InputError: there is no such folder.
        """
        places = Folders().look_through(Path(argument))
        found = ((path, stamp_of(path)) for place in places for path in _images_in(place))
        return {key_of_file(path, stamp) for path, stamp in found if stamp is not None}

    def _hear(self, news: Notifications, due: float) -> float:
        """Take in what has changed; return when all is to be looked through."""
        for path in news.changed():
            if self._folders.is_news(path):
                due = 0.0  # a folder that is new here, or was moved here with all in it
            elif str(path.parent) in self._folders.known and _is_wanted(path.name):
                self._consider(path)
        return due

    def _look_through(self, root: Path) -> Iterator[None]:
        """Consider all that is there; give signs of life meanwhile."""
        told, there = time.monotonic(), set[str]()
        for key in self._keys(root, is_old=not self._folders.known):
            there.add(key)
            if time.monotonic() - told > SIGN:
                yield None
                told = time.monotonic()
        there.discard("")
        if there:  # else the disk may be away, and all of it comes back
            self._gone = (self._gone | self._done) - there
            self._done &= there
            self._forget()

    def _forget(self) -> None:
        """Let go of what is gone, when it is much: by then all but the last of it was judged."""
        if self.forget is not None and len(self._gone) >= FORGOTTEN:
            self.forget(self._gone)
            self._gone = set()

    def _keys(self, root: Path, is_old: bool) -> Iterator[str]:
        """Yield the keys of the images of each folder, and an empty one for the folder itself."""
        for place in self._folders.look_through(root):
            for path in _images_in(place):
                yield self._consider(path, is_old)
            yield ""

    def _consider(self, path: Path, is_old: bool = False) -> str:
        """Let a file wait until it is whole, and return its key.

        Since when it stands still, the time of an old file tells; that of a new one may be by
        another clock.
        """
        stamp = stamp_of(path)
        key = "" if stamp is None else key_of_file(path, stamp)
        if stamp is None or key in self._done:
            self._waiting.pop(path, None)
            return key
        known = self._waiting.get(path)
        if known is None or known.stamp != stamp:
            now = time.monotonic()
            old = max(0.0, time.time() - stamp[1] / 1e9) if is_old else 0.0
            due = now + max(0.0, STILL - old)
            self._waiting[path] = _Candidate(stamp, now - old, due, time.time())
        return key

    def _whole(self) -> Iterator[Path | None]:
        """Yield files that are whole, or will not be, the oldest first; None of each other."""
        now = time.monotonic()
        due = [path for path, candidate in self._waiting.items() if candidate.due <= now]
        for path in sorted(due, key=lambda path: (self._waiting[path].stamp[1], path)):
            before = self._waiting[path].stamp
            self._consider(path)  # it may have changed, or gone
            candidate = self._waiting.get(path)
            if candidate is None or candidate.stamp != before:
                continue
            stood = time.monotonic() - candidate.since
            if stood >= PATIENCE or is_whole(path, stood):
                yield path
            else:
                candidate.due = time.monotonic() + max(STILL, stood / 2)
                yield None

    def _arrival(self, path: Path, argument: str) -> Arrival:
        candidate = self._waiting.pop(path)
        key = key_of_file(path, candidate.stamp)
        self._done.add(key)
        written = candidate.stamp[1] / 1e9
        before = candidate.noticed - written
        at = written if 0 <= before < 1 else candidate.noticed  # else its clock is another
        return Arrival(str(path), path, at, argument, key, stamp=candidate.stamp)


def _images_in(place: Place) -> list[Path]:
    """Return the files right in a folder that may be images."""
    return [path for kind in OUTPUT for path in place.named(kind)]


def _is_wanted(name: str) -> bool:
    ending = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and (is_readable(name) or ending in NOT_READ)


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Return size and time of change in nanoseconds; None if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def key_of_file(path: Path, stamp: Iterable[int]) -> str:
    """Return what tells a file of this size and time of change from all others."""
    text = f"{' '.join(map(str, stamp))} {path}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def is_whole(path: Path, stood: float) -> bool:
    """Return whether a file that stood still for so many seconds can be read to its end."""
    try:
        if not path.is_file():  # to open a pipe would wait for who writes to it
            return False
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16))
            if not any(file.read(16)) and stood < STILL_IF_EMPTY:
                return False
        decode(path)
    except (OSError, InputError):
        return False
    return True
