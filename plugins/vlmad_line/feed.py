"""A source that is asked for images in a thread of its own, and asked again when it fails."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import shown
from vlmad_line.delivery import pause
from vlmad_line.sinks import without_password

if TYPE_CHECKING:
    from vlmad_line.endpoints import Arrival, KeepsComing

SILENT = 10.0
"""Seconds without a sign of life after which a source counts as stopped."""
WORKS = 3.0
"""Seconds after which a source that failed works again, though no image has come."""
WAITING = 1000
"""Files of a source that wait to be judged; it is not asked for more until there are fewer."""
IN_MEMORY = 8
"""Likewise of images that lie in memory, such as the frames of a film."""
ROOM = 0.02
"""Seconds from one look for room to the next."""


class Feed:
    """Images of one source, as they come.

    Args:
        source: what they come from.
        argument: what the user named.
        newest: whether only the newest counts, so that one which waits makes way for the next.
        came: is set whenever an image has come, or the source has stopped.
        silent: seconds without a sign of life after which it counts as stopped.
    """

    def __init__(
        self,
        source: KeepsComing,
        argument: str,
        newest: bool,
        came: threading.Event,
        silent: float = SILENT,
    ) -> None:
        self._came = came
        self._argument, self.name = argument, without_password(argument)
        self._source, self._newest, self._silent = source, newest, silent
        self.dropped = 0
        """Images that made way for newer ones."""
        self.fault = ""
        """Why it has stopped; empty while it has not."""
        self._faults: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.is_done = False
        """Whether there will never be another image."""
        self._images: queue.Queue[Arrival] = queue.Queue()
        self._sign, self._failures = time.monotonic(), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._sign = time.monotonic()
        self._thread.start()

    def stop(self, within: float) -> None:
        """Ask no more, and wait for the source to end, but not longer."""
        self._stop.set()
        self._thread.join(within)

    def take(self, most: int) -> list[Arrival]:
        """Return images that have come, the first ones first."""
        found: list[Arrival] = []
        while len(found) < most:
            try:
                found.append(self._images.get_nowait())
            except queue.Empty:
                break
        return found

    def faults(self) -> list[str]:
        """Return why it has stopped since the last call, also where it is back since."""
        return [self._faults.get() for _ in range(self._faults.qsize())]

    def let_go(self) -> None:
        """Forget what waits of a source whose newest image counts: it is of before it stopped."""
        if self._newest:
            self.dropped += len(self.take(1))

    @property
    def reason(self) -> str:
        """Why it counts as stopped now; empty if it does not."""
        return self.fault or ("" if self.is_done else self._silence())

    def _silence(self) -> str:
        silent = time.monotonic() - self._sign
        return f"no sign of life for {silent:.0f} s" if silent > self._silent else ""

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._ask()
                if not self._stop.is_set():
                    self.is_done, self.fault = True, ""
                self._came.set()
                return
            except Exception as error:  # whatever it raises is an alarm, and it is asked again
                self._failures += 1
                said = str(error).replace(self._argument, self.name)
                self.fault = shown(said) or type(error).__name__
                self._faults.put(self.fault)
                self._came.set()
                self._stop.wait(pause(self._failures))

    def _ask(self) -> None:
        """Take what comes until there is no more."""
        began = time.monotonic()
        for arrival in self._source.arrivals(self._argument, self._stop):
            if not self.fault and (silence := self._silence()):
                self._faults.put(silence)
            self._sign = time.monotonic()
            if arrival is not None or self._sign - began >= WORKS:
                self._failures, self.fault = 0, ""
            if arrival is not None:
                self._put(arrival)

    def _put(self, arrival: Arrival) -> None:
        most = WAITING if isinstance(arrival.content, Path) else IN_MEMORY
        while self._images.qsize() >= (1 if self._newest else most):
            self._sign = time.monotonic()  # it lives, and waits for the model
            if self._newest:
                self.dropped += len(self.take(1))
            elif self._stop.wait(ROOM):
                return
        self._images.put(arrival)
        self._came.set()
