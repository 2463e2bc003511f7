"""A contact sheet: good and defective images of each category, masks outlined."""

from __future__ import annotations

from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from vlmad.errors import InputError, printable
from vlmad.images import decode
from vlmad_datasets.masks import mask_of, percent
from vlmad_run.pictures import close_up, png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool

    from vlmad_datasets.survey import SurveyedSample

GOOD_SHOWN, DEFECTIVE_SHOWN, KINDS_SHOWN = 2, 5, 12
CATEGORIES_SHOWN, COLUMNS = 60, 9
TILE, GAP, MARGIN = 200, 12, 24
TITLE_HEIGHT, CAPTION_HEIGHT = 36, 60
PAPER, INK, PALE, FRAME = "#ffffff", "#1d2329", "#5c6670", "#eef0f2"
LEGEND, LEGEND_HEIGHT = "red lines run around what the masks mark as defective", 28
OUTLINE, GOOD_BAR = "#ff2d55", "#2a9d6f"


class SheetTile(NamedTuple):
    """What one tile shows: an image, or what is around its mask."""

    measured: SurveyedSample
    close_up: str = ""
    """Of which mask; empty for the whole image."""


def contact_sheet(measured: Sequence[SurveyedSample]) -> bytes:
    """Return a PNG with the first `CATEGORIES_SHOWN` categories, each below its name.

    Test images come first: good ones, among them those whose masks mark something, then each
    defect before any is repeated, and last what is around the smallest and the largest mask.
    """
    parts = [_category(name, tiles) for name, tiles in _choose(measured).items()]
    width = max(part.width for part in parts)
    top = MARGIN + LEGEND_HEIGHT
    sheet = Image.new("RGB", (width, top + sum(part.height for part in parts) + MARGIN), PAPER)
    _write(sheet, (MARGIN, MARGIN), LEGEND, PALE, 12, width - 2 * MARGIN)
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return png(sheet)


def _choose(measured: Sequence[SurveyedSample]) -> dict[str, list[SheetTile]]:
    names = list(dict.fromkeys(each.sample.category for each in measured))[:CATEGORIES_SHOWN]
    by_category: dict[str, list[SurveyedSample]] = {name: [] for name in names}
    for each in sorted(measured, key=lambda each: each.sample.split != "test"):
        by_category.get(each.sample.category, []).append(each)
    return {name: _choose_of_category(found) for name, found in by_category.items()}


def _choose_of_category(measured: Sequence[SurveyedSample]) -> list[SheetTile]:
    good = [each for each in measured if not each.sample.anomalous]
    good.sort(key=lambda each: not each.defective)
    by_defect: dict[str, list[SurveyedSample]] = defaultdict(list)
    for each in measured:
        if each.sample.anomalous:
            by_defect[each.sample.defect].append(each)
    turns = zip_longest(*by_defect.values())
    anomalous = [each for turn in turns for each in turn if each is not None]
    count = min(KINDS_SHOWN, max(DEFECTIVE_SHOWN, len(by_defect)))
    whole = [SheetTile(each) for each in good[:GOOD_SHOWN] + anomalous[:count]]
    sized = sorted((e for e in anomalous if e.defective), key=lambda e: e.defective or 0)
    near = [SheetTile(sized[0], "smallest"), SheetTile(sized[-1], "largest")] if sized[1:] else []
    return whole + near


def _category(name: str, tiles: Sequence[SheetTile]) -> Image.Image:
    columns, lines = min(COLUMNS, max(2, len(tiles))), -(-len(tiles) // COLUMNS)
    width = 2 * MARGIN + columns * (TILE + GAP) - GAP
    part = Image.new("RGB", (width, TITLE_HEIGHT + lines * (TILE + CAPTION_HEIGHT)), PAPER)
    _write(part, (MARGIN, 0), name, INK, 19, width - 2 * MARGIN)
    for index, tile in enumerate(tiles):
        line, column = divmod(index, COLUMNS)
        place = MARGIN + column * (TILE + GAP), TITLE_HEIGHT + line * (TILE + CAPTION_HEIGHT)
        part.paste(_draw(tile), place)
    return part


def _draw(shown: SheetTile) -> Image.Image:
    """Return the image, small and uncut, its mask outlined, above what it is called."""
    sample, tile = shown.measured.sample, Image.new("RGB", (TILE, TILE + CAPTION_HEIGHT), PAPER)
    ImageDraw.Draw(tile).rectangle((0, 0, TILE, TILE - 1), FRAME)
    try:
        image = _picture(shown)
        tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    except InputError:  # listed among the problems
        pass
    bar = OUTLINE if sample.anomalous else GOOD_BAR
    ImageDraw.Draw(tile).rectangle((0, TILE, TILE, TILE + 2), bar)
    _write(tile, (0, TILE + 7), sample.defect, INK, 13, TILE)
    _write(tile, (0, TILE + 24), sample.image.name, PALE, 11, TILE)
    _write(tile, (0, TILE + 39), _about_mask(shown), PALE, 11, TILE)
    return tile


def _about_mask(shown: SheetTile) -> str:
    sample, marked = shown.measured.sample, shown.measured.defective
    if marked is not None:
        share = f"{percent(marked / shown.measured.pixels)} marked"
        return f"{share}: {shown.close_up} mask, from near" if shown.close_up else share
    if sample.mask is not None:
        return "its mask cannot be used"
    return "no mask" if sample.anomalous else ""


def _picture(shown: SheetTile) -> Image.Image:
    image = decode(shown.measured.sample.image, reading=shown.measured.reading)
    try:
        mask = mask_of(shown.measured.sample)
    except InputError:  # listed among the problems
        mask = None
    if shown.close_up and mask is not None:
        left, top, right, bottom = close_up(mask)
        image, mask = image.crop((left, top, right, bottom)), mask[top:bottom, left:right]
    grown = Image.Resampling.NEAREST if max(image.size) < TILE else Image.Resampling.LANCZOS
    image = ImageOps.contain(image, (TILE, TILE), grown)
    if mask is not None:
        _outline(image, mask)
    return image


def _outline(image: Image.Image, mask: Bool[np.ndarray, "H W"]) -> None:
    """Draw a line around what a mask marks, closed where that reaches the edge of the image.

    A pixel of the small mask is set where any of the pixels that it stands for is, so that
    hairline scratches do not vanish.
    """
    shares = Image.fromarray(mask.astype(np.float32)).resize(image.size, Image.Resampling.BOX)
    marked = np.asarray(shares) > 0
    grown = Image.fromarray(marked).convert("L").filter(ImageFilter.MaxFilter(5))
    line = (np.asarray(grown) > 0) & ~marked
    line[:2], line[-2:] = line[:2] | marked[:2], line[-2:] | marked[-2:]
    line[:, :2], line[:, -2:] = line[:, :2] | marked[:, :2], line[:, -2:] | marked[:, -2:]
    image.paste(OUTLINE, mask=Image.fromarray(line))


def _write(
    image: Image.Image, place: tuple[int, int], text: str, colour: str, size: int, width: int
) -> None:
    """Write a text, shortened in its middle if it is too wide."""
    font, whole = _font(size), printable(text)[:300]
    shown, kept = whole, len(whole)
    while font.getlength(shown) > width and kept > 1:
        kept -= 1
        shown = f"{whole[: kept // 2]}…{whole[len(whole) - (kept + 1) // 2 :]}"
    ImageDraw.Draw(image).text(place, shown, colour, font)


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib brings a font with many alphabets
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size)
