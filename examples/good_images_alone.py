"""Measure detectors that learn from good images alone beside those that remember, and words.

    export OMP_NUM_THREADS=1
    python examples/good_images_alone.py photos measured
    python docs/results.py families=measured

`photos` is a folder of the layout of MVTec AD. Each step is a `vlmad bench` for each category, in
`measured/STEP/CATEGORY`, of the test images and the good train images that are no reference; of
words those that are none in the first draw. What takes under a minute to fit has three draws of
references, the others one. What was stopped goes on when the same command is given again; `--only`
and `--category` take a part. Words behind them are the bench's, such as `--budget 6` where other
programs use the machine as well. `measured/costs.json` gets what fitting and an image cost, in
processor time of one thread, on the category that `--costs-on` names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

EIGHT = ("--shots", "8", "--seeds")
STEPS: dict[str, tuple[str, ...]] = {
    "words": ("rarity,winclip,anomalyclip,hybrid,clip", "--shots", "0"),
    "memories": ("change,gaussian,patchcore,padim,spade", *EIGHT, "3"),
    "autoencoder": ("autoencoder", *EIGHT, "3"),
    "cutpaste": ("cutpaste", *EIGHT, "1"),
    "regad": ("regad", *EIGHT, "1"),
    "draem": ("draem", *EIGHT, "1"),
}
"""Detectors, and words of the bench."""
SHOTS, LOOKED_AT = 8, 12
"""References and test images of a detector whose costs are measured."""


def bench(photos: Path, out: Path, step: str, category: str, more: Sequence[str]) -> None:
    """Measure a step on a category, or what is left of it."""
    detectors, *words = STEPS[step]
    if step == "words":
        photos = without_references(photos, out / "photos", category)
    command = [sys.executable, "-m", "vlmad", "bench", str(photos), "--category", category]
    command += ["--detector", detectors, *words, "--spare-good", "--resolution", "256", *more]
    command += ["--quiet", "--out", str(out / step / category)]
    print(time.strftime("%H:%M:%S"), step, category, flush=True)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    status = subprocess.run(command, env=one_thread, check=False).returncode
    print(time.strftime("%H:%M:%S"), "ended with", status, flush=True)


def without_references(photos: Path, to: Path, category: str) -> Path:
    """Copy a category without the references that others get, so that all see the same images."""
    if not (to / category).is_dir():
        left_out = {path.name for path in references(photos, category)}
        shutil.copytree(
            photos / category,
            to / category,
            ignore=lambda place, names: left_out if place.endswith("train/good") else (),
        )
    return to


def references(photos: Path, category: str) -> Sequence[Path]:
    """Return those of the first draw."""
    from vlmad_run.references import draw_references

    train = sorted((photos / category / "train" / "good").iterdir())
    return draw_references(train, SHOTS, 0, category)


def costs(photos: Path, out: Path, step: str, category: str) -> dict[str, dict[str, float]]:
    """Return seconds to fit and for an image, and megabytes of what was fitted.

    What was learned by the bench is not learned again: the bench has timed it.
    """
    from vlmad import load_detector
    from vlmad_run.learning_in_fit import learning_in

    tested = sorted((photos / category / "test").glob("*/*"))[:LOOKED_AT]
    others = {
        each.name: tuple(sorted((each / "train" / "good").iterdir()))
        for each in sorted(photos.iterdir())
        if each.is_dir() and each.name != category
    }
    found = {}
    for name in STEPS[step][0].split(","):
        detector, took = load_detector(name), 0.0
        place = out / step / category / "learned" / name / category / f"{SHOTS}-shot-seed-0"
        if detector.scorer.references != "none" and "0" not in STEPS[step]:
            drawn = references(photos, category)
            across = name == "regad"  # whose learning lies beside all draws
            with learning_in(place.parent if across else place, others=others if across else None):
                took = _seconds(lambda d=detector, r=drawn: d.fit(r))
        detector.predict(tested[:2])
        each = _seconds(lambda d=detector: d.predict(tested)) / len(tested)
        size = sum(tensor.nbytes for tensor in (detector.memory or {}).values()) / 1e6
        found[name] = {"fit_seconds": took, "image_seconds": each, "megabytes": size}
        print(name, found[name], flush=True)
    return found


def _seconds(do: object) -> float:
    started = time.process_time()
    do()  # type: ignore[operator]
    return time.process_time() - started


def main() -> None:
    """Run the steps, or measure costs."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("photos", type=Path, help="the data set")
    parser.add_argument("out", type=Path, help="where results go")
    parser.add_argument("--only", default=",".join(STEPS), help="steps, with commas between")
    parser.add_argument("--category", help="categories, with commas between; all by default")
    parser.add_argument("--costs-on", metavar="CATEGORY", help="measure what steps cost on it")
    given, words = parser.parse_known_args()
    every = sorted(place.name for place in given.photos.iterdir() if place.is_dir())
    for step in given.only.split(","):
        if given.costs_on:
            _add_costs(given.out, costs(given.photos, given.out, step, given.costs_on))
            continue
        for category in (given.category or ",".join(every)).split(","):
            bench(given.photos, given.out, step, category, words)


def _add_costs(out: Path, found: dict[str, dict[str, float]]) -> None:
    path = out / "costs.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(known | found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
