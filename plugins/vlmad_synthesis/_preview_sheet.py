"""A sheet of examples of each kind of defect, to look at before they are trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_run.pictures import close_up, outline, png
from vlmad_synthesis.nuisances import NUISANCES, disturb
from vlmad_synthesis.synthetic import seeded, synthesise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Bool, UInt8

    from vlmad_synthesis.synthetic import Defect

SHOWN = 3
"""Examples of each kind."""
TILE, GAP, TITLE = 190, 6, 22
LARGEST = 1024
"""Pixels of the longer side at which an image is drawn in; sizes are shares of it."""


def preview(images: Sequence[Path], defects: Mapping[str, Defect], seed: int) -> bytes:
    """Return a PNG: a row for each kind, and one of changes that are no defects.

    Each example is shown twice: whole with its mask outlined, and from near as it is.
    """
    rows = []
    for number, (kind, defect) in enumerate(defects.items()):
        tiles = []
        for index in range(SHOWN):
            path = images[(number * SHOWN + index) % len(images)]
            tiles += _example(path, kind, defect, seeded(seed, kind, index))
        rows.append((kind, tiles))
    rows.append((f"no defects: {', '.join(NUISANCES)}", _disturbed(images, seed)))
    width = GAP + (TILE + GAP) * 2 * SHOWN
    sheet = Image.new("RGB", (width, (TITLE + TILE + GAP) * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, (title, tiles) in enumerate(rows):
        top = row * (TITLE + TILE + GAP)
        draw.text((GAP, top + 3), title, "black", font)
        for column, tile in enumerate(tiles):
            framed = ImageOps.pad(tile, (TILE, TILE), color="white")
            sheet.paste(framed, (GAP + column * (TILE + GAP), top + TITLE))
    return png(sheet)


def _example(path: Path, kind: str, defect: Defect, rng: np.random.Generator) -> list[Image.Image]:
    """Return an example as a whole and from near, or how it looks where nothing shows."""
    good = _read(path)
    try:
        made = synthesise(good, rng, {kind: defect})
    except InputError:
        return [_tile(good), Image.new("RGB", (TILE, TILE), "white")]
    whole = _tile(made.image)
    small = Image.fromarray(made.mask.astype(np.float32)).resize(whole.size, Image.Resampling.BOX)
    return [
        outline(whole, (np.asarray(small) > 0).astype(np.float32)),
        _near(made.image, made.mask),
    ]


def _near(image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> Image.Image:
    left, top, right, bottom = close_up(mask)
    return _tile(image[top:bottom, left:right])


def _disturbed(images: Sequence[Path], seed: int) -> list[Image.Image]:
    """Return an example of each change that is no defect."""
    return [
        _tile(disturb(_read(images[i % len(images)]), seeded(seed, kind), [kind])[0])
        for i, kind in enumerate(NUISANCES)
    ]


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    image = decode(path)
    image.thumbnail((LARGEST, LARGEST))
    return np.asarray(image)


def _tile(image: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    return ImageOps.contain(Image.fromarray(image), (TILE, TILE))
