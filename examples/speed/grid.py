"""Time 24 combinations side by side against the three passes that they need.

    python examples/speed/grid.py FOLDER… [--images 4] [--rounds 3] [--model ViT-B-16-plus-240]

Random weights in float32, which take as long as any. Two prompts, two lists of window sizes, two
scorers and three attentions make 24 combinations; each attention within the stream needs a pass
of its own. Passes alone and all combinations (passes, scoring, maps at the original's size; no
metrics, no files) take turns, image by image. Afterwards every combination scores the images by
itself, and the largest difference to what it scored side by side is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from vlmad.streaming import Stream, stream_together

from vlmad import Result
from vlmad.images import as_source
from vlmad.registry import Registry
from vlmad.types import ImageBatch
from vlmad_evaluation._grid_axes import Axes
from vlmad_evaluation._grid_combinations import combine
from vlmad_evaluation.sharing import Shared
from vlmad_run.finding import find_images

CLASS_NAME = "part"


def axes(model: str) -> Axes:
    """Return what varies: 24 combinations under three attentions."""
    return Axes(
        recipes=("winclip",),
        parts={
            "backbone": (f"openclip:{model}",),
            "prompts": ("compositional", "plain"),
            "extractor": ("window",),
            "attention": ("diagonal",),
            "scorer": ("harmonic", "max-cosine"),
        },
        options={
            "backbone": {"weights": ("random:0",), "precision": ("float32",)},
            "extractor": {"scales": ("2,3", "2,3,5")},
            "attention": {"gamma": ("0", "0.5", "1")},
        },
    )


@torch.inference_mode()
def seconds_of_passes(shared: Shared, image: Path) -> float:
    """Return how long all passes over an image take, its decoding included."""
    started = time.perf_counter()
    batch = ImageBatch((as_source(image),))
    for each in shared.passes:
        backbone = each.assembly.parts["backbone"].part
        backbone.encode(batch, list(each.requests), each.attention.part)
    return time.perf_counter() - started


def seconds_together(
    shared: Shared, streams: list[Stream], image: Path
) -> tuple[float, list[Result]]:
    """Return how long all combinations take for an image, and what they say of it."""
    started = time.perf_counter()
    found = stream_together(streams, [as_source(image)], after_batch=shared.forget)
    results = [result for _, result in found]
    return time.perf_counter() - started, results


def main(folders: list[Path], count: int, rounds: int, model: str) -> None:
    """Measure and print."""
    found = combine(axes(model), Registry.discover())
    detectors = list(found.detectors.values())
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, CLASS_NAME, 1) for detector in shared.detectors]
    images = find_images(folders)[:count]
    print(f"{len(detectors)} combinations, {len(shared.passes)} passes, {len(images)} images")
    seconds_together(shared, streams, images[0])  # to warm up
    ratios, passes, together = [], [], {}
    for _ in range(rounds):
        for image in images:
            alone = seconds_of_passes(shared, image)
            taken, together[image] = seconds_together(shared, streams, image)
            passes.append(alone)
            ratios.append(taken / alone)
    print(
        f"passes: {statistics.median(passes):.2f} s an image; all combinations: "
        f"{statistics.median(ratios):.3f} times that (from {min(ratios):.3f} to {max(ratios):.3f})"
    )
    worst = 0.0
    for index, detector in enumerate(detectors):
        for image in images:
            (single,) = detector.predict(image, CLASS_NAME, 1)
            worst = max(worst, abs(single.score - together[image][index].score))
            beside = together[image][index].map
            assert single.map is not None
            assert beside is not None
            worst = max(worst, float(abs(single.map - beside).max()))
    print(f"largest difference of scores and maps to single runs: {worst:.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="ViT-B-16-plus-240")
    arguments = parser.parse_args()
    main(arguments.folders, arguments.images, arguments.rounds, arguments.model)
