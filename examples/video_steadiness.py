"""How much steadier verdicts on films are with each steadier, and what that costs.

    python examples/video_steadiness.py DATA --out measured.json

Clips are drawn (a part under a camera), and made of photographs in the layout of MVTec AD (a
camera that pans over them, two good and a bad one by turns); no film of a real line was at hand.
Each is encoded and decoded, scored once frame by frame by a detector with frames of a
good clip as references, and judged by every steadier, each at the highest threshold by which it
finds 85 % of the events. Printed are: changes of the verdict per minute, beside the true ones;
false alarms (rows of NG frames without any defect in view) per minute without one; and how late
an event is found, in the median and at the 90th percentile, in seconds. A second table compares a
moving camera with ``--align`` and without.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from video.clips import RATE, Clip, drawn_clip, panned_clips
from vlmad import load_detector
from vlmad_alignment import ReferenceFrame
from vlmad_run.aligning import take_frame
from vlmad_video.film_events import judge_frames
from vlmad_video.steadiers import Moment

STEADIERS = (
    "", "half-life:0.2", "half-life:0.5", "half-life:1", "median:0.5", "median:1", "k-of-n:2/3/1",
    "k-of-n:3/5/1", "k-of-n:3/5", "k-of-n:5/9",
)  # fmt: skip
RECALL = 0.85
PHOTOGRAPHS = ("magnetic_tile", "mvtec_grid", "paper_PA_FLR01_TL")
REFERENCES, DEFECTS_SHOWN = 16, 8


@dataclass(frozen=True, slots=True)
class Scored:
    """A clip, and the scores of its frames."""

    times: list[float]
    labels: np.ndarray
    scores: list[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a steadier comes to at one threshold."""

    recall: float
    changes: float
    true_changes: float
    false_alarms: float
    delay: float
    late: float
    """The 90th percentile of delays."""


