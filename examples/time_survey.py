"""Time `vlmad data` on a large data set drawn for the purpose.

    python examples/time_survey.py --images 5000

Half of the images are PNG, half JPEG, in ten categories of MVTec AD's layout; a fifth of them
are anomalous and have masks. The pixels are those of a sample image, enlarged, with some noise
in a corner so that no two are equal.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLE = Path(__file__).parent / "samples" / "cloth" / "test" / "good" / "000.png"
CATEGORIES = 10
SPLITS = {"train/good": 0.6, "test/good": 0.2, "test/bad": 0.2}


def draw(root: Path, images: int, side: int) -> None:
    """Draw the data set."""
    generator = np.random.default_rng(0)
    with Image.open(SAMPLE) as sample:
        pixels = np.array(sample.convert("RGB").resize((side, side)))
    for category in range(CATEGORIES):
        folder = root / f"category_{category}"
        for split, share in SPLITS.items():
            (folder / split).mkdir(parents=True)
            for number in range(round(images / CATEGORIES * share)):
                pixels[:8, :8] = generator.integers(0, 256, (8, 8, 3))
                suffix = "jpg" if category % 2 else "png"
                path = folder / split / f"{number:04}.{suffix}"
                Image.fromarray(pixels).save(path, compress_level=1)
        draw_masks(folder, side)


def draw_masks(folder: Path, side: int) -> None:
    """Draw a mask for each anomalous image of a category."""
    (folder / "ground_truth" / "bad").mkdir(parents=True)
    for number, image in enumerate(sorted((folder / "test" / "bad").iterdir())):
        mask = np.zeros((side, side), np.uint8)
        mask[side // 4 : side // 2, : number % side + 1] = 255
        Image.fromarray(mask).save(folder / "ground_truth" / "bad" / f"{image.stem}_mask.png")


def main() -> None:
    """Draw, then print the seconds that a look at it takes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), arguments.images, arguments.side)
        start = time.perf_counter()
        command = [sys.executable, "-m", "vlmad", "data", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"vlmad data: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
