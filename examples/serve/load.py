"""Measure how quickly `vlmad serve` answers, beside the model's own time.

    python examples/serve/load.py [MODEL [REQUESTS [SIDE]]]

Sends so many images (400 of 256 x 256 pixels) by 1, 4 and 16 clients, each of which waits for its
answer before it sends the next, and prints for each the median and the 99th percentile of the time
to the answer and how many images a second were judged. Before that the same images are scored
without a server: one by one, and eight at a time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from station_process import MODELS, images, station

from vlmad.detector import Detector
from vlmad_run.choosing import Choice

CLIENTS = (1, 4, 16)


def main() -> None:
    """Measure and print."""
    words = sys.argv[1:]
    model = words[0] if words else "tiny"
    count, side = (int(words[i]) if len(words) > i else usual for i, usual in ((1, 400), (2, 256)))
    sent = images(16, side)
    print(f"{model}, {side} x {side} pixels, {count} images each")
    for batch, seconds in alone(model, sent, count).items():
        print(f"without a server, {batch} at a time: {1000 * seconds:6.1f} ms an image")
    with station(model, "--threshold", "2") as server:
        server.ask(32, 4, sent)
        for clients in CLIENTS:
            batches, started = server.metric("vlmad_batches_total"), time.perf_counter()
            took = 1000 * np.array(server.ask(count, clients, sent))
            rate = count / (time.perf_counter() - started)
            together = count / (server.metric("vlmad_batches_total") - batches)
            middle, late = np.percentile(took, [50, 99])
            print(
                f"{clients:2d} clients: p50 {middle:6.1f} ms, p99 {late:6.1f} ms, "
                f"{rate:6.1f} images/s, {together:.1f} judged together"
            )


def alone(model: str, sent: list[bytes], count: int) -> dict[int, float]:
    """Return the seconds for an image of the model without a server, by images at a time."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.png") for number in range(len(sent))]
        for path, content in zip(paths, sent, strict=True):
            path.write_bytes(content)
        detector, seconds = detector_of(model), {}
        detector.predict(paths)
        for batch in (1, 8):
            chosen = [paths[number % len(paths)] for number in range(count)]
            started = time.perf_counter()
            for start in range(0, count, batch):
                detector.predict(chosen[start : start + batch], batch_size=batch)
            seconds[batch] = (time.perf_counter() - started) / count
    return seconds


def detector_of(model: str) -> Detector:
    """Return the detector that the server's words choose."""
    named = dict(zip(MODELS[model][::2], MODELS[model][1::2], strict=True))
    setting = named.get("--set")
    choice = Choice(
        detector=named["--detector"],
        backbone=named.get("--backbone"),
        settings=[setting] if setting else None,
    )
    return choice.load()


if __name__ == "__main__":
    main()
