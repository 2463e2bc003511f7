"""How long an image takes and how much memory is held."""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

from vlmad.detector import Detector
from vlmad.images import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMED = 8


def seconds_per_image(
    detector: Detector, images: Sequence[Path], references: Sequence[Path], class_name: str
) -> float | None:
    """Return the median time that the model takes for an image, or None if none can be scored.

    Measured apart from the cells, because those find most features on disk: the first images
    one by one, after one to warm up, with nothing read from caches.
    """
    plain = Detector(detector.assembly, str(detector.resizing))
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
