"""Images that wait, and the thread that has them judged together.

What was accepted is judged, whether or not somebody still waits for the answer. Images that come
within a few milliseconds of each other go to the model as one batch, each batch of one product.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmad_line.endpoints import Arrival
    from vlmad_line.judgements import Judgement
    from vlmad_line.line_products import LineProduct
    from vlmad_serve.recent import StoredMap

TOGETHER = 0.005
"""Seconds that an image waits for others at most, while requests are being read."""
MOST_PIXELS = 64_000_000
"""Of the images of a batch, so that memory stays flat whatever their size; one always fits."""
UNKNOWN = 0.1
"""Seconds for an image, as long as none was judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What came of an image."""

    judgement: Judgement
    map: StoredMap | None
    """None if it was not scored."""
    product: LineProduct | None = None
    """As which it was judged, if there was one."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An image that waits for its judgement."""

    arrival: Arrival
    product: str
    """As which it is judged: whatever has that name by then."""
    size: int = 0
    """Bytes of its file."""
    pixels: int = 0
    part: str = ""
    """Of which it is a view, if parts are judged."""
    sent: float = 0.0
    """When its request began to come, of the monotonic clock."""
    answer: Future[Answered] = field(default_factory=Future)


class BatchedJudging:
    """Judges in a thread of its own what is handed to it.

    Args:
        judge: judges images of one product; what it raises is the answer to all of them.
        batch_size: images that are judged together.
        most: images that may wait or be read.
    """

    def __init__(
        self,
        judge: Callable[[Sequence[Waiting]], Sequence[Answered]],
        batch_size: int,
        most: int,
    ) -> None:
        self._judge, self._batch_size, self._most = judge, batch_size, most
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._reading = self._working = 0
        self._stopping = False
        self.seconds_of_image = 0.0
        """The latest counting most; 0 before the first."""
        self.since = 0.0
        """When the batch that is being judged was begun, 0 if none is; of the monotonic clock."""
        self._thread = threading.Thread(target=self._work, name="judging", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Images that are accepted and not judged yet."""
        with self._changed:
            return len(self._waiting) + self._working

    @property
    def waits(self) -> float:
        """For how many seconds the first that is not judged has waited, or been worked on."""
        with self._changed:
            begun = [self.since or math.inf, *(each.sent for each in [*self._waiting][:1])]
        return max(0.0, time.monotonic() - min(begun))

    @property
    def alive(self) -> bool:
        """Whether there is still a thread that judges."""
        return self._thread.is_alive()

    def begin(self) -> None:
        """Keep a place for an image whose request is about to be read.

        Raises:
            Refusal: too many wait; it says when to come again.
        """
        with self._changed:
            self._require_place(1)
            self._reading += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Give back a place that nothing came for."""
        with self._changed:
            self._reading -= 1
            self._changed.notify_all()

    def add(self, images: Sequence[Waiting]) -> None:
        """Accept images, in the place of the one that `begin` kept.

        Raises:
            Refusal: too many wait; the place stays kept.
        """
        with self._changed:
            self._require_place(len(images) - 1)
            self._reading -= 1
            for image in images:
                image.answer.set_running_or_notify_cancel()  # nobody can take it back
                self._waiting.append(image)
            self._changed.notify_all()

    def stop(self) -> None:
        """Judge what was accepted and return."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _require_place(self, count: int) -> None:
        taken = len(self._waiting) + self._working + self._reading
        if count and (self._stopping or taken + count > self._most):
            wait = max(1, math.ceil(taken * (self.seconds_of_image or UNKNOWN)))
            remedy = "send it again after Retry-After seconds"
            raise Refusal(429, f"{taken} images wait already", remedy, wait)

    def _work(self) -> None:
        for batch in self._batches():
            self.since = started = time.monotonic()
            try:
                answers = self._judge(batch)
                each = (time.monotonic() - started) / len(batch)
                self.seconds_of_image = 0.8 * (self.seconds_of_image or each) + 0.2 * each
            except BaseException as error:  # whatever it was, everyone gets an answer
                for image in batch:
                    image.answer.set_exception(error)
            else:
                for image, answer in zip(batch, answers, strict=True):
                    image.answer.set_result(answer)
            self.since = 0.0

    def _batches(self) -> Iterator[list[Waiting]]:
        while True:
            with self._changed:
                self._working = 0
                self._changed.notify_all()
                while not self._waiting:
                    if self._stopping:
                        return
                    self._changed.wait()
                self._wait_for_others()
                batch = self._take()
                self._working = len(batch)
                self._changed.notify_all()
            yield batch

    def _wait_for_others(self) -> None:
        until = time.monotonic() + TOGETHER
        while self._reading and len(self._waiting) < self._batch_size:
            left = until - time.monotonic()
            if left <= 0 or self._stopping:
                return
            self._changed.wait(left)

    def _take(self) -> list[Waiting]:
        """Return the first that wait and are of one product, in their order."""
        product, pixels = self._waiting[0].product, 0
        batch: list[Waiting] = []
        others: list[Waiting] = []
        for image in self._waiting:
            fits = len(batch) < self._batch_size and pixels + image.pixels <= MOST_PIXELS
            if image.product == product and (fits or not batch) and not others:
                batch.append(image)
                pixels += image.pixels
            else:
                others.append(image)
        self._waiting = deque(others)
        return batch
