"""What pages are told as it happens: judgements, and how the station is (server-sent events)."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from vlmad_line.judgements import PartJudgement
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vlmad_line.judgements import Judgement
    from vlmad_serve.answers import StationHealth

MOST_LISTENERS, MOST_BEHIND = 32, 100
BEAT, LEAST = 2.0, 0.05
"""Seconds between two beats, by which a page knows how the station is: at most, and at least where
much happens."""


class Events:
    """Who follows, and what they are told; any thread may tell.

    Args:
        health: how the station is. Where it does not return, no beat comes: an alarm on each page.
    """

    def __init__(self, health: Callable[[], StationHealth]) -> None:
        self._health, self._lock = health, threading.Lock()
        self._listeners: dict[asyncio.Queue[bytes | None], asyncio.AbstractEventLoop] = {}
        self._stopping, self._due = threading.Event(), threading.Event()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    @property
    def listeners(self) -> int:
        """How many follow."""
        with self._lock:
            return len(self._listeners)

    def tell(self, said: Judgement | PartJudgement) -> None:
        """Tell everyone what was said of an image, or of a part."""
        self._put("part" if isinstance(said, PartJudgement) else "judgement", said.to_json(None))

    def beat_soon(self) -> None:
        """Tell everyone how the station is, as it has changed."""
        self._due.set()

    def stop(self) -> None:
        """End the streams of all who follow."""
        self._stopping.set()
        self._due.set()
        self._put_all(None)

    def listen(self, allowed: Callable[[], bool] = lambda: True) -> AsyncIterator[bytes]:
        """Return what is told from now on, until the server stops.

        Args:
            allowed: whether whoever listens still may.

        Raises:
            Refusal: too many listen.
        """
        if self.listeners >= MOST_LISTENERS:
            remedy = "close pages that are not looked at, and ask again"
            raise Refusal(429, f"{MOST_LISTENERS} follow already", remedy, int(BEAT))
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_BEHIND)
        with self._lock:
            self._listeners[queue] = asyncio.get_running_loop()
        self.beat_soon()
        return self._follow(queue, allowed)

    async def _follow(
        self, queue: asyncio.Queue[bytes | None], allowed: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        try:
            yield b"retry: 1000\n\n"
            while not self._stopping.is_set():
                told = await queue.get()
                if told is None or not allowed():
                    return
                yield told
        finally:
            with self._lock:
                self._listeners.pop(queue, None)

    def _beat(self) -> None:
        while not self._stopping.wait(LEAST):
            self._due.wait(BEAT)
            self._due.clear()
            if self.listeners:
                with suppress(Exception):  # without a beat each page says that it hears nothing
                    self._put("beat", self._health().to_json(None))

    def _put(self, kind: str, content: bytes) -> None:
        self._put_all(b"event: %b\ndata: %b\n" % (kind.encode(), content))

    def _put_all(self, told: bytes | None) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            loop.call_soon_threadsafe(_put, queue, told)


def _put(queue: asyncio.Queue[bytes | None], told: bytes | None) -> None:
    """Tell one; who is too far behind misses the oldest, and finds it in the history."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(told)
