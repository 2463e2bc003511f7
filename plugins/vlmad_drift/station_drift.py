"""What is judged at a station, watched for drift: one watch for each product.

Nothing of it holds up a judgement: a thread of its own takes what was said, measures an image now
and then, and leaves out what comes too quickly. What is left out says nothing of the images, so
that what was promised of false alarms holds for those that are seen. That is so, too, of what was
seen and not yet written when a process was killed: it is as if it had been left out.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from vlmad.errors import VlmadError, reason_of
from vlmad_drift._product_watch import ProductWatch, statistics
from vlmad_drift.drift_documents import StationDriftReport
from vlmad_drift.stored_drift import DriftFile, StoredWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL.Image import Image

    from vlmad_line.endpoints import News
    from vlmad_line.judgements import AlarmState, Judgement
    from vlmad_line.line_products import LineProduct

EVERY = 1.0
"""Seconds between two images that are measured; of the others only the score is watched."""
KEEP = 10.0
"""Seconds after which what was seen is written; an alarm is written at once."""
MOST_WAITING = 64
UNWATCHED = "unknown"
"""As what images are judged that show none of several products."""
OTHER = "another detector judges since then"


class Watched(NamedTuple):
    """What a watch is of; see `StoredWatch`."""

    station: str
    picked: str


class StationDrift:
    """Watches what is judged at a station; several threads may use it. See `Looking`.

    Args:
        ledger: beside which it keeps what it saw; without one that is gone with the process.
        products: of the station, with which it goes on where it was.
        tell: is called when there is news, by the thread that watches.
    """

    def __init__(
        self,
        ledger: Path | None = None,
        products: Mapping[str, LineProduct] | None = None,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._call = tell
        self._watches: dict[Watched, ProductWatch] = {}
        self._stored: dict[Watched, StoredWatch] = {}
        """What is in the file and not watched, at least not yet."""
        self._measured: dict[Watched, float] = {}
        self._turn, self._waiting = threading.Lock(), threading.BoundedSemaphore(MOST_WAITING)
        self._pool = ThreadPoolExecutor(1, "drift")
        self._news: SimpleQueue[News] = SimpleQueue()
        self._fault = self._unwritten = ""
        """Of the second, why what was seen is not written, until it is."""
        self._file = DriftFile(ledger) if ledger else None
        self._written = time.monotonic()
        self._resume(products or {})

    def see(self, said: Judgement, image: Path | Image | None, product: LineProduct | None) -> None:
        """Take a judgement soon; of an image that was not scored there is nothing to take.

        Args:
            said: the judgement.
            image: the image, or its file, which may be gone by then.
            product: what judged it. Another detector is watched anew; of several products in one
                file each is watched by itself.
        """
        if said.score is None or said.product == UNWATCHED or product is None:
            return
        if not self._waiting.acquire(blocking=False):
            return
        place, moment = Watched(product.name, said.product), time.monotonic()
        if moment - self._measured.get(place, -EVERY) >= EVERY:
            self._measured[place] = moment
        else:
            image = None
        try:
            self._pool.submit(self._take, said, image, product)
        except RuntimeError:  # it was stopped
            self._waiting.release()

    def begin_anew(self, name: str, because: str) -> bool:
        """Begin anew with a product, as after its lamp was exchanged; tell whether there is one.

        Raises:
            OutputError: that cannot be written down; it is begun anew all the same.
        """
        with self._turn:
            found = [
                place for place, each in self._watches.items()
                if name in (place.station, each.kept.name)
            ]  # fmt: skip
            for place in found:
                self._end(place, self._watches[place].kept.anew(f"begun anew by {because}"))
        if found:
            self._write()
        return bool(found)

    def stop(self) -> None:
        """Take what waits, write it down, and return."""
        self._pool.shutdown()
        with suppress(VlmadError):  # it stands in the report
            self._write()

    def news(self) -> list[News]:
        """Return which alarms have begun or ended since the last call."""
        found: list[News] = []
        with suppress(Empty):
            while True:
                found.append(self._news.get_nowait())
        return found

    def report(self) -> StationDriftReport:
        """Return what was found so far."""
        with self._turn:
            found = {each.kept.name: each.told() for _, each in sorted(self._watches.items())}
        return StationDriftReport(products=found, fault=self._unwritten or self._fault)

    @property
    def changed(self) -> dict[str, str]:
        """The products with an alarm, and its sentence."""
        with self._turn:
            found = [each for _, each in sorted(self._watches.items())]
            return {each.kept.name: each.alarm for each in found if each.alarm}

    @property
    def alarms(self) -> list[str]:
        """What a person should look at."""
        told = [f"'{name}': {alarm}" for name, alarm in self.changed.items()]
        told += [self._file.alarm] if self._file and self._file.alarm else []
        fault = self._unwritten or self._fault
        return told + ([f"drift is not watched: {fault}"] if fault else [])

    def _resume(self, products: Mapping[str, LineProduct]) -> None:
        """Go on with what is kept of products that are judged as they were then."""
        if self._file is None:
            return
        try:
            for each in self._file.read():
                self._take_up(each, products.get(each.station))
        except Exception as error:  # whatever is in the file, images are judged
            self._watches, self._stored = {}, {}
            self._file.give_up(_why(error))
            with suppress(VlmadError):  # it stands in the report
                self._write()

    def _take_up(self, kept: StoredWatch, product: LineProduct | None) -> None:
        place = Watched(kept.station, kept.picked)
        if kept.state is None or product is None or kept.scoring != product.scoring:
            self._hold(place, kept)
            return
        own = self._watches[place] = ProductWatch.go_on(kept, kept.state)
        if own.alarm:
            self._tell(kept, "changed", own.alarm)

    def _take(self, said: Judgement, image: Path | Image | None, product: LineProduct) -> None:
        try:
            raised = self._seen(said, image, product)
            if raised or time.monotonic() - self._written >= KEEP:
                try:
                    self._write()
                finally:
                    self._call()
            self._fault = ""
        except Exception as error:  # a fault here must not end the watching of all that follows
            self._fault = _why(error)
        finally:
            self._waiting.release()

    def _seen(self, said: Judgement, image: Path | Image | None, product: LineProduct) -> bool:
        assert said.score is not None
        place = Watched(product.name, said.product)
        with self._turn:
            known, stored = self._watches.get(place), self._stored.get(place)
        own = known
        if own is None or own.kept.scoring != product.scoring:
            own = self._begun(place, product, known.kept if known else stored)
        values = {"score": said.score} | statistics(image, product.reading)
        with self._turn:
            if self._watches.get(place) is not known or self._stored.get(place) is not stored:
                return False  # it was begun anew meanwhile
            was_alarm = known.alarm if known else stored and stored.alarming
            if was_alarm and own is not known and not own.watch.images:
                self._tell(own.kept, "back", own.kept.because)
            raised = own.see(said, values)
            self._watches[place] = own
            self._stored.pop(place, None)
            if raised:
                self._tell(own.kept, "changed", own.alarm)
        return raised

    def _begun(
        self, place: Watched, product: LineProduct, before: StoredWatch | None
    ) -> ProductWatch:
        """Return a watch that goes on with what is kept, or begins anew."""
        if before is None or before.scoring != product.scoring:
            unread = self._file.unread if self._file else ""
            return ProductWatch.begin(product, place.picked, OTHER if before else unread)
        if before.state is None:
            return ProductWatch.begin(product, place.picked, before.because, before.begun)
        return ProductWatch.go_on(before, before.state)

    def _end(self, place: Watched, kept: StoredWatch) -> None:
        """Forget a watch, and that its alarm is over; under the lock."""
        alarm = self._watches.pop(place).alarm
        self._hold(place, kept.model_copy(update={"untold": bool(alarm)}))

    def _hold(self, place: Watched, kept: StoredWatch) -> None:
        """Hold what is not watched, and tell once that its alarm is over."""
        if kept.untold:
            self._tell(kept, "back", kept.because)
        self._stored[place] = kept.model_copy(update={"untold": False})

    def _take_note(self, anew: StoredWatch) -> None:
        """Begin anew where a command did, whether it is watched at the moment; under the lock."""
        place = Watched(anew.station, anew.picked)
        own, stored = self._watches.get(place), self._stored.get(place)
        if own and anew.begun != own.kept.begun:
            self._end(place, anew)
        elif stored and anew.begun != stored.begun:
            self._hold(place, anew)

    def _tell(self, kept: StoredWatch, state: AlarmState, reason: str) -> None:
        self._news.put((f"images of {kept.name}", state, reason))

    def _write(self) -> None:
        """Write what was seen; begin anew where a command did meanwhile."""
        self._written = time.monotonic()
        try:
            if self._file:
                self._write_into(self._file)
        except Exception as error:
            self._unwritten = _why(error)
            raise
        self._unwritten = ""

    def _write_into(self, file: DriftFile) -> None:
        with file.changing():
            with self._turn:
                for each in file.of_others():
                    if each.state is None:
                        self._take_note(each)
                stored = {place: each.stored() for place, each in self._watches.items()}
                stored = self._stored | stored
            file.write([each for _, each in sorted(stored.items())])


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, VlmadError) else reason_of(error)


def look_on(ledger: Path, products: Mapping[str, LineProduct]) -> StationDrift:
    """Begin to watch what is judged at a line; an `Onlooker`."""
    return StationDrift(ledger, products)
