"""What was said of the newest image, and what came after it and got no judgement."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 5
"""So many without a score, one after another, are an alarm; a single one is where the server is
at fault, as where it cannot write a judgement down."""


class Newest:
    """Which judgement is that of the newest image, if any is; several threads may tell it.

    A judgement holds only if its image was sent after all that makes former ones doubtful: a
    request that got none, a pause, another product; and not before that of which one holds. So no
    image that waited hides a newer one.

    Args:
        changed: is called when it is another, or none any more.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._lock, self._changed = threading.Lock(), changed
        self._id, self._since, self._sent = "", -math.inf, -math.inf
        self._images = self._refused = 0
        self._reason = ""
        self._at_fault = False

    @property
    def id(self) -> str:
        """Of the judgement; empty if none holds."""
        with self._lock:
            return self._id

    @property
    def refused(self) -> int:
        """How many, one after another and up to now, got no judgement at all, not even NG."""
        with self._lock:
            return self._refused

    def judge(self, said: str, scored: bool, sent: float) -> None:
        """Take the judgement of an image.

        Args:
            said: its `id`.
            scored: whether the image has a score.
            sent: when it began to come, of the monotonic clock.
        """
        with self._lock:
            if not scored:
                self._images += 1
            if sent > self._since:
                self._images = 0 if scored else self._images
                self._refused, self._reason, self._at_fault = 0, "", False
            self._take(said, sent)
        self._changed()

    def show(self, said: str, sent: float) -> None:
        """Take a judgement for what is to be seen, such as the worst view of a part."""
        with self._lock:
            self._take(said, sent)
        self._changed()

    def forget(self) -> None:
        """Let nothing hold that was said of images that were sent before now."""
        with self._lock:
            self._forget()
        self._changed()

    def refuse(self, reason: str, at_fault: bool) -> None:
        """Count a request for judgements that got none.

        Args:
            reason: why.
            at_fault: whether that lies at the server.
        """
        with self._lock:
            self._images += 1
            self._refused += 1
            if at_fault or not self._at_fault:
                self._reason, self._at_fault = reason, at_fault
            self._forget()
        self._changed()

    @property
    def alarms(self) -> list[str]:
        """What a person should look at."""
        with self._lock:
            if self._images < MOST and not self._at_fault:
                return []
            last = "last image" if self._images == 1 else f"last {self._images} images"
            why = f": {self._reason}" if self._reason else ""
            return [f"the {last} could not be scored{why}"]

    def _take(self, said: str, sent: float) -> None:
        if sent > self._since and sent >= self._sent:
            self._id, self._sent = said, sent

    def _forget(self) -> None:
        self._id, self._since = "", time.monotonic()
