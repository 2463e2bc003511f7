"""What prompts learn from judged mistakes on a folder of a data set, with its folds and interval.

    python examples/learn_from_mistakes.py data/paper_PA_FVN01_TL --contrast 0 0.5

All images are reviewed with their true labels; mistakes are told by the threshold of largest F1.
The prompts are those of the embedded backbone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from learn_from_misses import find
from vlmad import load_detector
from vlmad_review._learned_review import MistakeTrials
from vlmad_review._material import ReviewMaterial
from vlmad_review._practice import Practice
from vlmad_review._verdicts import PersonalVerdict
from vlmad_run.references import Assembled
from vlmad_run.rows import ScoreRow


def main() -> None:
    """Print a line for each weight of the contrast."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of-each", type=int, default=24, help="defective images of each kind")
    parser.add_argument("--contrast", type=float, nargs="+", default=[0.0])
    parser.add_argument("--emphasis", type=float, default=4.0)
    given = parser.parse_args()
    paths, good = find(given.folder, given.of_each)
    detector = load_detector("anomalyclip")
    run: Any = SimpleNamespace(folder=given.folder, threshold=None, rows=list)
    images = [
        PersonalVerdict(
            ScoreRow.model_construct(image=str(path), sha256=str(number), status="done"),
            path,
            "anomalous" if number >= good else "normal",
            2,
        )
        for number, path in enumerate(paths)
    ]
    assembled = Assembled(detector, "object", [])
    material = ReviewMaterial(run, assembled, images, [*detector.encode(paths)])
    for contrast in given.contrast:
        practice = Practice(contrast=contrast, emphasis=given.emphasis)
        trials = MistakeTrials(material, practice)
        found = trials.measure()
        print(
            f"{given.folder.name} {good} good {len(paths) - good} defective, "
            f"{len(trials.hard.opposites)} mistakes, contrast {contrast:g}: as it is "
            f"{found.as_it_is.text()}, learned {found.learned.text()}, gain {found.gain.text('+')}",
            flush=True,
        )


if __name__ == "__main__":
    main()
