"""The contact sheet shows what was read, with the masks where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vlmad import Sample
from vlmad_datasets import open_dataset
from vlmad_datasets._contact_sheet import GAP, MARGIN, OUTLINE, TILE, TITLE_HEIGHT, draw_sheet

RED = np.array([0xFF, 0x2D, 0x55])
STEP = TILE + GAP


def tile(sheet: Image.Image, column: int, row: int = 0) -> np.ndarray:
    """Return the pixels of one tile of the first rows."""
    left, top = MARGIN + column * STEP, MARGIN + TITLE_HEIGHT + row * (sheet.height // 2 - MARGIN)
    return np.asarray(sheet.crop((left, top, left + TILE, top + TILE))).astype(int)


def outlined(pixels: np.ndarray) -> np.ndarray:
    return np.abs(pixels - RED).sum(axis=-1) == 0


def sample(folder: Path, name: str, defect: str = "good", **more: object) -> Sample:
    path = folder / f"{name}.png"
    Image.new("RGB", (TILE, TILE), "#406080").save(path)
    label = "normal" if defect == "good" else "anomalous"
    return Sample(path, label, "nut", "test", defect, **more)  # type: ignore[arg-type]


def test_the_outline_runs_around_the_mask_and_leaves_the_defect_visible(tmp_path: Path) -> None:
    assert OUTLINE == "#ff2d55"
    marked = np.zeros((TILE, TILE), np.uint8)
    marked[40:80, 60:120] = 1
    Image.fromarray(marked).save(tmp_path / "mask.png")
    good = sample(tmp_path, "a")
    bent = sample(tmp_path, "b", "bent", mask=tmp_path / "mask.png")
    sheet = draw_sheet([bent, good])
    assert not outlined(tile(sheet, 0)).any()  # good ones come first
    line = outlined(tile(sheet, 1))
    rows, columns = np.nonzero(line)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (39, 80, 59, 120)
    assert not line[40:80, 60:120].any()


def test_a_hairline_defect_of_a_large_image_is_outlined(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 2000), "#406080").save(tmp_path / "large.png")
    marked = np.zeros((2000, 2000), np.uint8)
    marked[1003, 200:1800] = 255
    Image.fromarray(marked).save(tmp_path / "mask.png")
    scratch = Sample(
        tmp_path / "large.png", "anomalous", "nut", "test", "scratch", tmp_path / "mask.png"
    )
    assert outlined(tile(draw_sheet([scratch]), 0)).any()


def test_every_defect_is_shown_before_one_is_repeated(tmp_path: Path) -> None:
    masks = []
    for index in range(7):
        marked = np.zeros((TILE, TILE), np.uint8)
        marked[10 * index + 5, 5] = 1  # the row tells which sample a tile shows
        Image.fromarray(marked).save(tmp_path / f"mask{index}.png")
        masks.append(tmp_path / f"mask{index}.png")
    kinds = ["bent", "bent", "bent", "bent", "bent", "cut", "hole"]
    samples = [sample(tmp_path, f"{i}", kinds[i], mask=masks[i]) for i in range(7)]
    sheet = draw_sheet(samples)
    shown = [round(np.nonzero(outlined(tile(sheet, c)))[0].mean() - 5) // 10 for c in range(5)]
    assert shown == [0, 5, 6, 1, 2]


def test_a_sheet_has_a_row_for_each_category_and_leaves_out_what_cannot_be_read(
    nuts: Path, draw
) -> None:
    draw("set/größe_中文/train/good/0.png")
    draw("set/größe_中文/test/good/0.png").write_bytes(b"no image")
    one = draw_sheet(open_dataset(nuts).select(["metal_nut"]))
    both = draw_sheet(open_dataset(nuts).samples)
    assert both.height == 2 * one.height - 2 * MARGIN
    assert both.width == one.width
