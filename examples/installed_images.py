"""Measure detectors on images with defects that pip installs.

    pip install conformal-clip-data elpv-dataset
    python examples/installed_images.py installed
    python docs/results.py installed=installed/bench

- conformal-clip-data (MIT, 42 MB; Megahed et al. 2025, arXiv 2501.12596): 1,000 textiles drawn by
  the R package spc4sts, 500 more with a local and 500 with a global change of the weave. Each
  change is a category, with half of the textiles that have none.
- elpv-dataset (CC BY-NC-SA 4.0, 91 MB; Deitsch et al. 2019, 2021): electroluminescence photographs
  of solar cells from 44 modules, of one crystal and of many. Taken are those that are surely good
  or surely defective.

Of each category 120 good and 100 defective images are taken, spread evenly over their names;
references are drawn from every sixth good one, the others are tested. Then `vlmad bench` runs, some
ten minutes on one core; words behind the folder are its own. There are no masks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

Category: TypeAlias = tuple[str, Sequence[Path], Sequence[Path]]
"""Its name, good images and defective ones."""
TRAIN, TEST = 20, 100
BENCH = (
    *("--detector", "rarity,change", "--shots", "0,4", "--seeds", "2"),
    *("--resolution", "64"),  # without masks no map is measured
)


def textiles(package: Path) -> Iterator[Category]:
    """Yield the categories of conformal-clip-data."""
    drawn = package / "data" / "textile_images" / "simulated"
    good = sorted((drawn / "nominal").iterdir())
    for place, change in enumerate(("local", "global")):
        yield f"textile_{change}", good[place::2], sorted((drawn / change).iterdir())


def solar_cells(package: Path) -> Iterator[Category]:
    """Yield the categories of elpv-dataset; a line of its table is image, probability, kind."""
    table = (package / "data" / "labels.csv").read_text(encoding="utf-8")
    rows = [line.split() for line in table.splitlines()]
    for kind in ("mono", "poly"):
        good, bad = (
            [package / "data" / image for image, *rest in rows if rest == [probability, kind]]
            for probability in ("0.0", "1.0")
        )
        yield f"solar_cell_{kind}", good, bad


PACKAGES = {"conformal_clip_data": textiles, "elpv_dataset": solar_cells}


def evenly(images: Sequence[Path], count: int) -> list[Path]:
    """Return so many of them, spread over all."""
    return [images[place * len(images) // count] for place in range(count)]


def lay_out(category: Category, root: Path, train: int = TRAIN, test: int = TEST) -> None:
    """Copy a fixed part of a category into the layout of MVTec AD."""
    name, good, bad = category
    taken = evenly(good, train + test)
    references = evenly(taken, train)
    parts = {
        "train/good": references,
        "test/good": [image for image in taken if image not in references],
        "test/defective": evenly(bad, test),
    }
    for part, images in parts.items():
        folder = root / name / part
        folder.mkdir(parents=True, exist_ok=True)
        for image in images:
            shutil.copyfile(image, folder / image.name)


def main() -> None:
    """Lay the images out and measure."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("folder", type=Path, help="where images and results go")
    given, words = parser.parse_known_args()
    photos, out = given.folder / "photos", given.folder / "bench"
    for package, categories in PACKAGES.items():
        try:
            installed = Path(str(files(package)))
        except ModuleNotFoundError:
            sys.exit(f"{package} is not installed: pip install {package.replace('_', '-')}")
        for category in categories(installed):
            lay_out(category, photos)
    command = [sys.executable, "-m", "vlmad", "bench", str(photos), *BENCH, "--out", str(out)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    sys.exit(subprocess.run([*command, *words], env=one_thread, check=False).returncode)


if __name__ == "__main__":
    main()
