"""Time an exported graph beside torch, image by image and turn by turn.

python examples/graphs/speed.py MODEL nut.onnx photos/ [--threads 2] [--images 1000]

MODEL is what was exported: a file of vlmad fit, or a recipe, by name or as a file. Both score the
same decoded images from their pixels on, resizing included, one at a time. The images are taken
again in turn until there are so many. Printed are medians, the ratio of medians, and how far the
slowest hundredth lies above the median; then the same of processor time, all threads together,
which tells more where others use the machine, too.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmad.detector import Detector
    from vlmad_export.sessions import Session

WARMING = 3
"""Images before the first that counts."""


def main() -> None:
    """Measure and print."""
    given = _arguments()
    import torch

    from vlmad_export.sessions import installed_runtimes, open_session

    torch.set_num_threads(given.threads)
    detector = _detector(given.model)
    paths = sorted(p for p in given.photos.rglob("*") if p.suffix.lower() in (".jpg", ".png"))
    images = [Image.open(path).convert("RGB") for path in paths]
    for runtime in given.runtime or installed_runtimes():
        session, taken = open_session(given.graph, runtime, given.threads), []
        for image in islice(cycle(images), given.images + WARMING):
            torch_time = _timed(partial(detector.predict, image))
            taken.append((torch_time, _timed(partial(_run, session, image))))
        print(f"{runtime}, {given.threads} threads, {given.images} images:")
        for name, milliseconds in zip(
            ("time", "processor time"), 1000 * np.array(taken[WARMING:]).T, strict=True
        ):
            _print(name, milliseconds)


def _detector(model: str) -> Detector:
    from vlmad import load_detector
    from vlmad_run.fitted import load_fitted

    if model.endswith(".safetensors"):
        return load_fitted(Path(model), {}).detector
    return load_detector(model)


def _run(session: Session, image: Image.Image) -> None:
    session(np.asarray(image)[None])


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that it takes, and those of processors."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("graph", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--runtime", action="append", choices=("onnxruntime", "openvino"))
    return parser.parse_args()


def _print(name: str, milliseconds: np.ndarray) -> None:
    medians = np.median(milliseconds, axis=1)
    tails = np.quantile(milliseconds, 0.99, axis=1) / medians
    print(
        f"  {name}: {medians[1]:.1f} ms, torch {medians[0]:.1f} ms, ratio "
        f"{medians[1] / medians[0]:.2f}; p99 over median {tails[1]:.2f}, torch {tails[0]:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
