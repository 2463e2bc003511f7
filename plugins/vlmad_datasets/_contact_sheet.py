"""A contact sheet: a few good and defective images of each category, masks outlined."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_datasets.description import readable
from vlmad_datasets.masks import mask_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool

    from vlmad import Sample

GOOD_SHOWN, DEFECTIVE_SHOWN = 2, 5
CATEGORIES_SHOWN = 60
TILE, GAP, MARGIN = 176, 10, 20
TITLE_HEIGHT, CAPTION_HEIGHT = 34, 22
PAPER, INK, PALE = "#ffffff", "#1d2329", "#6b747d"
OUTLINE, HALO = "#ff2d55", "#ffffff"
NORMAL_BAR, ANOMALOUS_BAR = "#2a9d6f", "#ff2d55"


def draw_sheet(samples: Sequence[Sample]) -> Image.Image:
    """Return a picture with a row for each category, of at most `CATEGORIES_SHOWN`.

    Test images come first; of the defective ones each defect is shown before any is repeated.
    Images that cannot be read are left out.
    """
    rows = [(name, _tiles(chosen)) for name, chosen in _choose(samples).items()]
    columns = max((len(tiles) for _, tiles in rows), default=1) or 1
    row_height = TITLE_HEIGHT + TILE + CAPTION_HEIGHT + GAP
    width = 2 * MARGIN + columns * (TILE + GAP) - GAP
    sheet = Image.new("RGB", (max(width, 320), 2 * MARGIN + row_height * len(rows)), PAPER)
    for index, (title, tiles) in enumerate(rows):
        _draw_row(sheet, MARGIN + index * row_height, title, tiles)
    return sheet


def _choose(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    by_category: dict[str, list[Sample]] = {}
    for sample in samples:
        by_category.setdefault(sample.category, []).append(sample)
    chosen = {}
    for category, members in list(by_category.items())[:CATEGORIES_SHOWN]:
        ordered = sorted(members, key=lambda sample: sample.split != "test")
        good = [sample for sample in ordered if not sample.anomalous]
        chosen[category] = good[:GOOD_SHOWN] + _of_each_defect(ordered)[:DEFECTIVE_SHOWN]
    return chosen


def _of_each_defect(samples: Sequence[Sample]) -> list[Sample]:
    """Return the anomalous samples, one of each defect in turn."""
    by_defect: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.anomalous:
            by_defect.setdefault(sample.defect, []).append(sample)
    turns = zip_longest(*by_defect.values())
    return [sample for turn in turns for sample in turn if sample is not None]


def _tiles(samples: Sequence[Sample]) -> list[tuple[Sample, Image.Image]]:
    tiles = []
    for sample in samples:
        try:
            tiles.append((sample, _tile(sample)))
        except InputError:
            continue  # listed among the problems; a sheet shows what can be seen
    return tiles


def _tile(sample: Sample) -> Image.Image:
    """Return the image, small and uncut, in the middle of a square, its mask outlined."""
    original = decode(sample.image)
    image = ImageOps.contain(original, (TILE, TILE), Image.Resampling.LANCZOS)
    try:
        mask = mask_of(sample)
    except InputError:
        mask = None
    if mask is not None and mask.any():
        _outline(image, mask)
    square = Image.new("RGB", (TILE, TILE), "#eef0f2")
    square.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return square


def _outline(image: Image.Image, mask: Bool[np.ndarray, "H W"]) -> None:
    """Draw a line around what a mask marks, with a lighter one around that.

    A pixel of the small mask is set where any of the pixels that it stands for is, so that
    hairline scratches do not vanish.
    """
    shares = Image.fromarray(mask.astype(np.float32)).resize(image.size, Image.Resampling.BOX)
    small = Image.fromarray((np.asarray(shares) > 0).astype(np.uint8) * 255)
    inner = small.filter(ImageFilter.MaxFilter(3))
    outer = small.filter(ImageFilter.MaxFilter(5))
    halo = np.asarray(outer) > np.asarray(inner)
    line = np.asarray(inner) > np.asarray(small)
    image.paste(HALO, mask=Image.fromarray(halo.astype(np.uint8) * 150))
    image.paste(OUTLINE, mask=Image.fromarray(line.astype(np.uint8) * 255))


def _draw_row(
    sheet: Image.Image, top: int, title: str, tiles: Sequence[tuple[Sample, Image.Image]]
) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, top), _fitting(title, sheet.width - 2 * MARGIN, _font(18)), INK, _font(18))
    for column, (sample, tile) in enumerate(tiles):
        left, below = MARGIN + column * (TILE + GAP), top + TITLE_HEIGHT + TILE
        sheet.paste(tile, (left, top + TITLE_HEIGHT))
        bar = ANOMALOUS_BAR if sample.anomalous else NORMAL_BAR
        draw.rectangle((left, below, left + TILE - 1, below + 2), fill=bar)
        bare = sample.anomalous and sample.mask is None
        caption = f"{sample.defect}{' (no mask)' if bare else ''}"
        draw.text((left, below + 6), _fitting(caption, TILE, _font(12)), PALE, _font(12))


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Return a line, cut at its end where it is too long, without unprintable characters."""
    line = readable(text[:200])
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib, which draws the overlays' colours, brings a font with many alphabets
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size)
