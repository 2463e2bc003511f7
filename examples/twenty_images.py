"""What twenty labelled images teach a detector, on all others of their product, over draws.

    python examples/twenty_images.py data/ --category commutator magnetic_tile --draws 5

For each category of a data set and each draw of ten good and ten defective test images, prompts
learn from these as `vlmad train --prompt learned --extractor dense` lets them. The other test
images are scored by the detector `anomalyclip` as it is, by what was learned, and by the default
with references, which are the ten good images. Differences are paired: of the same images. Their
intervals are Student's over draws, and so speak of other twenty images, not of other products.

Images are encoded once for each detector. The table in docs/training.md is its output.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from vlmad import Detector, load_detector
from vlmad.datasets import Sample
from vlmad.loading import Pieces, load
from vlmad.types import Features
from vlmad_datasets.masks import mask_of
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.pixel_metrics import pixel_metrics
from vlmad_run.choosing import DEFAULT_WITH_REFERENCES, Choice
from vlmad_run.opening import open_dataset
from vlmad_train._carrying_out import carry_out
from vlmad_train._options import LearningOptions, TrainingOutput, TrainingSource
from vlmad_train._preparing import prepare

Encoded: TypeAlias = tuple[Pieces, Features]
"""An image as its pieces, several where it is cut into tiles, and what is computed of them."""
Figures: TypeAlias = tuple[float, float]
"""Image AUROC and pixel AUROC."""
OF_EACH, SIZE = 10, (256, 256)
RawDescription = argparse.RawDescriptionHelpFormatter


@dataclass
class Category:
    """The test images of a category, encoded for both detectors."""

    samples: Sequence[Sample]
    class_name: str
    masks: list[np.ndarray[Any, Any] | None]
    shown: list[Encoded]
    compared: list[Encoded]

    def draw(self, seed: int) -> list[int]:
        """Return ten good images, and then ten defective ones."""
        rng, bad = np.random.default_rng(seed), np.array([s.anomalous for s in self.samples])
        sides = [np.flatnonzero(bad == side) for side in (False, True)]
        return [int(i) for own in sides for i in rng.choice(own, OF_EACH, replace=False)]

    def measure(
        self, detector: Detector, encoded: Sequence[Encoded], drawn: Sequence[int]
    ) -> Figures:
        """Return the figures of a detector on all images but those drawn."""
        rest = [index for index in range(len(self.samples)) if index not in drawn]
        found = []
        for index in rest:
            pieces, features = encoded[index]
            found.append(detector.result(pieces, detector.score(features, self.class_name), 0))
        labels = [self.samples[index].anomalous for index in rest]
        maps = [each.map for each in found if each.map is not None]
        masks = [self.masks[index] for index in rest]
        pixels = pixel_metrics(maps, masks, labels=labels, resolution=SIZE).metrics["pixel_auroc"]
        image = image_metrics(labels, [each.score for each in found])["image_auroc"]
        return image.value or 0.0, pixels.value or 0.0


def encode(detector: Detector, samples: Sequence[Sample]) -> list[Encoded]:
    """Encode images once; of their pieces the places are kept, and not what was made of them."""
    images, wanted, kept = [sample.image for sample in samples], detector.preprocessings(), []
    for pieces in load(detector.sources(images), detector.resizing, wanted, 1):
        for piece in pieces:
            piece.release()
        kept.append(pieces)
    return [*zip(kept, detector.encode(images), strict=True)]


def learned(samples: Sequence[Sample], words: argparse.Namespace) -> Detector:
    """Return the detector with what `vlmad train` learns from a table of some images."""
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder, "twenty.csv"), Path(folder, "learned.safetensors")
        with table.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["image", "label", "mask", "category"])
            rows.writerows([s.image, s.label, s.mask, s.category] for s in samples)
        choice = Choice(prompt="learned", extractor="dense", settings=words.set)
        learning = LearningOptions(epochs=words.epochs, loss=words.loss)
        kept = TrainingOutput(out)
        carry_out(prepare(table, choice, TrainingSource(), learning, kept), kept, lambda _: None)
        return load_detector("anomalyclip", prompts=f"learned:{out}")


def compare(
    own: Category, plain: Detector, by_references: Detector, words: argparse.Namespace
) -> np.ndarray[Any, Any]:
    """Return the figures of all three detectors for each draw."""
    found = []
    for seed in range(words.draws):
        drawn = own.draw(seed)
        better = learned([own.samples[index] for index in drawn], words)
        good = [own.compared[index][1] for index in drawn[:OF_EACH]]
        by_references.memory = by_references.memory_of(good)
        found.append(
            (
                own.measure(plain, own.shown, drawn),
                own.measure(better, own.shown, drawn),
                own.measure(by_references, own.compared, drawn),
            )
        )
    return np.array(found)


def with_interval(differences: np.ndarray[Any, Any]) -> str:
    """Return the mean over draws with its interval of 95 %."""
    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return f"{mean:+.3f}"
    reach = t.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5
    return f"{mean:+.3f} [{mean - reach:+.3f}, {mean + reach:+.3f}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescription)
    parser.add_argument("data", type=Path, help="the folder of a data set")
    parser.add_argument("--category", nargs="+", help="only these; by default all")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--loss", help="as of vlmad train")
    parser.add_argument("--set", action="append", default=[], metavar="KIND.OPTION=VALUE")
    words = parser.parse_args()
    plain, by_references = load_detector("anomalyclip"), load_detector(DEFAULT_WITH_REFERENCES)
    data = open_dataset(words.data)
    columns = ("category", "AUROC of", "as it is", "learned", "difference", "10 good", "difference")
    table = Table(*columns, box=None)
    for name in dict.fromkeys(sample.category for sample in data.select(words.category)):
        samples = data.select([name], "test")
        encoded = [encode(detector, samples) for detector in (plain, by_references)]
        masks = [mask_of(sample) for sample in samples]
        own = Category(samples, data.class_name(name), masks, *encoded)
        found = compare(own, plain, by_references, words)
        for place, what in enumerate(("images", "pixels")):
            before, after, references = found[:, :, place].T
            row = (
                *(name, what, f"{before.mean():.3f}"),
                *(f"{after.mean():.3f}", with_interval(after - before)),
                *(f"{references.mean():.3f}", with_interval(references - before)),
            )
            print(*row, sep="\t", file=sys.stderr)  # what is known while the rest takes its time
            table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
