"""Draw the pictures of the pages: what the default finds on the sample products, and what not.

    python docs/pictures.py

Each column is an image over its heat maps, as `vlmad run` draws them, with its score and the
highest one of the product's good images.
"""

from __future__ import annotations

import csv
import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from vlmad_run.pictures import CAPTION_HEIGHT, GAP

ROOT = Path(__file__).parents[1]
SAMPLES, IMAGES = "examples/samples", ROOT / "docs" / "images"
FOUND = (
    "circuit/test/solder_bridge/000.png",
    "brushed_metal/test/scratch/000.png",
    "tile/test/crack/000.png",
    "cloth/test/hole/000.png",
)
MISSED = ("fasteners/test/missing_nut/000.png", "fasteners/test/washer_for_nut/000.png")
BESIDE = ("fasteners/test/swarf/000.png", "fasteners/test/good/000.png")
"""What is shown beside what is missed."""
SIDE, LINE, LETTER = 256, 18, 15


class Run(NamedTuple):
    """What `vlmad run` made of the test images of a sample product."""

    title: str
    out: Path
    rows: dict[str, dict[str, str]]
    """Of its table, by the image's place in the samples."""

    def caption(self, image: str) -> str:
        """Return an image's score, and that of the good image that has the highest."""
        good = max(float(row["score"]) for name, row in self.rows.items() if "/good/" in name)
        return f"{self.title}: {float(self.rows[image]['score']):.3f}, good to {good:.3f}"

    def heat_map(self, image: str) -> Image.Image:
        """Return an image under its heat map, the right half of what the run drew."""
        left = SIDE + GAP
        with Image.open(self.out / self.rows[image]["overlay"]) as picture:
            return picture.crop((left, CAPTION_HEIGHT, left + SIDE, CAPTION_HEIGHT + SIDE))


@functools.cache
def run(work: Path, product: str, references: bool) -> Run:
    """Run the default on a sample product, without references or with its good images."""
    out = work / f"{product}-{references}"
    words = [f"{SAMPLES}/{product}/test", "--out", str(out)]
    words += ["--references", f"{SAMPLES}/{product}/train/good"] if references else []
    subprocess.run([sys.executable, "-m", "vlmad", "run", *words], cwd=ROOT, check=True)
    with (out / "scores.csv").open(encoding="utf-8", newline="") as table:
        rows = {row["image"].removeprefix(f"{SAMPLES}/"): row for row in csv.DictReader(table)}
    return Run("four references" if references else "no reference", out, rows)


def column(image: str, runs: list[Run]) -> Image.Image:
    """Return an image over its heat map of each run, under what it is and its scores."""
    product, _, defect, _ = image.split("/")
    panels = [Image.open(ROOT / SAMPLES / image), *(each.heat_map(image) for each in runs)]
    lines = [f"{product}: {defect}".replace("_", " "), *(each.caption(image) for each in runs)]
    drawn = Image.new("RGB", (SIDE, len(panels) * (LINE + SIDE)), "white")
    for index, (line, panel) in enumerate(zip(lines, panels, strict=True)):
        top = index * (LINE + SIDE)
        ImageDraw.Draw(drawn).text((0, top), line, "black", ImageFont.load_default(LETTER))
        drawn.paste(panel, (0, top + LINE))
    return drawn


def beside(columns: list[Image.Image]) -> Image.Image:
    """Return columns of one height beside each other."""
    width = len(columns) * (SIDE + GAP) - GAP
    page = Image.new("RGB", (width, columns[0].height), "white")
    for index, drawn in enumerate(columns):
        page.paste(drawn, (index * (SIDE + GAP), 0))
    return page


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        missed = (*MISSED, *BESIDE)
        for name, images, settings in (("found", FOUND, [True]), ("missed", missed, [False, True])):
            columns = []
            for image in images:
                runs = [run(Path(folder), image.split("/")[0], each) for each in settings]
                columns.append(column(image, runs))
            beside(columns).save(IMAGES / f"{name}.jpg", quality=85, optimize=True)
