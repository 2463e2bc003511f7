"""The loop of ``vlmad watch``: judge what comes, tell it, and raise an alarm where nothing can."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

from vlmad_line._lookout import LONGEST_END, LOOK, Lookout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from vlmad_line.endpoints import Arrival, Looking
    from vlmad_line.feed import Feed
    from vlmad_line.judgements import Message
    from vlmad_line.line import Line
    from vlmad_line.station import JudgedImage

TOGETHER = 8
"""Images that are judged together at most."""
STATUS = 60.0
"""Seconds from one status line to the next, if anything has come."""


@dataclass
class KeptWatch:
    """What has come so far.

    Args:
        line: what judges and delivers.
        feeds: what comes.
        show: gets each judgement and alarm when it is written down.
        tell: gets status lines.
    """

    line: Line
    feeds: Sequence[Feed]
    show: Callable[[Message], None]
    tell: Callable[[str], None]
    onlookers: Sequence[Looking] = ()
    answers: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    """Likewise of parts."""
    _one_at_a_time: Lock = field(default_factory=Lock)
    _alarms: SimpleQueue[Message] = field(default_factory=SimpleQueue)
    """Those that are not shown yet, as where showing something else hangs."""

    def __post_init__(self) -> None:
        """Make what looks after the sources; it shows alarms from a thread of its own."""
        self._lookout = Lookout(self.line, self.feeds, self._show_alarm, self.onlookers, self.tell)

    @property
    def stopped(self) -> dict[str, str]:
        """What has stopped, and why, as it was a moment ago."""
        return dict(self._lookout.stopped)

    def run(self, came: Event, stop: Event) -> None:
        """Judge until all sources are done, or `stop` is set.

        What was begun then is judged; what waits is not. Files come again at the next start.
        """
        for feed in self.feeds:
            feed.start()
        try:
            with self._lookout:
                self._judge_all(came, stop)
            self._tell_parts(ended=True)
        finally:
            for feed in self.feeds:
                feed.stop(LONGEST_END)
            for onlooker in self.onlookers:
                onlooker.stop()
        self._lookout.tell_news()
        self._show_alarms()

    def _judge_all(self, came: Event, stop: Event) -> None:
        told, count = time.monotonic(), 0
        while not stop.is_set():
            came.wait(LOOK)
            came.clear()
            over = all(feed.is_done for feed in self.feeds)
            self._lookout.look()
            self._show_alarms()
            while self._judge() and not stop.is_set():
                self._lookout.look()
            if over:
                return
            total = self.answers.total()
            if total > count and time.monotonic() - told >= STATUS:
                told, count = time.monotonic(), total
                self.tell(self.status())

    def _show(self, message: Message) -> None:
        with self._one_at_a_time:
            self.show(message)
        self._show_alarms()

    def _show_alarm(self, alarm: Message) -> None:
        self._alarms.put(alarm)
        self._show_alarms()

    def _show_alarms(self) -> None:
        """Show those that wait, but do not wait for what is shown: more alarms may follow."""
        while not self._alarms.empty() and self._one_at_a_time.acquire(blocking=False):
            try:
                if not self._alarms.empty():
                    self.show(self._alarms.get())
            finally:
                self._one_at_a_time.release()

    def status(self) -> str:
        """Say in a line what has come, and what waits."""
        named = {"OK": "OK", "NG": "NG", "": "without an answer"}
        total = self.answers.total()
        said = [f"{total} image{'s' * (total != 1)}"]
        said += [f"{self.answers[a]} {name}" for a, name in named.items() if self.answers[a]]
        if self.parts:
            of_parts = [f"{self.parts[a]} {name}" for a, name in named.items() if self.parts[a]]
            said.append(f"{self.parts.total()} parts ({', '.join(of_parts)})")
        dropped = sum(feed.dropped for feed in self.feeds)
        said += [f"{dropped} made way for newer ones"] if dropped else []
        for sink in self.line.sinks:
            why = f" ({sink.reason})" if sink.reason else ""
            said += [f"{sink.waiting} wait for {sink.sink}{why}"] if sink.waiting else []
        said += [f"{name} HAS STOPPED" for name in self.stopped]
        return ", ".join(said + [alarm for each in self.onlookers for alarm in each.alarms])

    def _judge(self) -> bool:
        """Judge what has come, some of each source; return whether anything had."""
        share = max(1, TOGETHER // len(self.feeds))
        arrivals = [arrival for feed in self.feeds for arrival in feed.take(share)]
        with self._lookout.judging(bool(arrivals)):
            found = self.line.judge(arrivals) if arrivals else []
            for judged in found:
                self.answers[judged.judgement.answer] += 1
                self._show(judged.judgement)
            self._look_on(arrivals, found)
            self._tell_parts()
        return bool(arrivals)

    def _look_on(self, arrivals: Sequence[Arrival], found: Sequence[JudgedImage]) -> None:
        """Let onlookers see what was judged."""
        for onlooker in self.onlookers:
            for arrival, judged in zip(arrivals, found, strict=True):
                onlooker.see(judged.judgement, arrival.content, judged.product)

    def _tell_parts(self, ended: bool = False) -> None:
        """Show what follows for parts, of those too that have waited too long."""
        for said in self.line.said_of_parts(ended):
            self.parts[said.answer] += 1
            self._show(said)
