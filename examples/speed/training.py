"""Time `vlmad train` beside a loop that encodes all images anew in every epoch.

    python examples/speed/training.py --model ViT-L-14-336-quickgelu --size 518 --images 16
    python examples/speed/training.py --model core/vlmad/testing/two_layer.json --size 80

Weights are random. V is the visual time of an image, T all other time that an epoch takes for it.
Of n epochs that encode anew, one visual pass leaves the share (V + nT) / n(V + T): the gain is at
most n(V + T) / (V + nT), and what is reached of it is printed. Both loops are the same code and
must have the same losses, to 1e-4. Times are of the processor, so that other work does not disturb
them: with one thread (the default) they are what a machine at rest takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vlmad_run.choosing import Choice
from vlmad_train._options import LearningOptions, TrainingOutput, TrainingSource
from vlmad_train._preparing import Prepared, prepare


@dataclass(frozen=True)
class Timed:
    """What a training took of the processor, and its losses."""

    seconds: float
    encoding: float
    losses: list[float]


def draw(root: Path, images: int, size: int) -> Path:
    """Write images of noise, every other one with a bright square and its mask."""
    rng = np.random.default_rng(0)
    for number in range(images):
        bad = bool(number % 2)
        folder = root / "noise" / "test" / ("spot" if bad else "good")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(60, 120, (size, size, 3), dtype=np.uint8)
        mask = np.zeros((size, size), np.uint8)
        if bad:
            top, left = rng.integers(0, size // 2, 2)
            mask[top : top + size // 4, left : left + size // 4] = 255
            pixels[mask > 0] = 250
            masks = root / "noise" / "ground_truth" / "spot"
            masks.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(masks / f"{number:03d}_mask.png")
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    (root / "noise" / "train" / "good").mkdir(parents=True)
    Image.fromarray(pixels).save(root / "noise" / "train" / "good" / "000.png")
    return root


def prepared(data: Path, out: Path, words: argparse.Namespace, disk: float) -> Prepared:
    """Return the training of AnomalyCLIP's prompts."""
    weights = ["backbone.weights=random:0", f"backbone.image_size={words.size}"]
    choice = Choice(
        backbone=f"openclip:{words.model}",
        prompt="learned",
        extractor="dense",
        settings=[*weights, "backbone.precision=float32"],
    )
    learning = LearningOptions(epochs=words.epochs, batch_size=words.batch)
    output = TrainingOutput(out=out, disk=disk)
    return prepare(data, choice, TrainingSource(held_out=["none"]), learning, output)


def timed(ready: Prepared, folder: Path) -> Timed:
    """Learn, and time what a visual pass takes of it."""
    ready.material.measure()  # loads the weights
    started = time.process_time()
    ready.material.fill()
    encoding = time.process_time() - started
    history = ready.training(folder).run(lambda epoch: print(".", end="", file=sys.stderr))
    seconds = time.process_time() - started
    return Timed(seconds, encoding, [epoch.training.loss for epoch in history.epochs])


def report(once: Timed, anew: Timed, images: int, epochs: int) -> str:
    """Say what was reached of what can be."""
    visual = once.encoding / images
    other = (once.seconds - once.encoding) / images / epochs
    bound = epochs * (visual + other) / (visual + epochs * other)
    gain = anew.seconds / once.seconds
    apart = max(abs(a - b) for a, b in zip(once.losses, anew.losses, strict=True))
    return "\n".join(
        [
            f"V = {visual:.4f} s, T = {other:.4f} s for each image",
            f"encoding once: {once.seconds:.1f} s; in every epoch: {anew.seconds:.1f} s",
            f"bound {bound:.2f}, reached {gain:.2f}: {gain / bound:.0%} of it",
            f"losses differ by {apart:.1e} at most",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-L-14-336-quickgelu")
    parser.add_argument("--size", type=int, default=518)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = draw(root / "data", words.images, words.size)
        once = timed(prepared(data, root / "once.safetensors", words, 100), root / "once")
        anew = timed(prepared(data, root / "anew.safetensors", words, 0), root / "anew")
        print("\n" + report(once, anew, words.images, words.epochs))
