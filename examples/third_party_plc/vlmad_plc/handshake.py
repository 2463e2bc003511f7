"""One part after another: the PLC's trigger, its image, the judgement, and the answer.

Nothing but a judgement of OK, of the image of this very trigger and in time, is answered with OK.
The heart says that whoever takes the images moves on, not that the detector does: one that hangs
is a part that got no judgement in time.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from vlmad.errors import VlmadError
from vlmad_line.endpoints import Arrival

from vlmad_plc.registers import Fault, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from vlmad_line.judgements import Judgement

    from vlmad_plc.images import Images
    from vlmad_plc.registers import Registers, Signals

Returned = TypeVar("Returned")
Steps: TypeAlias = Generator[Arrival | None, None, Returned]
"""Yields an image to be judged, or None to say that it lives."""

POLL, BEAT = 0.02, 0.2
"""Seconds between two looks at the PLC, and between two beats of the heart where all stays."""


class Handshake:
    """Answers a PLC; `State` names what it says meanwhile.

    Args:
        plc: its registers.
        images: where the images of its parts come from.
        limit: in how many seconds after a trigger the answer is given; `NG` if there is none.
        quiet: how many seconds nothing may come, at the start and after a part without an image,
            before the next may be triggered.
        stop: is set when the line stops.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        plc: Registers,
        images: Images,
        limit: float,
        quiet: float,
        stop: Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plc, self._images, self._stop, self._clock = plc, images, stop, clock
        self._limit, self._quiet = limit, quiet
        self._said = (State.OFF, 0, Verdict.NONE, Fault.NONE)
        self._beaten = 0.0
        self._open: int | None = None
        """The part that was asked for and is not answered."""

    def run(self) -> Steps[None]:
        """Yield the image of each part, and None meanwhile, until the line stops.

        What was before is not known, such as a part whose answer was broken off; its image may
        come still.
        """
        try:
            first = self._plc.read()
            if first.trigger:
                self._say(State.ANSWERED, first.part, Verdict.NG, Fault.NOT_THERE)
                yield from self._until_released(first.part)
            yield from self._until_quiet()
            while not self._stop.is_set():
                yield from self._answer_next()
        finally:
            with suppress(VlmadError):  # the PLC may be what has gone
                self._leave()

    def _answer_next(self) -> Steps[None]:
        """Wait for a part, answer, and wait until the PLC has heard it."""
        signals = yield from self._until_triggered()
        if signals is None:
            return
        self._open = signals.part
        self._say(State.BUSY, signals.part)
        verdict, fault = yield from self._judged(signals.part)
        if self._open is not None and not self._stop.is_set():
            self._say(State.ANSWERED, signals.part, verdict, fault)
            self._open = None
            yield from self._until_released(signals.part)
        if fault is Fault.NO_IMAGE:
            yield from self._until_quiet()

    def _until_triggered(self) -> Steps[Signals | None]:
        """Wait for a trigger and return it; None if the line stops."""
        self._images.look()
        while not self._stop.is_set():
            self._images.forget()
            self._say(State.READY)
            self._images.look()
            signals = self._plc.read()
            if signals.trigger:
                self._images.begin()
                return signals  # what the last look saw may have come after the trigger
            yield from self._pause()
        return None

    def _judged(self, part: int) -> Steps[tuple[Verdict, Fault]]:
        """Bring the image of a part to be judged; return the answer."""
        until = self._clock() + self._limit
        answers: SimpleQueue[Judgement] = SimpleQueue()
        unchanged: Callable[[], bool] | None = None
        while self._clock() < until and self._is_wanted(part):
            if unchanged is not None:
                with suppress(Empty):
                    return _answer_to(answers.get_nowait(), unchanged())
            elif (taken := self._images.take()) is not None:
                image, unchanged = taken
                yield replace(image, judged=answers.put)
                continue  # judging may have taken long
            yield from self._pause()
        return Verdict.NG, Fault.NO_IMAGE if unchanged is None else Fault.TOO_LATE

    def _is_wanted(self, part: int) -> bool:
        """Return whether the PLC still waits for the answer on this part."""
        self._say(State.BUSY, part)
        signals = self._plc.read()
        if not signals.trigger or signals.part != part:
            self._open = None
        return self._open is not None and not self._stop.is_set()

    def _until_released(self, part: int) -> Steps[None]:
        """Leave the answer where it is until the PLC takes its trigger back, or asks anew."""
        while not self._stop.is_set():
            self._say(*self._said)
            signals = self._plc.read()
            if not signals.trigger or signals.part != part:
                return
            yield from self._pause()

    def _until_quiet(self) -> Steps[None]:
        """Wait for an image that comes too late, which would be taken for that of the next part."""
        since = self._clock()
        while self._clock() - since < self._quiet and not self._stop.is_set():
            self._say(*self._said)
            self._images.look()
            if self._images.forget():
                since = self._clock()
            yield from self._pause()

    def _leave(self) -> None:
        """Say that nobody is there; a part that waits is not good."""
        if self._open is None:
            self._say(State.OFF)
        else:
            self._say(State.OFF, self._open, Verdict.NG, Fault.STOPPED)

    def _say(
        self,
        state: State,
        part: int = 0,
        verdict: Verdict = Verdict.NONE,
        fault: Fault = Fault.NONE,
    ) -> None:
        """Write what is new, and where nothing is a beat of the heart now and then."""
        said, now = (state, part, verdict, fault), self._clock()
        if said != self._said or now - self._beaten >= BEAT:
            self._plc.write(*said)
            self._said, self._beaten = said, now

    def _pause(self) -> Steps[None]:
        yield None
        self._stop.wait(POLL)


def _answer_to(judgement: Judgement, unchanged: bool) -> tuple[Verdict, Fault]:
    """Return what the PLC is told: OK, or NG and why."""
    if judgement.score is None or not unchanged:
        return Verdict.NG, Fault.NOT_SCORED
    if judgement.answer == "OK":
        return Verdict.OK, Fault.NONE
    return Verdict.NG, Fault.NONE if judgement.answer == "NG" else Fault.NO_THRESHOLD
