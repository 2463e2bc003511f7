"""Measure whether the memory of `vlmad serve` grows with the number of requests.

    python examples/serve/soak.py [MODEL [REQUESTS]]

Sends so many small images (100,000 to the model of two blocks, 10,000 to tiny) by two clients and
prints the memory of the server as it goes, and the slope of a line through all that came after the
first 2,000: megabytes for each 10,000 requests.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from station_process import StationProcess, images, station

REQUESTS = {"two-layer": 100_000, "tiny": 10_000}
STEP, FIRST = 250, 2_000


def main() -> None:
    """Measure and print."""
    model = sys.argv[1] if sys.argv[1:] else "two-layer"
    count = int(sys.argv[2]) if sys.argv[2:] else REQUESTS[model]
    with station(model, "--threshold", "2") as server:
        print(f"{model}, {count} requests; MB for each 10,000 are of those after {FIRST}")
        measure(server, count)


def measure(server: StationProcess, count: int) -> None:
    """Print the memory after each thousand requests, and how it has grown since the first."""
    sent, counts, megabytes = images(16, 64), list[int](), list[float]()
    started = time.perf_counter()
    for done in range(STEP, count + 1, STEP):
        server.ask(STEP, 2, sent)
        if done >= FIRST:
            counts.append(done)
            megabytes.append(server.resident_megabytes())
        if done % 1000 == 0 and len(counts) > 2:
            slope = np.polyfit(counts, megabytes, 1)[0] * 10_000
            seconds = time.perf_counter() - started
            print(
                f"{done:7d} requests  {seconds:6.0f} s  {megabytes[-1]:8.1f} MB"
                f"  {slope:+8.2f} MB for each 10,000",
                flush=True,
            )


if __name__ == "__main__":
    main()
