"""Taking what a ledger holds to a sink, in a thread of its own, for as long as it takes."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.errors import shown
from vlmad_line.endpoints import TakesRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_line.judgements import Message
    from vlmad_line.ledger import Ledger

TOGETHER = 100
"""Messages of one delivery at most; those of one that failed are then delivered one by one."""
HANGS = 30.0
"""Seconds after which a delivery that has not ended counts as failed."""
FIRST, LONGEST = 0.5, 60.0
"""Seconds of the first pause after a delivery that failed, and of the longest."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How a sink is doing."""

    sink: str
    waiting: int
    """Messages that it does not have yet."""
    reason: str
    """Why the last delivery failed, or that it does not end; empty otherwise."""


class Delivery:
    """Delivers to one sink what it does not have, in order, until it is stopped.

    Args:
        sink: under which name the ledger knows it.
        deliver: what the sink's part returned.
        ledger: the ledger.
        tell: is called when deliveries begin to fail, and when they go on, and if the ledger no
            longer keeps what the sink does not have.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        sink: str,
        deliver: Callable[[Sequence[Message]], None],
        ledger: Ledger,
        tell: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sink, self._deliver, self._ledger, self._tell = sink, deliver, ledger, tell
        self._clock = clock
        self._since: float | None = None
        """When a delivery that has not ended began."""
        self._failures, self._reason = 0, ""
        self._stopping = threading.Event()
        self._singly = 0
        """How many messages are still delivered one by one: as many as the failed delivery had."""
        self._takes_rows = isinstance(deliver, TakesRows)
        lost = ledger.join(sink, self._takes_rows)
        if lost:
            tell(f"{lost} messages for {sink} are no longer kept: it was left out meanwhile")
        self._thread = threading.Thread(target=self._work, name=f"to {sink}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> DeliveryState:
        """How the sink is doing now."""
        since, now = self._since, self._clock()
        took = 0.0 if since is None else now - since
        reason = f"a delivery has not ended for {took:.0f} s" if took > HANGS else self._reason
        return DeliveryState(self.sink, self._ledger.waiting(self.sink), reason)

    def stop(self, until: float) -> None:
        """Deliver what waits, if it can be delivered, and stop; wait for it until a moment.

        What could not be delivered stays in the ledger. `until` is of `time.monotonic`.
        """
        self._stopping.set()
        self._ledger.wake()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        goes_on = True
        while goes_on:
            try:
                goes_on = self._step()
            except Exception as error:  # of the other side, a plugin or the disk: it is tried again
                goes_on = self._fail(error)
        if isinstance(self._deliver, TakesRows):
            try:
                self._deliver.close()
            except Exception as error:  # likewise
                self._tell(f"{self.sink} is not whole: {shown(error) or type(error).__name__}")

    def _step(self) -> bool:
        """Deliver something or wait for it; return whether there may be more to do."""
        last = self._stopping.is_set()  # asked first: what was said before the stop is seen below
        singly = self._singly or self._takes_rows
        entries = self._ledger.missing(self.sink, 1 if singly else TOGETHER)
        if not entries:
            if not last:
                self._ledger.wait(self.sink, self._stopping)
            return not last
        before, self._singly = self._singly, max(self._singly, len(entries))  # should it fail
        self._since = self._clock()
        try:
            self._hand_over(entries)
        finally:
            self._since = None
        self._singly = max(0, before - 1)
        self._ledger.has(self.sink, entries[-1][0])
        if self._failures:
            self._tell(f"{self.sink} takes what is said again")
        self._failures, self._reason = 0, ""
        return True

    def _hand_over(self, entries: Sequence[tuple[int, Message]]) -> None:
        """Give the sink what was said, or of one that takes rows the row that waits with it."""
        if not isinstance(self._deliver, TakesRows):
            self._deliver([message for _, message in entries])
        elif (row := self._ledger.row(entries[-1][0])) is not None:
            self._deliver.take_row(row)

    def _fail(self, error: Exception) -> bool:
        """Note why it failed and wait; return whether to try again."""
        self._reason = shown(error) or type(error).__name__
        self._failures += 1
        if self._failures == 1 and not self._stopping.is_set():
            kept = "what is said is kept until then"
            self._tell(f"{self.sink} takes nothing for now, {kept}: {self._reason}")
        return not self._stopping.wait(pause(self._failures))


def pause(failures: int) -> float:
    """Return how long to wait after so many failures: twice as long each time, and by chance.

    So many lines that lost one receiver do not all come back at the same moment.
    """
    longest = min(LONGEST, FIRST * 2.0 ** min(failures - 1, 30))
    return random.uniform(longest / 2, longest)
