"""A station with all that is around it while it is served."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import OutputError, VlmadError
from vlmad_drift.station_drift import StationDrift
from vlmad_formats.reading import Reading
from vlmad_serve.answers import StationHealth
from vlmad_serve.batching import Answered, BatchedJudging
from vlmad_serve.events import Events
from vlmad_serve.figures import Figures, resident_bytes
from vlmad_serve.newest import Newest
from vlmad_serve.recent import KeptImage, Recent, StoredMap
from vlmad_serve.refusals import Refusal
from vlmad_serve.sent_views import ONE_BY_ONE, SentViews
from vlmad_serve.thumbnails import Thumbnails
from vlmad_serve.uploads import Spool
from vlmad_serve.written import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from vlmad_line.judgements import PartJudgement
    from vlmad_line.line import Line
    from vlmad_line.station import JudgedImage, Station
    from vlmad_serve.answers import History
    from vlmad_serve.batching import Waiting
    from vlmad_serve.settings import ServeLimits

STUCK, TIMES = 60, 10
"""Seconds, and times the usual ones, after which a batch that is not done is an alarm, and the
server not ready."""
SENDING, PAUSED = ("POST", "PUT"), 503
"""With which images are sent, and what a paused station answers."""


class Served:
    """A station that is served.

    Args:
        station: what judges.
        limits: how much is taken and kept.
        folder: an empty one of its own, for images.
        line: writes down and delivers what is said, if that is wanted; of the same station.
        views: which images of a request are views of one part.
    """

    def __init__(
        self,
        station: Station,
        limits: ServeLimits,
        folder: Path,
        line: Line | None = None,
        views: SentViews = ONE_BY_ONE,
    ) -> None:
        self.station, self.limits, self.line, self.views = station, limits, line, views
        self.figures, self.recent = Figures(), Recent(limits.keep)
        self.spool = Spool(folder, limits)
        self.drift = StationDrift(
            line.ledger.path if line else None, station.products, self.tell_news
        )
        self._started = self._last_image = time.monotonic()
        self.thumbnails, self._paused = Thumbnails(limits.most_pixels), False
        self.events = Events(self.health)
        self.newest = Newest(self.events.beat_soon)
        self.judging = BatchedJudging(self._judge, limits.batch_size, limits.queue)
        self.tell_news()

    def stop(self) -> None:
        """Judge what was accepted."""
        self.events.stop()
        self.judging.stop()
        self.drift.stop()
        self.tell_news()

    def pause(self, paused: bool) -> None:
        """Judge nothing from now on, or go on; what was accepted is judged."""
        self._paused = paused
        self.newest.forget()

    def require_going(self) -> None:
        """Let an image be judged.

        Raises:
            Refusal: the station is paused.
        """
        if self._paused:
            raise Refusal(PAUSED, "the station is paused", "let it go on, on its page", 5)

    def reading_of(self, name: str) -> Reading:
        """Return how images of a product are read, of no more pixels than are taken."""
        product = self.station.products.get(name)
        own = (product.reading if product else None) or Reading()
        return replace(own, most_pixels=self.limits.most_pixels)

    def count_refused(self, refusal: Refusal, scope: Scope, why: str = "") -> None:
        """Count a request that gets an error; whoever sent it may have sent the newest image.

        Args:
            refusal: the answer.
            scope: of the request.
            why: what people are told of it, if not what the answer says.
        """
        self.figures.count_refused(refusal.status)
        if scope["method"] in SENDING and scope["path"].rstrip("/") == "/score":
            at_fault = refusal.status >= 500 and refusal.status != PAUSED
            self.newest.refuse(why or refusal.error, at_fault)

    def refuse_unread(self, status: int, error: str) -> None:
        """Count what was refused before it was known what it asks; it may have been an image."""
        self.figures.count_refused(status)
        self.newest.refuse(error, at_fault=status >= 500)

    def health(self) -> StationHealth:
        """Return whether it works."""
        usual = self.judging.seconds_of_image * self.limits.batch_size
        stuck = self._stuck_for() > max(STUCK, TIMES * usual)
        works = self.judging.alive and not stuck and self.station.chosen != ""
        return StationHealth(
            ready=works and not self._paused,
            paused=self._paused,
            unjudged=self.newest.refused,
            newest=self.newest.id,
            alarms=self._alarms(stuck),
            changed=[*self.drift.changed],
            version=version("vlmad"),
            product=self.station.chosen,
            waiting=self.judging.waiting,
            waits=round(self.judging.waits, 1),
            seconds=round(time.monotonic() - self._started, 1),
        )

    def metrics(self) -> str:
        """Return all counts and times as Prometheus reads them."""
        health = self.health()
        return self.figures.text(
            {
                "vlmad_ready": ("1 if images are judged now", float(health.ready)),
                "vlmad_alarms": ("what a person should look at", float(len(health.alarms))),
                "vlmad_waiting_images": ("images not judged yet", float(health.waiting)),
                "vlmad_listeners": ("who follows /events", float(self.events.listeners)),
                "process_resident_memory_bytes": ("memory in use", float(resident_bytes())),
                "process_uptime_seconds": ("since it was started", health.seconds),
            }
        )

    def _alarms(self, stuck: bool) -> list[str]:
        alarms = []
        if not self.judging.alive:
            alarms.append("nothing judges images any more: start the server anew")
        if stuck:
            alarms.append(f"a batch is not done after {self._stuck_for():.0f} s")
        if self._paused:
            alarms.append("paused: no image is judged")
        if not self.station.chosen:
            alarms.append("no product is chosen")
        alarms += self.newest.alarms
        for sink in self.line.sinks if self.line else ():
            if sink.reason:
                alarms.append(f"{sink.sink} lacks {sink.waiting} messages: {sink.reason}")
        silent, allowed = time.monotonic() - self._last_image, self.limits.alarm_after
        if allowed is not None and silent > allowed:
            alarms.append(f"no image came for {silent:.0f} s")
        return alarms + self.drift.alarms

    def _stuck_for(self) -> float:
        since = self.judging.since
        return time.monotonic() - since if since else 0.0

    def history(self, limit: int, before: str, answer: str | None, product: str | None) -> History:
        """Return the latest judgements: of the ledger if there is one, or of those in memory."""
        if self.line is None:
            return self.recent.history(limit, before, answer, product)
        found = written(self.line.ledger, limit, before, answer, product)
        kept = [each.id for each in found.judgements if self.recent.kept(each.id)]
        return found.model_copy(update={"kept": kept})

    def conclude(self, parts: Sequence[PartJudgement], sent: float) -> None:
        """Write down what was said of parts, and tell it; their views were sent at a time.

        Raises:
            OutputError: it cannot be written down.
        """
        if self.line is not None:
            self.line.ledger.write(parts)
        self.figures.count_parts(parts)
        self.recent.add_parts(parts)
        for part in parts:
            self.events.tell(part)
            self.newest.show(_worst(part), sent)

    def _judge(self, batch: Sequence[Waiting]) -> list[Answered]:
        """Judge a batch, and write it down before anyone is told."""
        started = time.monotonic()
        self._last_image = started
        try:
            answers = self._answers(batch)
            if self.line is not None:
                self.line.ledger.write([each.judgement for each in answers])
                with suppress(OutputError):  # what is written stands; the next one says it
                    self.line.ledger.trim()
        except BaseException:  # whoever asked is told, and that is counted
            for waiting in batch:
                _path(waiting).unlink(missing_ok=True)
            raise
        self.figures.count_judged((a.judgement for a in answers), time.monotonic() - started)
        for waiting, answer in zip(batch, answers, strict=True):
            self._remember(waiting, answer)
        return answers

    def tell_news(self) -> None:
        """Write down and deliver which alarms of changed images have begun or ended."""
        for source, state, reason in self.drift.news():
            self.events.beat_soon()
            with suppress(VlmadError):  # what cannot be written stands in /health all the same
                if self.line:
                    self.line.alarm(source, state, reason)

    def _answers(self, batch: Sequence[Waiting]) -> list[Answered]:
        arrivals = [each.arrival for each in batch]
        judged = self.station.judge(arrivals, batch[0].product, self.limits.batch_size)
        return [_answered(*each) for each in zip(batch, judged, strict=True)]

    def _remember(self, waiting: Waiting, answer: Answered) -> None:
        said, path = answer.judgement, _path(waiting)
        product = answer.product
        reading = product.reading if product else None
        kept = KeptImage(path, waiting.size, reading, answer.map, said.image, waiting.product)
        self.recent.add(said, kept, product)
        self.events.tell(said)
        self.newest.judge(said.id, said.score is not None, waiting.sent)
        self.drift.see(said, path, product)


def _worst(part: PartJudgement) -> str:
    """Return the judgement of the view to be seen of a part."""
    return dict(zip(part.images, part.views, strict=False)).get(part.worst, part.views[-1])


def _path(waiting: Waiting) -> Path:
    content = waiting.arrival.content
    assert isinstance(content, Path)  # all that is sent lies in files
    return content


def _answered(waiting: Waiting, image: JudgedImage) -> Answered:
    """Return what is said of an image, without the name of a file that nobody else knows."""
    said, path = image.judgement, str(_path(waiting))
    reason = said.reason.replace(path, waiting.arrival.name)
    own = {"reason": reason, "file": "", "part": waiting.part}
    heat = None if image.map is None else StoredMap.of(image.map)
    return Answered(said.model_copy(update=own), heat, image.product)
