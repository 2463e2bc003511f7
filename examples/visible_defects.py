"""How many synthetic defects a backbone sees, and how many changes that are none pass for one.

    python examples/visible_defects.py parts/ nuts/ --images 3 --detector anomalydino

In good images of data sets or folders each kind of defect is drawn once and judged by the rule of
`vlmad_synthesis.visibility`; so is what light, a move, noise and JPEG change, within the masks of
these defects. The figures in docs/synthesis.md are its output.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from vlmad import Detector, load_detector
from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_synthesis.good_images import find_good
from vlmad_synthesis.nuisances import NUISANCES, disturb
from vlmad_synthesis.synthetic import Synthetic, choose_defects, seeded, synthesise
from vlmad_synthesis.visibility import changes_in


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=3, help="of each category")
    parser.add_argument("--detector", default="anomalydino", help="whose features are compared")
    words = parser.parse_args()
    detector, found = load_detector(words.detector), defaultdict[str, list[float]](list)
    for data in words.data:
        for images in find_good(data).values():
            for path in images[: words.images]:
                for kind, change in measure(detector, path):
                    found[kind].append(change)
    show(found)


def measure(detector: Detector, path: Path) -> list[tuple[str, float]]:
    """Return the change that each defect makes, and that each nuisance makes within its mask."""
    good = np.asarray(decode(path))
    drawn = list(draw_each(good, str(path)))
    disturbed = [disturb(good, seeded(0, path, kind), [kind])[0] for kind in NUISANCES]
    pixels = [good, *(each.image for each in drawn), *disturbed]
    before, *after = detector.encode([Image.fromarray(each) for each in pixels])
    rows = [
        (each.kind, changes_in(before, features, [each.mask])[0])
        for each, features in zip(drawn, after, strict=False)
    ]
    for kind, features in zip(NUISANCES, after[len(drawn) :], strict=True):
        rows += [(f"({kind})", changes_in(before, features, [each.mask])[0]) for each in drawn]
    return rows


def draw_each(good: np.ndarray, name: str) -> list[Synthetic]:
    """Draw each kind of defect that shows in an image."""
    drawn = []
    for kind, defect in choose_defects().items():
        try:
            drawn.append(synthesise(good, seeded(0, name, kind), {kind: defect}))
        except InputError as error:
            Console(stderr=True).print(f"{name}: {kind}: {error}")
    return drawn


def show(found: dict[str, list[float]]) -> None:
    """Print how large changes are, and how many reach one and one half."""
    table = Table("kind", "count", "median", "reach 1 %", "reach 0.5 %", box=None)
    together = {
        "all defects": [c for kind, each in found.items() if kind[0] != "(" for c in each],
        "(all)": [c for kind, each in found.items() if kind[0] == "(" for c in each],
    }
    for kind, changes in (found | together).items():
        shares = (f"{100 * np.mean(np.array(changes) >= least):.0f}" for least in (1, 0.5))
        table.add_row(kind, str(len(changes)), f"{np.median(changes):.2f}", *shares)
    Console().print(table)


if __name__ == "__main__":
    main()
