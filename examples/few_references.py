"""What a few references promise: thresholds, and defects among them, over many draws.

    python examples/few_references.py parts/ --references 1 4 --draws 50

For every category of a data set and every draw of references from its good train images, by the
detector that `vlmad run --references` takes, or by another recipe:

- thresholds as `vlmad fit` and `vlmad calibrate` choose them: the share of false alarms, and of
  defects found, among the test images; good train images that are no reference join these;
- defective references: one of them is exchanged for a defective test image; how often it alone
  stands out, and how often a good one of the others does.

Images are encoded once. The figures in docs/thresholds.md are its output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vlmad import Detector, load_detector
from vlmad.types import Features
from vlmad_run.choosing import DEFAULT_WITH_REFERENCES
from vlmad_run.leaving_out import (
    LEAST,
    automatic_threshold,
    changes_of,
    judge_encoded,
    standing_out,
)
from vlmad_run.manifest import GoodScores
from vlmad_run.opening import OpenDataset, open_dataset

Views: TypeAlias = list[Features]
Memory: TypeAlias = Mapping[str, Tensor]
RawDescription = argparse.RawDescriptionHelpFormatter
COLUMNS = (
    "category",
    "references",
    "false alarms %",
    "found %",
    "defective one: named %",
    "ranked first %",
    "a good one named %",
)


@dataclass
class Category:
    """Encoded images of a category, the good train images in all views and changes."""

    train: list[Views]
    changed: list[Views]
    good: list[Features]
    bad: list[Views]


def encode(detector: Detector, data: OpenDataset, name: str) -> Category:
    """Encode the images of a category, each once."""

    def views(image: Path) -> Views:
        return list(detector.encode(detector.views_of(list(detector.sources([image])), 1)))

    samples = data.select([name])
    train = [s.image for s in samples if s.split == "train" and not s.anomalous]
    tested = [s for s in samples if s.split == "test"]
    return Category(
        [views(image) for image in train],
        [
            list(detector.encode(list(changes_of(next(detector.sources([image]))))))
            for image in train
        ],
        list(detector.encode([s.image for s in tested if not s.anomalous])),
        [views(s.image) for s in tested if s.anomalous],
    )


def held(detector: Detector, references: Sequence[Views], count: int) -> list[Views]:
    """Return the views of references that a memory of so many holds."""
    views = len(detector.views_of(list(detector.sources(["any.png"])), count))
    return [own[:views] for own in references]


def scores(detector: Detector, images: Iterable[Features], memory: Memory) -> list[float]:
    """Return what images score by a memory."""
    return [float(detector.score(each, memory=memory).score.max()) for each in images]


def judge(detector: Detector, own: Category, chosen: list[int]) -> tuple[float, float]:
    """Return the shares of false alarms, and of defects found, by one draw of references."""
    count, references = len(chosen), [own.train[index] for index in chosen]
    memory = detector.memory_of([v for views in held(detector, references, count) for v in views])
    if count == 1:
        good = GoodScores(scores=scores(detector, own.changed[chosen[0]], memory), how="changed")
    else:
        left_out = judge_encoded(detector, held(detector, references, count - 1))
        good = GoodScores(scores=left_out, how="left out")
    threshold = automatic_threshold(good).value
    spare = [views[0] for index, views in enumerate(own.train) if index not in chosen]
    tested = [*own.good, *spare], [views[0] for views in own.bad]
    alarms, found = (np.array(scores(detector, each, memory)) >= threshold for each in tested)
    return float(alarms.mean()), float(found.mean())


def exchange(detector: Detector, own: Category, chosen: list[int], bad: int) -> list[float]:
    """Return whether a defective reference stands out, ranks first, and whether a good one does.

    The last is of the same references without a defective one.
    """
    references = [own.train[index] for index in chosen]
    clean = judge_encoded(detector, held(detector, references, len(chosen) - 1))
    references[0] = own.bad[bad]
    left_out = judge_encoded(detector, held(detector, references, len(chosen) - 1))
    named = 0 in standing_out(left_out)
    return [float(named), float(np.argmax(left_out) == 0), float(bool(standing_out(clean)))]


def measure(detector: Detector, own: Category, count: int, draws: int) -> list[float]:
    """Return the mean over draws of all five shares; of few references only the first two."""
    found = []
    for seed in range(draws):
        rng = np.random.default_rng([seed, count])
        chosen = rng.choice(len(own.train), count, replace=False).tolist()
        shares = list(judge(detector, own, chosen))
        if count >= LEAST:
            shares += exchange(detector, own, chosen, int(rng.integers(len(own.bad))))
        found.append(shares)
    return [float(share) for share in np.mean(found, axis=0)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescription)
    parser.add_argument("data", type=Path, help="the folder of a data set")
    parser.add_argument("--detector", default=DEFAULT_WITH_REFERENCES, help="a recipe")
    parser.add_argument("--references", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--draws", type=int, default=50)
    words = parser.parse_args()
    detector, data = load_detector(words.detector), open_dataset(words.data)
    names = list(dict.fromkeys(sample.category for sample in data.select(None)))
    rows: dict[int, list[list[float]]] = {count: [] for count in words.references}
    table = Table(*COLUMNS, box=None)
    for name in names:
        own = encode(detector, data, name)
        for count, measured in rows.items():
            if count < len(own.train):
                measured.append(measure(detector, own, count, words.draws))
                row = name, str(count), *(f"{100 * share:.0f}" for share in measured[-1])
                print(*row, sep="\t", file=sys.stderr)  # of what takes an hour, what is known
                table.add_row(*row)
    for count, measured in rows.items():
        mean = np.mean(measured, axis=0)
        table.add_row("mean", str(count), *(f"{100 * share:.1f}" for share in mean))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
