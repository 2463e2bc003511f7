"""Images that came and got no score: what a person should know of them."""

from __future__ import annotations

import threading

MOST = 5
"""So many without a score, one after another, are an alarm; a single one is where the server is
at fault, as where it cannot write a judgement down."""


class Unjudged:
    """Images without a score, one after another; several threads may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images = self._refused = 0
        self._reason = ""
        self._at_fault = False

    @property
    def refused(self) -> int:
        """How many, one after another and up to now, got no judgement at all, not even NG."""
        with self._lock:
            return self._refused

    def judge(self, scored: bool) -> None:
        """Count an image that got a judgement."""
        with self._lock:
            self._images = 0 if scored else self._images + 1
            self._refused, self._reason, self._at_fault = 0, "", False

    def refuse(self, images: int, reason: str, at_fault: bool) -> None:
        """Count images, or a request for some, that got none.

        Args:
            images: how many.
            reason: why.
            at_fault: whether that lies at the server.
        """
        with self._lock:
            self._images += images
            self._refused += images
            if at_fault or not self._at_fault:
                self._reason, self._at_fault = reason, at_fault

    @property
    def alarms(self) -> list[str]:
        """What a person should look at."""
        with self._lock:
            if self._images < MOST and not self._at_fault:
                return []
            last = "last image" if self._images == 1 else f"last {self._images} images"
            why = f": {self._reason}" if self._reason else ""
            return [f"the {last} could not be scored{why}"]
