"""Measure what shared windows cost in quality: WinCLIP with each encoding, on the same images.

    python examples/compare_encodings.py examples/samples/*

Folders and figures are those of `compare_detectors.py`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import mean

from compare_detectors import measure
from vlmad import load_detector

ENCODINGS = ("exact", "shared")


def compare(folders: list[Path], backbone: str | None) -> None:
    """Print a line for each folder and encoding, and the means."""
    print("| folder | encoding | image AUROC | pixel AUROC | seconds |")
    print("|---|---|---|---|---|")
    found: dict[str, list[tuple[float, float]]] = {encoding: [] for encoding in ENCODINGS}
    for folder in folders:
        for encoding in ENCODINGS:
            options = {"extractor": {"encoding": encoding}}
            detector = load_detector("winclip", backbone=backbone, options=options)
            started = time.monotonic()
            figures = measure(detector, folder)
            found[encoding].append(figures)
            seconds = time.monotonic() - started
            print(f"| {folder.name} | {encoding} | {_row(*figures)} | {seconds:.0f} |", flush=True)
    for encoding, figures_found in found.items():
        images, pixels = zip(*figures_found, strict=True)
        print(f"| mean | {encoding} | {_row(mean(images), mean(pixels))} | |")


def _row(image: float, pixel: float) -> str:
    return f"{image:.3f} | {pixel:.3f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="in the MVTec AD layout")
    parser.add_argument("--backbone", help="instead of the embedded model")
    arguments = parser.parse_args()
    compare(arguments.folders, arguments.backbone)
