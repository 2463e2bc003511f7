"""Draw contact sheets of products, to look at before anything learns from them.

    python examples/weights/products/sheet.py --seed 0 --out sheet.png

A row is a product: its good pieces and those with a defect, outlined. With `--families` a row is a
family and shows several of its products, with `--kinds` it is a kind of defect. The processor's
time for a picture is printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))

from products.camera import levels
from products.drawing import FAMILIES, Picture, draw_product, draw_set, flawed
from products.fields import SIZE, Pixels
from products.flaws import KINDS
from products.structure import CHANGES
from vlmad_synthesis.synthetic import seeded

TILE, TITLE = 200, 14


def outlined(picture: Picture) -> Pixels:
    """Return a picture with a red line about its defect."""
    near = ndimage.binary_dilation(picture.mask, iterations=5)
    line = near & ~ndimage.binary_dilation(picture.mask, iterations=3)
    return np.where(line[..., None], np.array([255, 0, 0], np.uint8), picture.image)


def sheet(rows: list[tuple[str, list[Pixels]]]) -> Image.Image:
    """Return rows of pictures, each row under its title."""
    wide = max(len(pictures) for _, pictures in rows)
    page = Image.new("RGB", (wide * (TILE + 2), len(rows) * (TILE + TITLE)), "white")
    draw = ImageDraw.Draw(page)
    for row, (title, pictures) in enumerate(rows):
        draw.text((2, row * (TILE + TITLE)), title, "black")
        for column, picture in enumerate(pictures):
            small = Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BOX)
            page.paste(small, (column * (TILE + 2), row * (TILE + TITLE) + TITLE))
    return page


def of_products(seed: int, first: int, count: int) -> list[tuple[str, list[Pixels]]]:
    """Return a row for each product."""
    rows = []
    for number in range(first, first + count):
        start = time.process_time()
        product, pictures = draw_product(seed, number), draw_set(seed, number)
        spent = 1e3 * (time.process_time() - start) / len(pictures)
        kinds = ", ".join(picture.kind for picture in pictures[-2:])
        title = f"{number} {product.family}: {product.name} | {kinds} | {spent:.0f} ms a picture"
        print(title, flush=True)
        rows.append((title, [*map(outlined, pictures)]))
    return rows


def of_families(seed: int, chosen: list[str]) -> list[tuple[str, list[Pixels]]]:
    """Return a row for each family: two pieces of each of three products."""
    rows = []
    for family in chosen or FAMILIES:
        start, row = time.process_time(), []
        for number in range(3):
            product = draw_product(seed, number, family)
            for index in range(2):
                rng = seeded(seed, family, number, index)
                row.append(product.camera.take(product.piece(rng).render(), rng))
        spent = 1e3 * (time.process_time() - start) / len(row)
        print(f"{family}: {spent:.0f} ms a picture of {SIZE} x {SIZE}", flush=True)
        rows.append((f"{family}, {spent:.0f} ms", row))
    return rows


def of_kinds(seed: int) -> list[tuple[str, list[Pixels]]]:
    """Return a row for each kind of defect: three, outlined and from near."""
    rows = []
    for kind in KINDS:
        row: list[Pixels] = []
        for number in range(14):
            product, rng = draw_product(seed, number), seeded(seed, kind, number)
            piece = product.piece(rng)
            has = kind not in CHANGES or CHANGES[kind](piece, rng) is not None
            if has and len(row) < 6:
                flaw = flawed(product, piece, rng, kind)
                picture = Picture(levels(flaw.image), flaw.mask, kind, flaw.mask)
                row += [outlined(picture), near(picture)]
        rows.append((kind, row))
    return rows


def near(picture: Picture) -> Pixels:
    """Return a square about the defect, half as large again."""
    at = [np.nonzero(picture.mask.any(axis))[0] for axis in (1, 0)]
    side = int(min(SIZE, max(48, 1.5 * max(int(np.ptp(places)) for places in at))))
    top, left = (int(np.clip((p[0] + p[-1] - side) // 2, 0, SIZE - side)) for p in at)
    return picture.image[top : top + side, left : left + side]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first product")
    parser.add_argument("--count", type=int, default=8, help="of products")
    parser.add_argument("--families", nargs="*", help="rows of these, or of all")
    parser.add_argument("--kinds", action="store_true", help="rows of all kinds of defect")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    arguments = parser.parse_args()
    if arguments.kinds:
        page = sheet(of_kinds(arguments.seed))
    elif arguments.families is None:
        page = sheet(of_products(arguments.seed, arguments.first, arguments.count))
    else:
        page = sheet(of_families(arguments.seed, arguments.families))
    page.save(arguments.out)
