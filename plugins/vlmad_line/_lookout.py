"""Alarms of ``vlmad watch``: a thread of its own looks after all, whatever the model does."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmad_line.endpoints import Looking
    from vlmad_line.feed import Feed
    from vlmad_line.judgements import Message
    from vlmad_line.line import Line

LOOK = 0.2
"""Seconds from one look to the next."""
STUCK, TIMES = 60.0, 10
"""Seconds, and how many times as long as usual, after which what judges counts as stopped."""
JUDGING = "vlmad"
"""The source of an alarm that nothing is judged."""
LONGEST_END = 3.0
"""Seconds that are waited for a source or the last look to end."""


@dataclass
class Lookout:
    """Raises alarms and takes them back while it is in a ``with`` statement; threads may use it.

    Args:
        line: what writes alarms down and delivers them.
        feeds: what may stop.
        show: gets each alarm when it is written down.
        onlookers: what has alarms of its own.
        tell: is told that judging hangs, before that can be written down: the disk may be why.
        clock: seconds that never go back.
    """

    line: Line
    feeds: Sequence[Feed]
    show: Callable[[Message], None]
    onlookers: Sequence[Looking] = ()
    tell: Callable[[str], None] = lambda text: None
    clock: Callable[[], float] = time.monotonic
    stopped: dict[str, str] = field(default_factory=dict)
    """What has stopped, and why."""
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)
    _fault: Exception | None = None
    _since: float | None = None
    """When what is judged now was begun."""
    _usual: float = 0.0
    """Seconds that it took of late."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._work, name="lookout", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(LONGEST_END)

    @contextmanager
    def judging(self, counts: bool = True) -> Iterator[None]:
        """Know that something is judged and told meanwhile; if that takes too long, it is an alarm.

        Args:
            counts: whether what is usual follows from it.
        """
        self._since = began = self.clock()
        try:
            yield
        finally:
            self._since = None
            if counts:  # one that hung does not make the next that hangs usual
                self._usual = (self._usual + min(STUCK, self.clock() - began)) / 2

    def look(self) -> None:
        """Raise an alarm of what has stopped, or changed, and take it back.

        Raises:
            OutputError: one cannot be written down, also in the thread.
        """
        if self._fault is not None:
            raise self._fault
        with self._turn:
            for feed in self.feeds:
                if self._hear(feed.name, feed.faults(), feed.reason):
                    feed.let_go()
            if (stuck := self._stuck()) and JUDGING not in self.stopped:
                self.tell(stuck)
            self._hear(JUDGING, [], stuck)
            self.tell_news()

    def tell_news(self) -> None:
        """Raise the alarms of onlookers, and take them back.

        Raises:
            OutputError: one cannot be written down.
        """
        for onlooker in self.onlookers:
            for source, state, reason in onlooker.news():
                self.show(self.line.alarm(source, state, reason))

    def _hear(self, name: str, faults: Sequence[str], reason: str) -> bool:
        """Take in how it is; return whether it has stopped just now."""
        new = name not in self.stopped and bool(faults or reason)
        if new:
            self.stopped[name] = first = [*faults, reason][0]
            self.show(self.line.alarm(name, "stopped", first))
        if not reason and name in self.stopped:
            del self.stopped[name]
            self.show(self.line.alarm(name, "back"))
        return new and bool(reason)

    def _stuck(self) -> str:
        since = self._since
        took = 0.0 if since is None else self.clock() - since
        return f"judging has taken {took:.0f} s" if took > max(STUCK, TIMES * self._usual) else ""

    def _work(self) -> None:
        while not self._end.wait(LOOK):
            try:
                self.look()
            except Exception as error:  # the next look raises it where it ends the command
                self._fault = error
                return
