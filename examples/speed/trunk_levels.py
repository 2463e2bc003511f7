"""Time the passes of the embedded model on one thread: for texts, over the trunk's levels, both.

    python examples/speed/trunk_levels.py

prints processor time an image, the least of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from vlmad import ClassToken, ImageBatch, Level, Request, Windows
from vlmad.testing import UsualAttention, example_images
from vlmad_tiny._tiny import Tiny

ROUNDS, BATCH = 7, 4
DENSE: list[Request] = [ClassToken()]
WINDOWS: list[Request] = [ClassToken(), *(Windows(size, encoding="shared") for size in (2, 3))]
LEVELS: list[Request] = [Level(name, standardised=True) for name in ("b4", "e5")]
WAYS = {
    "a plain pass, 240 pixels": DENSE,
    "the trunk's levels, 320 pixels": LEVELS,
    "both": [*DENSE, *LEVELS],
    "shared windows": WINDOWS,
    "shared windows and the trunk's levels": [*WINDOWS, *LEVELS],
}


@torch.inference_mode()
def seconds(tiny: Tiny, requests: Sequence[Request]) -> float:
    """Return the processor time for an image."""
    batch = ImageBatch(example_images(1).sources * BATCH)
    took = []
    for _ in range(1 + ROUNDS):
        started = time.process_time()
        tiny.encode(batch, requests, UsualAttention())
        took.append((time.process_time() - started) / BATCH)
    return min(took[1:])


def main() -> None:
    """Print a line for each way."""
    torch.set_num_threads(1)
    tiny = Tiny(device="cpu")
    for way, requests in WAYS.items():
        print(f"{way}: {1000 * seconds(tiny, requests):.0f} ms")


if __name__ == "__main__":
    main()
