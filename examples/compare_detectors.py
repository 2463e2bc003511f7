"""Measure every detector on folders in the MVTec AD layout, and print a table.

    python examples/compare_detectors.py examples/samples/*

A folder holds `test/good`, `test/<defect>` and `ground_truth/<defect>/<name>_mask.png`, and, for
detectors that take references, `train/good`. Image AUROC compares the scores of good and
defective images; pixel AUROC those of all pixels, with masks at the size of their images.
Both are averaged over the folders.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from vlmad import Detector, load_detector
from vlmad.finding import find_images
from vlmad.references import choose_references

RECIPES = ("winclip", "winclip 4-shot", "anomalyclip", "hybrid", "clip", "clip-ac", "comparison")


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
    """Print a line for each recipe as soon as it is measured."""
    print("| detector | image AUROC | pixel AUROC | seconds an image |")
    print("|---|---|---|---|")
    for name in RECIPES:
        detector = load_detector(name.split()[0], backbone=backbone)
        found, start, count = [], time.monotonic(), 0
        for folder in folders:
            if name.endswith("shot"):
                detector.fit(choose_references(folder / "train" / "good", 4, seed=0))
            found.append(measure(detector, folder))
            count += len(find_images([folder / "test"]))
        image, pixel = np.mean(found, axis=0)
        print(f"| {name} | {image:.3f} | {pixel:.3f} | {(time.monotonic() - start) / count:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--backbone", help="such as openclip:ViT-B-16-plus-240/laion400m_e31")
    arguments = parser.parse_args()
    compare(arguments.folders, arguments.backbone)
