"""The mark of a plugin that is being imported: one that stays tells that vlmad ended badly there.

It is a file beside the plugin's entry of the index, so that an edited plugin has none. Whoever
imports holds a lock on it, which ends with the process: a mark that is held is of another vlmad at
work. Where nothing can be kept or locked there are no marks.
"""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAPSES = 24 * 60 * 60.0
"""Seconds after which a plugin is tried again."""


class ImportMark:
    """The mark of one plugin; without a path, none is ever made."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._held: TextIO | None = None

    def stands(self) -> bool:
        """Return whether the last import did not end, since the machine started, within a day."""
        if self.path is None:
            return False
        with suppress(ImportError, OSError, ValueError), self.path.open() as file:
            _lock(file)
            since = time.time() - float(file.read())
            return 0 <= since < min(LAPSES, time.monotonic())
        return False

    @contextmanager
    def standing(self, sound: bool) -> Iterator[None]:
        """Let the mark stand while the plugin is imported, and until threads that it left end.

        Args:
            sound: whether the plugin was imported well before, so that Ctrl-C blames it of nothing.
        """
        before = {*threading.enumerate()}
        self.begin()
        try:
            yield
        except KeyboardInterrupt:
            self.end(well=sound)
            raise
        finally:
            left = [each for each in {*threading.enumerate()} - before if not each.daemon]
            if left:  # Python waits for them before it calls this
                atexit.register(lambda: self.end(well=not any(each.is_alive() for each in left)))
            else:
                self.end()

    def begin(self) -> None:
        """Make the mark, unless another process imports the plugin at this moment."""
        if self.path is None:
            return
        with suppress(ImportError, OSError), ExitStack() as closing:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = closing.enter_context(self.path.open("a"))
            _lock(file)
            file.truncate(0)
            file.write(str(time.time()))
            file.flush()
            closing.pop_all()  # it is kept open: that is the lock
            self._held = file

    def end(self, well: bool = True) -> None:
        """Remove what `begin` made, or leave it where the plugin let nothing come to an end."""
        if self._held is None or self.path is None:
            return
        with suppress(OSError), self._held as file:
            if well:
                file.truncate(0)  # for whoever has opened it by now
                self.path.unlink(missing_ok=True)
        self._held = None


def _lock(file: TextIO) -> None:
    import fcntl  # not on Windows

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
