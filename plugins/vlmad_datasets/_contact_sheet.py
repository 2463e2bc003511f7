"""A contact sheet: a few good and defective images of each category, masks outlined."""

from __future__ import annotations

import io
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from vlmad.errors import InputError, printable
from vlmad.images import decode
from vlmad_datasets.masks import mask_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool

    from vlmad.datasets import Sample

GOOD_SHOWN, DEFECTIVE_SHOWN = 2, 5
CATEGORIES_SHOWN = 60
TILE, GAP, MARGIN = 176, 10, 20
TITLE_HEIGHT, CAPTION_HEIGHT = 34, 32
PAPER, INK, PALE, FRAME = "#ffffff", "#1d2329", "#6b747d", "#eef0f2"
OUTLINE, GOOD_BAR = "#ff2d55", "#2a9d6f"


def contact_sheet(samples: Sequence[Sample]) -> bytes:
    """Return a PNG with a row for each of the first `CATEGORIES_SHOWN` categories.

    Test images come first; of the defective ones each defect is shown before any is repeated.
    Images that cannot be read are left out.
    """
    rows = {name: _tiles(chosen) for name, chosen in _choose(samples).items()}
    columns = max(2, *map(len, rows.values()))
    row_height = TITLE_HEIGHT + TILE + CAPTION_HEIGHT
    size = (2 * MARGIN + columns * (TILE + GAP) - GAP, 2 * MARGIN + row_height * len(rows))
    sheet = Image.new("RGB", size, PAPER)
    for index, (name, tiles) in enumerate(rows.items()):
        top = MARGIN + index * row_height
        title = printable(name)[:200]
        ImageDraw.Draw(sheet).text((MARGIN, top), title, INK, _font(18))
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (MARGIN + column * (TILE + GAP), top + TITLE_HEIGHT))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _choose(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    names = list(dict.fromkeys(sample.category for sample in samples))[:CATEGORIES_SHOWN]
    by_category: dict[str, list[Sample]] = {name: [] for name in names}
    for sample in sorted(samples, key=lambda sample: sample.split != "test"):
        by_category.get(sample.category, []).append(sample)
    return {name: _choose_of_category(found) for name, found in by_category.items()}


def _choose_of_category(samples: Sequence[Sample]) -> list[Sample]:
    """Return some good samples, and some anomalous ones, one of each defect in turn."""
    good = [sample for sample in samples if not sample.anomalous]
    by_defect: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.anomalous:
            by_defect[sample.defect].append(sample)
    turns = zip_longest(*by_defect.values())
    anomalous = [sample for turn in turns for sample in turn if sample is not None]
    return good[:GOOD_SHOWN] + anomalous[:DEFECTIVE_SHOWN]


def _tiles(samples: Sequence[Sample]) -> list[Image.Image]:
    tiles = []
    for sample in samples:
        try:
            tiles.append(_tile(sample))
        except InputError:
            continue  # listed among the problems
    return tiles


def _tile(sample: Sample) -> Image.Image:
    """Return the image, small and uncut, its mask outlined, above what it is called."""
    image = ImageOps.contain(decode(sample.image), (TILE, TILE), Image.Resampling.LANCZOS)
    try:
        mask = mask_of(sample)
    except InputError:
        mask = None
    if mask is not None:
        _outline(image, mask)
    tile = Image.new("RGB", (TILE, TILE + CAPTION_HEIGHT), PAPER)
    draw = ImageDraw.Draw(tile)
    draw.rectangle((0, 0, TILE, TILE - 1), FRAME)
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    draw.rectangle((0, TILE, TILE, TILE + 2), OUTLINE if sample.anomalous else GOOD_BAR)
    bare = " (no mask)" if sample.anomalous and sample.mask is None else ""
    caption = printable(sample.defect)[:200] + bare
    draw.text((0, TILE + 6), caption, PALE, _font(12))  # the tile's edge cuts what is too long
    return tile


def _outline(image: Image.Image, mask: Bool[np.ndarray, "H W"]) -> None:
    """Draw a line around what a mask marks.

    A pixel of the small mask is set where any of the pixels that it stands for is, so that
    hairline scratches do not vanish.
    """
    shares = Image.fromarray(mask.astype(np.float32)).resize(image.size, Image.Resampling.BOX)
    small = Image.fromarray(np.asarray(shares) > 0).convert("L")
    line = np.asarray(small.filter(ImageFilter.MaxFilter(5))) > np.asarray(small)
    image.paste(OUTLINE, mask=Image.fromarray(line))


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib brings a font with many alphabets
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size)