def main() -> None:
    """Measure all clips, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="Also keep what was measured, as JSON.")
    parser.add_argument("--seconds", type=int, default=60, help="Of each of two drawn clips.")
    parser.add_argument("--recipe", default="patchcore")
    arguments = parser.parse_args()
    started, rng = time.process_time(), np.random.default_rng(0)
    good = drawn_clip(rng, 12, moving=False, bad=False)
    drawn = [drawn_clip(rng, arguments.seconds, moving=False) for _ in range(2)]
    tables = {"drawn": table([scored(arguments.recipe, good, each) for each in drawn])}
    print_table("drawn", tables["drawn"])
    panned = []
    for name in PHOTOGRAPHS:
        train, test = panned_clips(arguments.data / name, rng, DEFECTS_SHOWN)
        panned.append(scored(arguments.recipe, train, test))
        print(f"{name}: AUROC of frames {auroc(panned[-1]):.3f}", flush=True)
        tables[name] = table([panned[-1]])
        print_table(name, tables[name])
    tables["photographs"] = averaged([tables[name] for name in PHOTOGRAPHS])
    print_table("photographs, each at its own threshold", tables["photographs"])
    aligned = moving_camera(rng, arguments.seconds // 2, arguments.recipe)
    print(f"{time.process_time() - started:.0f} seconds of processor time")
    if arguments.out:
        found = {name: {s: asdict(row) for s, row in rows.items()} for name, rows in tables.items()}
        arguments.out.write_text(json.dumps({"steadiers": found, "camera": aligned}, indent=1))


def scored(recipe: str, good: Clip, clip: Clip, align: bool = False) -> Scored:
    """Score a clip, both sent through a film, with frames of a good one as references."""
    with tempfile.TemporaryDirectory() as folder:
        good, clip = (each.through(Path(folder) / "clip.mp4") for each in (good, clip))
    references = good.images[:: max(1, len(good.images) // REFERENCES)][:REFERENCES]
    detector = load_detector(recipe)
    if align:
        take_frame(detector, ReferenceFrame.of(references[0]))
    results = detector.fit(references).predict(clip.images)
    refused = np.mean([any(n.startswith("not aligned") for n in each.notes) for each in results])
    if align:
        print(f"{recipe}: {refused:.0%} of frames left as they are")
    return Scored(clip.times, clip.labels, [each.score for each in results])


def auroc(clip: Scored) -> float:
    """Return the area under the curve of frames that count."""
    counts = clip.labels >= 0
    return float(roc_auc_score(clip.labels[counts], np.array(clip.scores)[counts]))


def table(clips: Sequence[Scored]) -> dict[str, Measured]:
    """Return what each steadier comes to at equal recall."""
    return {steady: at_recall(clips, steady) for steady in STEADIERS}


def at_recall(clips: Sequence[Scored], steady: str) -> Measured:
    """Return what a steadier comes to at the highest threshold that finds enough events."""
    every = np.unique(np.concatenate([each.scores for each in clips]))
    levels = np.quantile(every, np.linspace(1, 0, 200), method="nearest")
    for threshold in np.maximum(levels, 1e-9):
        found = judged(clips, steady, float(threshold))
        if found.recall >= RECALL:
            return found
    return found


def judged(clips: Sequence[Scored], steady: str, threshold: float) -> Measured:
    """Return what a steadier comes to at a threshold."""
    changes = true_changes = alarms = 0
    delays: list[float | None] = []
    for clip in clips:
        pairs = zip(clip.times, clip.scores, strict=True)
        frames = judge_frames([Moment(at, score, threshold) for at, score in pairs], steady)
        wrong = np.array([frame.answer == "NG" for frame in frames])
        changes += int((wrong[1:] != wrong[:-1]).sum())
        true_changes += int(((clip.labels == 1)[1:] != (clip.labels == 1)[:-1]).sum())
        alarms += sum((clip.labels[rows] == 0).all() for rows in runs(wrong))
        delays += [delay(clip, wrong, rows) for rows in runs(clip.labels == 1)]
    minutes = sum(len(clip.times) for clip in clips) / RATE / 60
    without = sum(int((clip.labels == 0).sum()) for clip in clips) / RATE / 60
    known = [each for each in delays if each is not None] or [float("nan")]
    return Measured(
        len([each for each in delays if each is not None]) / len(delays),
        changes / minutes,
        true_changes / minutes,
        alarms / without,
        float(np.median(known)),
        float(np.quantile(known, 0.9)),
    )


def runs(flags: np.ndarray) -> list[list[int]]:
    """Return the places of each row of true flags."""
    grouped = groupby(range(len(flags)), lambda number: bool(flags[number]))
    return [list(places) for flag, places in grouped if flag]


def delay(clip: Scored, wrong: np.ndarray, rows: Sequence[int]) -> float | None:
    """Return after how many seconds an event is found while its defect is in view, or None."""
    found = [row for row in rows if wrong[row]]
    return clip.times[found[0]] - clip.times[rows[0]] if found else None


def averaged(tables: Sequence[dict[str, Measured]]) -> dict[str, Measured]:
    """Return the means over several tables."""
    means = {}
    for steady in STEADIERS:
        rows = np.array([list(asdict(each[steady]).values()) for each in tables])
        means[steady] = Measured(*map(float, rows.mean(0)))
    return means


def print_table(name: str, rows: dict[str, Measured]) -> None:
    """Print what steadiers come to on one set of clips."""
    first = next(iter(rows.values()))
    print(f"\n{name}: {first.true_changes:.0f} true changes per minute")
    print("| `--steady` | events found | changes | false alarms | delay, median | 90 % |")
    print("|---|---|---|---|---|---|")
    for steady, row in rows.items():
        cells = f"{row.recall:.0%} | {row.changes:.0f} | {row.false_alarms:.1f}"
        shown = f"`{steady}`" if steady else "(nothing)"
        print(f"| {shown} | {cells} | {row.delay:.2f} s | {row.late:.2f} s |", flush=True)


def moving_camera(
    rng: np.random.Generator, seconds: int, recipe: str
) -> dict[str, dict[str, float]]:
    """Measure a camera that moves, aligned and not, and print a table of false alarms."""
    good = drawn_clip(rng, 12, moving=True, bad=False)
    clip = drawn_clip(rng, seconds, moving=True)
    print("\n| camera moves | AUROC of frames | false alarms | with `half-life:0.5` |")
    print("|---|---|---|---|")
    found = {}
    for each in dict.fromkeys(["padim", recipe]):
        for align in (False, True):
            one = scored(each, good, clip, align)
            alone, steady = (at_recall([one], how) for how in ("", "half-life:0.5"))
            name = f"{each}{', --align' if align else ''}"
            row = {
                "auroc": auroc(one),
                "alone": alone.false_alarms,
                "half-life:0.5": steady.false_alarms,
            }
            found[name] = row
            cells = f"{row['auroc']:.3f} | {row['alone']:.1f} | {row['half-life:0.5']:.1f}"
            print(f"| {name} | {cells} |", flush=True)
    return found


if __name__ == "__main__":
    main()
