"""Counts and times of the server, as the text that Prometheus reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vlmad_line.judgements import Judgement, PartJudgement

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends, in seconds."""
MOST_PRODUCTS = 1000
"""So many names are counted apart, so that no client makes the counts grow."""


class Histogram:
    """How often a time lay in each of `BUCKETS`, or above."""

    def __init__(self) -> None:
        self.counts, self.sum = [0] * (len(BUCKETS) + 1), 0.0

    def add(self, seconds: float) -> None:
        """Count a time."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def lines(self, name: str) -> list[str]:
        """Return it as Prometheus has it: each bucket holds all below it, too."""
        ends = [*map(str, BUCKETS), "+Inf"]
        below = [*accumulate(self.counts)]
        rows = [f'{name}_bucket{{le="{end}"}} {n}' for end, n in zip(ends, below, strict=True)]
        return [*rows, f"{name}_sum {self.sum:.6f}", f"{name}_count {below[-1]}"]


class Figures:
    """What is counted; several threads may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._judged: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._parts: Counter[str] = Counter()
        self._latency, self._working = Histogram(), Histogram()
        self._batches = self._unscored = 0

    def count_judged(self, judgements: Iterable[Judgement], seconds: float) -> None:
        """Count what was judged together, and for how long the model worked."""
        with self._lock:
            self._batches += 1
            self._working.add(seconds)
            for each in judgements:
                known = (each.product, each.answer or "none")
                full = len(self._judged) >= MOST_PRODUCTS and known not in self._judged
                self._judged["…" if full else each.product, known[1]] += 1
                self._unscored += each.score is None
                self._latency.add((each.milliseconds or 0.0) / 1000)

    def count_parts(self, parts: Iterable[PartJudgement]) -> None:
        """Count parts that were judged."""
        with self._lock:
            self._parts.update(each.answer or "none" for each in parts)

    def count_refused(self, status: int) -> None:
        """Count a request that was answered with an error."""
        with self._lock:
            self._refused[str(status)] += 1

    @property
    def images(self) -> int:
        """How many were judged."""
        with self._lock:
            return sum(self._judged.values())

    def text(self, now: Mapping[str, tuple[str, float]]) -> str:
        """Return all as text; `now` are gauges, each with its meaning."""
        with self._lock:
            lines = _head("vlmad_images_total", "counter", "images judged")
            for (product, answer), count in sorted(self._judged.items()):
                labels = f'product="{_escaped(product)}",answer="{answer}"'
                lines.append(f"vlmad_images_total{{{labels}}} {count}")
            lines += _head("vlmad_parts_total", "counter", "parts of several views judged")
            for answer, count in sorted(self._parts.items()):
                lines.append(f'vlmad_parts_total{{answer="{answer}"}} {count}')
            lines += _head("vlmad_unscored_total", "counter", "images without a score, all NG")
            lines.append(f"vlmad_unscored_total {self._unscored}")
            lines += _head("vlmad_refused_total", "counter", "requests answered with an error")
            lines += [
                f'vlmad_refused_total{{status="{status}"}} {count}'
                for status, count in sorted(self._refused.items())
            ]
            lines += _head("vlmad_batches_total", "counter", "batches that the model got")
            lines.append(f"vlmad_batches_total {self._batches}")
            name = "vlmad_latency_seconds"
            lines += _head(name, "histogram", "from the complete image to its judgement")
            lines += self._latency.lines(name)
            lines += _head("vlmad_model_seconds", "histogram", "the model's time for a batch")
            lines += self._working.lines("vlmad_model_seconds")
        for name, (meaning, value) in now.items():
            lines += [*_head(name, "gauge", meaning), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def resident_bytes() -> int:
    """Return how much memory this process uses, 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    import resource

    return pages * resource.getpagesize()
