"""What `vlmad review` gains from misses on a folder of a data set, with its folds and intervals.

    python examples/learn_from_misses.py data/paper_PA_FVN01_TL --draws 2

Four good images are references; the others are reviewed with their true labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from vlmad import load_detector
from vlmad_calibration.rules import Rule
from vlmad_review._material import ReviewMaterial
from vlmad_review._proposals import propose
from vlmad_review._trials import Trials
from vlmad_review._verdicts import PersonalVerdict
from vlmad_run.references import Assembled
from vlmad_run.rows import ScoreRow

GOOD, REFERENCES = 16, 4


def find(folder: Path, of_each: int) -> tuple[list[Path], int]:
    """Return images, up to 16 good ones of each split first, and how many these are."""
    good = [
        p for split in ("train", "test") for p in sorted((folder / split / "good").iterdir())[:GOOD]
    ]
    kinds = [kind for kind in sorted((folder / "test").iterdir()) if kind.name != "good"]
    return good + [path for kind in kinds for path in sorted(kind.iterdir())[:of_each]], len(good)


def main() -> None:
    """Print a line for each draw of references."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--of-each", type=int, default=24, help="defective images of each kind")
    given = parser.parse_args()
    paths, good = find(given.folder, given.of_each)
    detector = load_detector("gaussian")
    features = [*detector.encode(paths)]
    run: Any = SimpleNamespace(folder=given.folder, threshold=None, rows=list)
    for draw in range(given.draws):
        drawn = np.random.default_rng(draw).choice(good, REFERENCES, replace=False)
        detector.memory = detector.memory_of([features[index] for index in drawn])
        rest = [index for index in range(len(paths)) if index not in drawn]
        images = [
            PersonalVerdict(
                ScoreRow.model_construct(image=str(paths[i]), sha256=str(i), status="done"),
                paths[i],
                "anomalous" if i >= good else "normal",
                2,
            )
            for i in rest
        ]
        assembled = Assembled(detector, "object", [])
        own = [features[index] for index in rest]
        material = ReviewMaterial(run, assembled, images, own, no_references="not tried")
        found = propose(Trials(material, Rule.f1, None), None)
        before = found.figures["threshold"].auroc.text()
        [gained] = [each for each in found.gains if each.detector == "misses"]
        print(found.normal, found.anomalous, before, gained.auroc.text("+"), gained.f1.text("+"))


if __name__ == "__main__":
    main()
