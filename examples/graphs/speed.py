"""Time an exported graph beside torch, image by image and turn by turn.

python examples/graphs/speed.py nut.safetensors nut.onnx photos/ [--threads 2] [--images 1000]

Both score the same decoded images from their pixels on, resizing included, one at a time. The
images are taken again in turn until there are so many. Printed are medians, the ratio of medians,
and how far the slowest hundredth lies above the median.
"""

from __future__ import annotations

import argparse
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Measure and print."""
    given = _arguments()
    import torch

    from vlmad_export.sessions import installed_runtimes, open_session
    from vlmad_run.fitted import load_fitted

    torch.set_num_threads(given.threads)
    detector = load_fitted(given.model, {}).detector
    paths = sorted(p for p in given.photos.rglob("*") if p.suffix.lower() in (".jpg", ".png"))
    images = [Image.open(path).convert("RGB") for path in paths]
    for runtime in installed_runtimes():
        session = open_session(given.graph, runtime, given.threads)
        both: list[list[float]] = [[], []]
        for number, image in enumerate(islice(cycle(images), given.images + 3)):
            start = time.perf_counter()
            detector.predict(image)
            between = time.perf_counter()
            session(np.asarray(image)[None])
            end = time.perf_counter()
            if number >= 3:
                both[0].append(between - start)
                both[1].append(end - between)
        _print(runtime, np.array(both) * 1000, given.threads)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    return parser.parse_args()


def _print(runtime: str, milliseconds: np.ndarray, threads: int) -> None:
    medians = np.median(milliseconds, axis=1)
    tails = np.quantile(milliseconds, 0.99, axis=1) / medians
    count = milliseconds.shape[1]
    print(
        f"{runtime}, {threads} threads, {count} images: {medians[1]:.1f} ms, torch "
        f"{medians[0]:.1f} ms, ratio {medians[1] / medians[0]:.2f}; p99 over median "
        f"{tails[1]:.2f}, torch {tails[0]:.2f}"
    )


if __name__ == "__main__":
    main()
