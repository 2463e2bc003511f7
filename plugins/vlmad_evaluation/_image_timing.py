"""How long an image takes and how much memory is held, kept while a bench is gone on with."""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmad.detector import Detector
from vlmad.files import write_atomically
from vlmad.images import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMED = 8
FILE = "machine.json"


@dataclass(slots=True)
class Machine:
    """What was measured of the machine by all processes that worked on a bench."""

    seconds: dict[str, float | None] = field(default_factory=dict)
    """For an image, by detector."""
    peak: int | None = None
    """The most bytes that any of the processes held."""

    @classmethod
    def read(cls, folder: Path) -> Machine:
        """Return what is noted in a bench's folder; nothing if there is nothing usable."""
        try:
            table = json.loads((folder / FILE).read_bytes())
            seconds = {str(name): _number(value) for name, value in table["seconds"].items()}
            peak = _number(table["peak_memory_bytes"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()
        return cls(seconds, None if peak is None else int(peak))

    def note(self, folder: Path) -> None:
        """Take the memory so far into account and write everything down."""
        peaks = [peak for peak in (self.peak, peak_memory()) if peak is not None]
        self.peak = max(peaks, default=None)
        table = {"seconds": self.seconds, "peak_memory_bytes": self.peak}
        write_atomically(folder / FILE, json.dumps(table, indent=2) + "\n")


def _number(value: object) -> float | None:
    if value is None or (isinstance(value, int | float) and value >= 0):
        return value
    raise ValueError("no number")


def seconds_per_image(
    detector: Detector, images: Sequence[Path], references: Sequence[Path], class_name: str
) -> float | None:
    """Return the median time that the model takes for an image, or None if none can be scored.

    Measured apart from the cells, because those find most features on disk: the first images
    one by one, after one to warm up, with nothing read from caches.
    """
    plain = Detector(detector.assembly, str(detector.resizing), keep="nothing")
    if plain.scorer.references == "required":
        plain.fit(references[:1], 1)
    sources = [Source(str(path), path) for path in (images[0], *images[:TIMED])]
    started = time.perf_counter()
    results = list(plain.stream(sources, class_name, 1))
    if plain.scorer.scope == "set":
        return (time.perf_counter() - started) / len(results)
    taken = [result.seconds for result in results[1:] if result.error is None]
    return statistics.median(taken) if taken else None


def peak_memory() -> int | None:
    """Return the most memory that this process held so far, in bytes; None where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
