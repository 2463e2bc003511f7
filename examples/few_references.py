"""What a few references promise: thresholds, and defects among them, over many draws.

    python examples/few_references.py parts/ --references 1 4 --draws 50
    python examples/few_references.py parts/ --detector padim --references 4 --exchange

For every category of a data set and every draw of references from its good train images, by the
detector that `vlmad run --references` takes, or by another recipe:

- thresholds as `vlmad fit` and `vlmad calibrate` choose them: the share of false alarms, and of
  defects found, among the test images; good train images that are no reference join these;
- defective references: one of them is exchanged for a defective test image; how often it alone
  stands out, and how often a good one of the others does.

Images are encoded once; `--exchange` measures the second alone, on the images that it draws.
The figures in docs/thresholds.md are its output.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vlmad import Detector, load_detector
from vlmad.images import Source
from vlmad.types import Features
from vlmad_run.choosing import DEFAULT_WITH_REFERENCES
from vlmad_run.kinds import TellsOddReferences
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


class Encoded:
    """The features of images in several views, each encoded when it is first asked for."""

    def __init__(
        self, detector: Detector, images: Sequence[Path], views: Callable[[Source], list[Source]]
    ) -> None:
        self.detector, self.images, self.views = detector, images, views
        self.known: dict[int, Views] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Views:
        if index not in self.known:
            [source] = self.detector.sources([self.images[index]])
            self.known[index] = list(self.detector.encode(self.views(source)))
        return self.known[index]


@dataclass(frozen=True)
class Category:
    """Images of a category: good train images turned and changed, and the test images."""

    train: Encoded
    changed: Encoded
    good: Encoded
    bad: Encoded


def category(detector: Detector, data: OpenDataset, name: str) -> Category:
    """Return the images of a category."""
    samples = data.select([name])
    train = [s.image for s in samples if s.split == "train" and not s.anomalous]
    good = [s.image for s in samples if s.split == "test" and not s.anomalous]
    bad = [s.image for s in samples if s.split == "test" and s.anomalous]
    return Category(
        Encoded(detector, train, lambda source: detector.views_of([source], 1)),
        Encoded(detector, train, lambda source: list(changes_of(source))),
        Encoded(detector, good, lambda source: [source]),
        Encoded(detector, bad, lambda source: detector.views_of([source], LEAST - 1)),
    )


def held(detector: Detector, references: Sequence[Views], count: int) -> list[Views]:
    """Return the views of references that a memory of so many holds."""
    views = len(detector.views_of(list(detector.sources(["any.png"])), count))
    return [own[:views] for own in references]


def scores(detector: Detector, images: Sequence[Features], memory: Memory) -> list[float]:
    """Return what images score by a memory, each the highest of its tiles."""
    found = detector.score(Features.concatenate(images), memory=memory).score
    return [float(own.max()) for own in found.split([len(each.image) for each in images])]


def judge(
    detector: Detector, own: Category, chosen: list[int], most: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the shares of false alarms, and of defects found, by one draw of references.

    Of good and of defective images `most` are drawn.
    """
    count, references = len(chosen), [own.train[index] for index in chosen]
    memory = detector.memory_of([v for views in held(detector, references, count) for v in views])
    if count == 1:
        good = GoodScores(scores=scores(detector, own.changed[chosen[0]], memory), how="changed")
    else:
        left_out = judge_encoded(detector, held(detector, references, count - 1))
        good = GoodScores(scores=left_out, how="left out")
    threshold = automatic_threshold(good).value
    spare = [(own.train, index) for index in range(len(own.train)) if index not in chosen]
    candidates = [(own.good, index) for index in range(len(own.good))] + spare
    tested = candidates, [(own.bad, index) for index in range(len(own.bad))]
    shares = []
    for images in tested:
        drawn = [images[index] for index in rng.permutation(len(images))[:most]]
        seen = [encoded[index][0] for encoded, index in drawn]
        shares.append(float((np.array(scores(detector, seen, memory)) >= threshold).mean()))
    return shares[0], shares[1]


def exchange(detector: Detector, own: Category, chosen: list[int], bad: int) -> list[float]:
    """Return whether a defective reference stands out, ranks first, and whether a good one does.

    The last is of the same references without a defective one.
    """
    references = [own.train[index] for index in chosen]
    clean = judge_encoded(detector, held(detector, references, len(chosen) - 1))
    references[0] = own.bad[bad]
    left_out = judge_encoded(detector, held(detector, references, len(chosen) - 1))
    scorer = detector.scorer
    odd = scorer.odd_reference if isinstance(scorer, TellsOddReferences) else math.inf
    named, wrong = 0 in standing_out(left_out, odd), bool(standing_out(clean, odd))
    return [float(named), float(np.argmax(left_out) == 0), float(wrong)]


def measure(
    detector: Detector, own: Category, count: int, words: argparse.Namespace
) -> list[float]:
    """Return the mean over draws of all five shares; of few references only the first two."""
    found = []
    for seed in range(words.draws):
        rng = np.random.default_rng([seed, count])
        chosen = rng.choice(len(own.train), count, replace=False).tolist()
        shares = list[float]()
        if not words.exchange:
            shares += judge(detector, own, chosen, words.images, rng)
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
    parser.add_argument("--images", type=int, default=12, help="good, and bad, ones of each draw")
    parser.add_argument("--exchange", action="store_true", help="measure defective ones alone")
    words = parser.parse_args()
    if words.exchange and min(words.references) < LEAST:
        parser.error(f"of {LEAST} references on one may stand out; give --references {LEAST}")
    columns = (*COLUMNS[:2], *COLUMNS[4:]) if words.exchange else COLUMNS
    detector, data = load_detector(words.detector), open_dataset(words.data)
    names = list(dict.fromkeys(sample.category for sample in data.select(None)))
    rows: dict[int, list[list[float]]] = {count: [] for count in words.references}
    table = Table(*columns, box=None)
    for name in names:
        own = category(detector, data, name)
        for count, measured in rows.items():
            if count < len(own.train):
                measured.append(measure(detector, own, count, words))
                row = name, str(count), *(f"{100 * share:.0f}" for share in measured[-1])
                print(*row, sep="\t", file=sys.stderr)  # of what takes an hour, what is known
                table.add_row(*row)
    for count, measured in rows.items():
        mean = np.mean(measured, axis=0)
        table.add_row("mean", str(count), *(f"{100 * share:.1f}" for share in mean))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
