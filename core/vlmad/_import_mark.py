"""The mark of a plugin that is being imported: one that stays tells that vlmad ended badly there.

It is a file beside the plugin's entry of the index, so that an edited plugin has none. Whoever
imports holds a lock on it, which ends with the process: a mark that is held is of another vlmad at
work. Where nothing can be kept or locked there are no marks.
"""

from __future__ import annotations

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
        """Let the mark stand meanwhile, unless another process imports the plugin at this moment.

        Args:
            sound: whether the plugin was imported well before, so that Ctrl-C blames it of nothing.
        """
        file, ended = self._made(), True
        try:
            yield
        except KeyboardInterrupt:
            ended = sound
            raise
        finally:
            if file is not None and self.path is not None:
                with suppress(OSError), file:
                    if ended:
                        file.truncate(0)  # for whoever has opened it by now
                        self.path.unlink(missing_ok=True)

    def _made(self) -> TextIO | None:
        """Make the mark and return it open, for that is the lock; None if it cannot be had."""
        if self.path is None:
            return None
        with suppress(ImportError, OSError), ExitStack() as closing:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = closing.enter_context(self.path.open("a"))
            _lock(file)
            file.truncate(0)
            file.write(str(time.time()))
            file.flush()
            closing.pop_all()
            return file
        return None


def _lock(file: TextIO) -> None:
    import fcntl  # not on Windows

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
