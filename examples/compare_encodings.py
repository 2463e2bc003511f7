"""Measure what shared windows cost in quality: WinCLIP with each encoding, on the same images.

    python examples/compare_encodings.py examples/samples/*

A folder holds `test/good`, `test/<defect>` and `ground_truth/<defect>/<name>_mask.png`. Image AUROC
compares the scores of good and defective images; pixel AUROC those of all pixels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from vlmad import Detector, load_detector
from vlmad_run.finding import find_images

ENCODINGS = ("exact", "shared")


def mask_of(image: Path, size: tuple[int, int]) -> np.ndarray:
    """Return where an image is defective, as (height, width) booleans; nowhere if it is good."""
    if image.parent.name == "good":
        return np.zeros(size, dtype=bool)
    name = f"{image.stem}_mask.png"
    with Image.open(image.parents[2] / "ground_truth" / image.parent.name / name) as mask:
        return np.asarray(mask.convert("L")) > 127


def measure(detector: Detector, folder: Path) -> tuple[float, float]:
    """Return image and pixel AUROC on one product."""
    images = find_images([folder / "test"])
    results = detector.predict(images, class_name=folder.name)
    masks, maps = [], []
    for image, result in zip(images, results, strict=True):
        if result.map is None:
            raise SystemExit(result.error)
        maps.append(result.map.ravel())
        masks.append(mask_of(image, result.map.shape).ravel())
    defective = [image.parent.name != "good" for image in images]
    scores = [result.score for result in results]
    pixels = roc_auc_score(np.concatenate(masks), np.concatenate(maps))
    return float(roc_auc_score(defective, scores)), float(pixels)


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
