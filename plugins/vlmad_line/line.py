"""A line: judge what comes, write it down, and take it to every sink."""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from vlmad.errors import OutputError, shown
from vlmad_line._run_sink import waiting_row
from vlmad_line.delivery import Delivery
from vlmad_line.judgements import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_line.delivery import DeliveryState
    from vlmad_line.endpoints import Arrival, WaitingRow
    from vlmad_line.judgements import AlarmState, PartJudgement
    from vlmad_line.ledger import Ledger
    from vlmad_line.line_parts import LineParts
    from vlmad_line.sinks import OpenSink
    from vlmad_line.station import JudgedImage, Station

UNSHOWN = 10_000
"""Judgements of parts that `said_of_parts` returns at most; all are in the ledger."""
FAREWELL = 20.0
"""Seconds at the end for what still waits to be delivered; what is not, stays in the ledger."""


class Line:
    """A station, a ledger and sinks; use it in a ``with`` statement.

    One thread judges at a time where parts are; otherwise several may, as may raise alarms.

    Args:
        station: what judges.
        ledger: where it is written down before anyone hears it.
        sinks: where it goes.
        tell: gets a line when a sink begins to fail, and when it takes what is said again.
        parts: makes judgements of parts from those of their images, if parts are judged.
    """

    def __init__(
        self,
        station: Station,
        ledger: Ledger,
        sinks: Sequence[OpenSink] = (),
        tell: Callable[[str], None] = lambda text: None,
        parts: LineParts | None = None,
    ) -> None:
        self.station, self.ledger, self._parts = station, ledger, parts
        self._of_parts: deque[PartJudgement] = deque(maxlen=UNSHOWN)
        self._sinks, self._tell = sinks, tell
        self._deliveries: list[Delivery] = []
        self._until: float | None = None
        """When nothing more is delivered, once there was a farewell."""

    def __enter__(self) -> Self:
        """Open the ledger and begin to deliver what it holds."""
        with ExitStack() as stack:
            stack.enter_context(self.ledger)
            for sink in self._sinks:
                delivery = Delivery(sink.name, sink.deliver, self.ledger, self._tell)
                self._deliveries.append(delivery)
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what can be delivered soon, and close the ledger."""
        with self._held:
            self.farewell()

    def farewell(self) -> None:
        """Deliver what can be delivered soon, and nothing after that; once more waits no longer."""
        self._until = self._until or time.monotonic() + FAREWELL
        for delivery in self._deliveries:
            delivery.stop(self._until)

    @property
    def sinks(self) -> list[DeliveryState]:
        """How each sink is doing."""
        return [delivery.state for delivery in self._deliveries]

    def judge(self, arrivals: Sequence[Arrival], product: str | None = None) -> list[JudgedImage]:
        """Judge images, write it down, and tell whoever brought one; see `Station.judge`.

        Raises:
            OutputError: it cannot be written down; then nobody was told that an image is OK.
        """
        judged = self.station.judge(arrivals, product)
        if self._parts:
            judged = [replace(j, judgement=self._parts.named(j.judgement)) for j in judged]
        keys = [(each.source, each.key) for each in arrivals if each.key]
        of_images = [each.judgement for each in judged]
        of_parts = self._parts.take(of_images) if self._parts else []
        self.ledger.write([*of_images, *of_parts], keys, self._rows(arrivals, judged))
        self._of_parts += of_parts
        for arrival, said in zip(arrivals, judged, strict=True):
            if arrival.judged is not None:
                try:
                    arrival.judged(said.judgement)
                except Exception as error:  # of whoever waits; the judgement stands
                    self._tell(f"{arrival.source or arrival.name} was not told: {shown(error)}")
        with suppress(OutputError):  # what was told stands; the next one to be kept says it
            self.ledger.trim()
        return judged

    def _rows(
        self, arrivals: Sequence[Arrival], judged: Sequence[JudgedImage]
    ) -> dict[str, WaitingRow]:
        """Return what run folders are to have of the files among images, if a sink takes it.

        One that was scored and could not be judged is left out: so could its row not be made.
        """
        if not any(sink.takes_rows for sink in self._sinks):
            return {}
        return {
            each.judgement.id: waiting_row(each.product, each.result)
            for arrival, each in zip(arrivals, judged, strict=True)
            if each.result and each.product and each.result.name == str(arrival.content)
            if each.map is not None or each.result.map is None
        }

    def said_of_parts(self, ended: bool = False) -> list[PartJudgement]:
        """Return what was said of parts since the last call, with those that waited too long.

        Args:
            ended: whether no more views will come, so that no part need wait.

        Raises:
            OutputError: it cannot be written down.
        """
        if self._parts is None:
            return []
        late = self._parts.finish() if ended else self._parts.overdue()
        if late:
            self.ledger.write(late)
        said = [*self._of_parts, *late]
        self._of_parts.clear()
        return said

    def alarm(self, source: str, state: AlarmState, reason: str = "") -> Alarm:
        """Write down and deliver that a source has stopped, images have changed, or that is over.

        Raises:
            OutputError: it cannot be written down.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        alarm = Alarm(id=uuid.uuid4().hex, at=at, source=source, state=state, reason=shown(reason))
        self.ledger.write([alarm])
        return alarm
