"""Measure what a start takes beside its imports: the embedded model, and a large CLIP's texts.

    python examples/speed/loading.py [--rounds 5]

Each measurement is a process of its own, whose imports are done when the clock starts. The texts
are WinCLIP's on ViT-B-16-plus-240 with a file of random weights: first without anything kept, then
as a second start finds them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

MODEL = "ViT-B-16-plus-240"
WINCLIP = ("vlmad_winclip.prompts", "vlmad_winclip.extractor", "vlmad_winclip.scorer")
MODEL_LOADED, TEXTS = "the embedded model", "the texts of a large CLIP"


def main(rounds: int) -> None:
    """Measure and print."""
    print("| what | seconds, median | fastest | slowest |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show(MODEL_LOADED, [measure("model", folder) for _ in range(rounds)])
        write_weights(folder)
        show(f"{TEXTS}, first", [measure("texts", folder)])
        show(f"{TEXTS}, kept", [measure("texts", folder) for _ in range(rounds)])


def show(what: str, taken: list[float]) -> None:
    """Print a row."""
    figures = (statistics.median(taken), min(taken), max(taken))
    print(f"| {what} | {' | '.join(f'{seconds:.3f}' for seconds in figures)} |", flush=True)


def write_weights(folder: Path) -> None:
    """Write a file of random weights; it must be some seconds old to be known by its time."""
    import torch
    from vlmad_openclip.backbone import OpenClip

    model = OpenClip(MODEL, weights="random:0", device="cpu").model
    torch.save(model.state_dict(), folder / "weights.pt")
    time.sleep(3)


def measure(what: str, folder: Path) -> float:
    """Return the seconds that a new process takes for it."""
    environment = {**os.environ, "VLMAD_CACHE": str(folder / "kept")}
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def load_model(folder: Path) -> float:
    """Return how long the embedded model takes to load."""
    from vlmad_tiny.backbone import Tiny

    for module in ("open_clip", "timm"):
        import_module(module)
    started = time.perf_counter()
    assert Tiny(device="cpu").model is not None
    return time.perf_counter() - started


def encode_texts(folder: Path) -> float:
    """Return how long a detector takes from its names to its text embeddings."""
    from vlmad import load_detector

    for module in ("open_clip", "vlmad_openclip.backbone", *WINCLIP):
        import_module(module)
    started = time.perf_counter()
    weights = folder / "weights.pt"
    detector = load_detector("winclip", backbone=f"openclip:{MODEL}", weights=weights)
    assert detector.text("object", None) is not None
    return time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=("model", "texts"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print({"model": load_model, "texts": encode_texts}[arguments.measure](arguments.folder))
    else:
        main(arguments.rounds)
