"""The watch of one product at a station, with what is kept and told of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import VlmadError
from vlmad.images import decode
from vlmad_drift.drift_documents import ProductDrift
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.drift_words import sentence
from vlmad_drift.image_statistics import statistics_of
from vlmad_drift.stored_drift import StoredWatch, now
from vlmad_drift.usual_images import watch_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from PIL.Image import Image

    from vlmad_drift.drift_documents import DriftState
    from vlmad_formats.reading import Reading
    from vlmad_line.judgements import Judgement
    from vlmad_line.line_products import LineProduct

AGAIN = 1.0
"""Seconds after which an alarm is said anew, by the images that have come."""


class ProductWatch:
    """A watch; see `begin` and `go_on`."""

    def __init__(self, kept: StoredWatch, watch: DriftWatch) -> None:
        self.kept, self.watch = kept, watch
        self.alarm = sentence(watch) if watch.alarms else ""
        """What a person is told, as it was a moment ago."""
        self._said = time.monotonic()

    @classmethod
    def begin(
        cls, product: LineProduct, picked: str, because: str, begun: str | None = None
    ) -> Self:
        """Begin beside what is usual of a product; `because` and `begun` are why and when."""
        watch, remarks = watch_for(product.manifest_of(picked))
        kept = StoredWatch(
            station=product.name, picked=picked, scoring=product.scoring, begun=begun or now(),
            because=because, remarks=[*remarks],
        )  # fmt: skip
        return cls(kept, watch)

    @classmethod
    def go_on(cls, kept: StoredWatch, state: DriftState) -> Self:
        """Go on where a watch was."""
        return cls(kept, DriftWatch.of(state))

    def see(self, said: Judgement, values: Mapping[str, float]) -> bool:
        """Take an image, and say anew what is wrong: at once if that is new, else now and then."""
        raised, moment = self.watch.see(said.image, said.at, values), time.monotonic()
        if raised or (self.alarm and moment - self._said >= AGAIN):
            self.alarm, self._said = sentence(self.watch), moment
        return bool(raised)

    def stored(self) -> StoredWatch:
        """Return what is to be kept."""
        return self.kept.model_copy(update={"state": self.watch.state()})

    def told(self) -> ProductDrift:
        """Return what was found so far."""
        watch, kept = self.watch, self.kept
        return ProductDrift(
            drift=bool(watch.alarms), words=sentence(watch), images=watch.images,
            needed=watch.needed, alpha=watch.alpha, defects=watch.defects,
            evidence=watch.evidence, alarms=watch.alarms, shifts=watch.shifts(),
            remarks=kept.remarks, begun=kept.begun, because=kept.because,
        )  # fmt: skip


def statistics(image: Path | Image | None, reading: Reading | None) -> dict[str, float]:
    """Return the statistics of an image or its file; none if it is not to be had."""
    try:
        if isinstance(image, Path):
            return statistics_of(decode(image, reading=reading))
    except VlmadError:  # it was forgotten meanwhile
        return {}
    return statistics_of(image.convert("RGB")) if image else {}
