"""What is judged at a station, watched for drift: one watch for each product.

Nothing of it holds up a judgement: a thread of its own takes what was said, measures an image now
and then, and leaves out what comes too quickly. What is left out says nothing of the images, so
that what was promised of false alarms holds for those that are seen.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from vlmad.errors import VlmadError, reason_of
from vlmad.images import decode
from vlmad_drift.drift_documents import ProductDrift, StationDriftReport
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.drift_words import sentence
from vlmad_drift.image_statistics import statistics_of
from vlmad_drift.usual_images import Usual, watch_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vlmad_formats.reading import Reading
    from vlmad_line.judgements import Judgement
    from vlmad_line.line_products import LineProduct

EVERY = 1.0
"""Seconds between two images that are measured; of the others only the score is watched."""
MOST_WAITING = 64
UNWATCHED = "unknown"
"""As what images are judged that show none of several products."""


class Watched(NamedTuple):
    """What a watch is of."""

    station: str
    """A product of the station."""
    picked: str
    """Which of the products in its file an image shows; where there is one, the same."""


class _ProductWatch:
    """A watch, what it was made for, and what it cannot tell."""

    def __init__(self, picked: str, product: LineProduct | None) -> None:
        self.judge = product.scoring if product else ""
        self.measured = self.told = -EVERY
        self.alarm = ""
        """What a person is told, as it was a moment ago."""
        if product is None:
            usual = Usual.of((), ())
            self.watch, self.remarks = DriftWatch(usual.values), usual.remarks
        else:
            self.watch, self.remarks = watch_for(product.manifest_of(picked))

    def see(self, said: Judgement, values: Mapping[str, float], now: float) -> None:
        """Take an image, and say anew what is wrong: at once if that is new, else now and then."""
        raised = self.watch.see(said.image, said.at, values)
        if raised or (self.watch.alarms and now - self.told >= EVERY):
            self.alarm, self.told = sentence(self.watch), now


class StationDrift:
    """Watches what is judged at a station; several threads may use it."""

    def __init__(self) -> None:
        self._watches: dict[Watched, _ProductWatch] = {}
        self._turn, self._waiting = threading.Lock(), threading.BoundedSemaphore(MOST_WAITING)
        self._pool = ThreadPoolExecutor(1, "drift")
        self._fault = ""

    def see(self, said: Judgement, file: Path, product: LineProduct | None) -> None:
        """Take a judgement soon; of an image that was not scored there is nothing to take.

        Args:
            said: the judgement.
            file: of the image; it may be gone by then.
            product: what judged it, if that is known. Another detector is watched anew; of several
                products in one file each is watched by itself.
        """
        if said.score is None or said.product == UNWATCHED:
            return
        if self._waiting.acquire(blocking=False):
            try:
                self._pool.submit(self._take, said, file, product)
            except RuntimeError:  # it was stopped
                self._waiting.release()

    def forget(self, name: str) -> bool:
        """Begin anew with a product, as after its lamp was exchanged; tell whether there is one."""
        with self._turn:
            found = [each for each in self._watches if name in (each.station, _name(each))]
            for each in found:
                del self._watches[each]
        return bool(found)

    def stop(self) -> None:
        """Take what waits, and return."""
        self._pool.shutdown()

    def report(self) -> StationDriftReport:
        """Return what was found so far."""
        with self._turn:
            found = {_name(own): _told(each) for own, each in sorted(self._watches.items())}
        return StationDriftReport(products=found, fault=self._fault)

    @property
    def alarms(self) -> list[str]:
        """What a person should look at."""
        with self._turn:
            found = [(_name(own), each.alarm) for own, each in sorted(self._watches.items())]
        told = [f"'{name}': {alarm}" for name, alarm in found if alarm]
        return told + ([f"drift is not watched: {self._fault}"] if self._fault else [])

    def _take(self, said: Judgement, file: Path, product: LineProduct | None) -> None:
        try:
            self._seen(said, file, product)
            self._fault = ""
        except Exception as error:  # a fault here must not end the watching of all that follows
            self._fault = str(error) if isinstance(error, VlmadError) else reason_of(error)
        finally:
            self._waiting.release()

    def _seen(self, said: Judgement, file: Path, product: LineProduct | None) -> None:
        assert said.score is not None
        place = Watched(product.name if product else said.product, said.product)
        with self._turn:
            known = self._watches.get(place)
        own = known
        if own is None or own.judge != (product.scoring if product else ""):
            own = _ProductWatch(said.product, product)
        values, now = {"score": said.score}, time.monotonic()
        if now - own.measured >= EVERY:
            own.measured = now
            values |= _statistics(file, product.reading if product else None)
        with self._turn:
            if self._watches.get(place) is known:  # else it was forgotten meanwhile
                own.see(said, values, now)
                self._watches[place] = own


def _name(own: Watched) -> str:
    """Return what a watch is called: its product, or that and the one of several in its file."""
    return own.picked if own.picked == own.station else f"{own.station}: {own.picked}"


def _statistics(file: Path, reading: Reading | None) -> dict[str, float]:
    try:
        return statistics_of(decode(file, reading=reading))
    except VlmadError:  # it was forgotten meanwhile
        return {}


def _told(own: _ProductWatch) -> ProductDrift:
    watch = own.watch
    return ProductDrift(
        drift=bool(watch.alarms), words=sentence(watch), images=watch.images, needed=watch.needed,
        alpha=watch.alpha, defects=watch.defects, evidence=watch.evidence, alarms=watch.alarms,
        shifts=watch.shifts(), remarks=list(own.remarks),
    )  # fmt: skip
