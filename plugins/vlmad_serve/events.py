"""Judgements as they are made, for pages that show them: server-sent events."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from vlmad_line.judgements import PartJudgement
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vlmad_line.judgements import Judgement

MOST_LISTENERS, MOST_BEHIND = 32, 100
BEAT = 2.0
"""Seconds between two signs of life, by which a page knows that it is still told."""


class Events:
    """Who follows, and what they are told; any thread may tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[bytes | None], asyncio.AbstractEventLoop] = {}
        self._stopping = False

    @property
    def listeners(self) -> int:
        """How many follow."""
        with self._lock:
            return len(self._listeners)

    def tell(self, said: Judgement | PartJudgement) -> None:
        """Tell everyone what was said of an image, or of a part."""
        kind = b"part" if isinstance(said, PartJudgement) else b"judgement"
        self._put(b"event: %b\ndata: %b\n" % (kind, said.to_json(indent=None)))

    def stop(self) -> None:
        """End the streams of all who follow."""
        self._stopping = True
        self._put(None)

    def listen(self) -> AsyncIterator[bytes]:
        """Return what is told from now on, until the server stops.

        Raises:
            Refusal: too many listen.
        """
        if self.listeners >= MOST_LISTENERS:
            remedy = "close pages that are not looked at, and ask again"
            raise Refusal(429, f"{MOST_LISTENERS} follow already", remedy, int(BEAT))
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_BEHIND)
        with self._lock:
            self._listeners[queue] = asyncio.get_running_loop()
        return self._follow(queue)

    async def _follow(self, queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        try:
            yield b"retry: 1000\n\n"
            while not self._stopping:
                try:
                    told = await asyncio.wait_for(queue.get(), BEAT)
                except TimeoutError:
                    told = b"event: beat\ndata: {}\n\n"
                if told is None:
                    return
                yield told
        finally:
            with self._lock:
                self._listeners.pop(queue, None)

    def _put(self, told: bytes | None) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            loop.call_soon_threadsafe(_put, queue, told)


def _put(queue: asyncio.Queue[bytes | None], told: bytes | None) -> None:
    """Tell one; who is too far behind misses the oldest, and finds it in the history."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(told)
