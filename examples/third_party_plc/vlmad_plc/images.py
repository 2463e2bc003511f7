"""Where the image of a part comes from: the one new file of a folder, or any other source."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from vlmad.errors import InputError
from vlmad_line.endpoints import Arrival, KeepsComing
from vlmad_line.sinks import without_password
from vlmad_line.watched_folder import is_whole
from vlmad_run.kinds import finder_for
from vlmad_run.walking import is_readable

if TYPE_CHECKING:
    from collections.abc import Callable

SKIPPED = 1
"""Frames of a camera that are let go after a trigger, where nobody says: their exposure may have
begun before."""


Files: TypeAlias = dict[Path, tuple[int, int]]
"""Size and time of change of each."""


class Images(Protocol):
    """Gives the image that belongs to a trigger; used in a ``with`` statement."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def look(self) -> None:
        """See what is there."""

    def forget(self) -> bool:
        """Let all that the last look saw be of no part to come; return whether any was new."""

    def begin(self) -> None:
        """Know that a part was triggered."""

    def take(self) -> tuple[Arrival, Callable[[], bool]] | None:
        """Return a whole image that came since, and what tells whether it is the one of its part.

        It is not if it has changed, or another came as well.

        Raises:
            InputError: there will be none: the folder or the camera has gone.
        """


def open_images(argument: str, skipped: int | None = None) -> Images:
    """Return where images come from: a folder, or what a source keeps bringing.

    Args:
        argument: names it.
        skipped: how many frames of a source are let go after a trigger; `SKIPPED` by default.

    Raises:
        InputError: nothing keeps coming from there, or files are to be skipped.
    """
    found = finder_for(argument)
    if found is None:
        if skipped is not None:
            raise InputError(f"{argument}: skip= is for cameras; of a folder each file counts")
        return FolderImages(Path(argument))
    if not isinstance(found, KeepsComing):
        raise InputError(f"{without_password(argument)}: no images keep coming from there")
    return SourceImages(found, argument, SKIPPED if skipped is None else skipped)


class FolderImages:
    """The one image file that is new in a folder, under a name or with content of its own."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self._clock = folder, clock
        self._old: Files = {}
        self._seen: Files = {}
        self._newest: Files = {}
        self._since = 0.0
        """When the newest was first seen as it is."""

    def __enter__(self) -> Self:
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def look(self) -> None:
        """See which files are there."""
        self._seen = self._files()

    def forget(self) -> bool:
        """Let all files that were seen be old."""
        new = self._new(self._seen)
        self._old = self._seen or self._old  # where all is gone, a disk may be away: it comes back
        return bool(new)

    def begin(self) -> None:
        """Go on: what the last look saw may have come after the trigger."""

    def take(self) -> tuple[Arrival, Callable[[], bool]] | None:
        """Return the newest file that is new, stands still and can be read to its end.

        One that ends in zeros may have got its room before its content, and is given a second.
        """
        self.look()
        new = self._new(self._seen)
        if not new:
            return None
        path = max(new, key=lambda path: new[path][1])
        facts, now = new[path], self._clock()
        only = {path: facts}
        if self._newest != only:
            self._newest, self._since = only, now
            return None
        if not is_whole(path, now - self._since):
            return None
        name = f"{path} of {facts[1]}"  # a file may be written over
        arrival = Arrival(name, path, time.time(), stamp=facts)
        return arrival, lambda: self._new(self._files()) == only

    def _new(self, files: Files) -> Files:
        return {path: facts for path, facts in files.items() if self._old.get(path) != facts}

    def _files(self) -> Files:
        """Return size and time of each image file."""
        found = {}
        try:
            for path in self.folder.iterdir():
                if is_readable(path.name) and not path.name.startswith("."):
                    with suppress(FileNotFoundError):  # it went meanwhile, or is a link to nothing
                        status = path.stat()
                        found[path] = status.st_size, status.st_mtime_ns
            os.scandir(self.folder).close()  # else all may have gone with it
        except OSError as error:
            raise InputError(f"{self.folder}: {error.strerror or error}") from error
        return found


class SourceImages:
    """The first frames of a source after a trigger; a thread lets all others go."""

    def __init__(self, source: KeepsComing, argument: str, skipped: int = SKIPPED) -> None:
        self._source, self._argument, self._skipped = source, argument, skipped
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._left = skipped
        self._taken: Arrival | None = None
        self._ended = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2)

    def look(self) -> None:
        """Fail if there will be no more frames."""
        self.take()

    def forget(self) -> bool:
        """Let go of what has come so far, and of the next frames; none is ever late."""
        self.begin()
        return False

    def begin(self) -> None:
        """Count the frames that are let go from now on."""
        with self._lock:
            self._left, self._taken = self._skipped, None

    def take(self) -> tuple[Arrival, Callable[[], bool]] | None:
        """Return the frame that came."""
        with self._lock:
            if self._ended:
                raise InputError(self._ended)
            return None if self._taken is None else (self._taken, lambda: True)

    def _drain(self) -> None:
        reason = "it came to its end"
        try:
            for arrival in self._source.arrivals(self._argument, self._stop):
                with self._lock:
                    if arrival is not None and self._taken is None:
                        self._left -= 1
                        self._taken = arrival if self._left < 0 else None
        except Exception as error:  # whatever a source raises ends it
            reason = str(error)
        shown = without_password(self._argument)
        with self._lock:
            self._ended = f"no more images from {shown}: {reason.replace(self._argument, shown)}"
