"""The contact sheet shows what was read, with the masks where they are."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad import Dataset, Sample
from vlmad_datasets import OpenDataset, open_dataset
from vlmad_datasets._contact_sheet import (
    CAPTION_HEIGHT,
    COLUMNS,
    GAP,
    LEGEND_HEIGHT,
    MARGIN,
    TILE,
    TITLE_HEIGHT,
    contact_sheet,
)
from vlmad_datasets.survey import survey

RED = np.array([0xFF, 0x2D, 0x55])


class Drawn(Dataset):
    """A reader of nothing: the samples are made here."""


def sheet_of(*samples: Sample) -> Image.Image:
    given = OpenDataset("drawn", Path("."), Drawn(), samples)
    return Image.open(io.BytesIO(contact_sheet(survey(given).measured)))


def outlined(sheet: Image.Image, column: int) -> np.ndarray:
    """Return where a tile of the first row has an outline."""
    left, top = MARGIN + column * (TILE + GAP), MARGIN + LEGEND_HEIGHT + TITLE_HEIGHT
    pixels = np.asarray(sheet.crop((left, top, left + TILE, top + TILE))).astype(int)
    return np.abs(pixels - RED).sum(axis=-1) == 0


def sample(folder: Path, name: str, marked: tuple[slice, slice], side: int = TILE) -> Sample:
    """Return a sample whose mask marks a part of it; with an empty part a normal one."""
    Image.new("RGB", (side, side), "#406080").save(folder / f"{name}.png")
    mask = np.zeros((side, side), np.uint8)
    mask[marked] = 1
    Image.fromarray(mask).save(folder / f"{name}_mask.png")
    label, defect = ("anomalous", name[0]) if mask.any() else ("normal", "good")
    place = folder / f"{name}_mask.png"
    return Sample(folder / f"{name}.png", label, "nut", "test", defect, place)  # type: ignore[arg-type]


def test_the_outline_runs_around_the_mask_and_leaves_the_defect_visible(tmp_path: Path) -> None:
    bent = sample(tmp_path, "bent", (slice(40, 80), slice(60, 120)))
    good = sample(tmp_path, "a", (slice(0), slice(0)))
    sheet = sheet_of(bent, good)
    assert not outlined(sheet, 0).any()  # good ones come first
    line = outlined(sheet, 1)
    rows, columns = np.nonzero(line)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (38, 81, 58, 121)
    assert not line[40:80, 60:120].any()


def test_a_hairline_defect_of_a_large_image_is_outlined(tmp_path: Path) -> None:
    scratch = sample(tmp_path, "scratch", (slice(1003, 1004), slice(200, 1800)), side=2000)
    assert outlined(sheet_of(scratch), 0).any()


def test_every_defect_is_shown_before_one_is_repeated(tmp_path: Path) -> None:
    names = ["b0", "b1", "b2", "b3", "b4", "c5", "h6"]  # of the defects b, c and h
    marks = [(slice(10 * i + 5, 10 * i + 6), slice(5, 6)) for i in range(7)]  # show which is which
    sheet = sheet_of(*(sample(tmp_path, n, mark) for n, mark in zip(names, marks, strict=True)))
    rows = [np.nonzero(outlined(sheet, column))[0].mean() for column in range(5)]
    assert [round(row - 5) // 10 for row in rows] == [0, 5, 6, 1, 2]


def test_each_category_has_a_row_and_what_cannot_be_read_is_left_out(nuts: Path, draw) -> None:
    draw("set/größe_中文/train/good/0.png")
    draw("set/größe_中文/test/good/0.png").write_bytes(b"no image")
    one = sheet_of(*open_dataset(nuts).select(["metal_nut"]))
    both = sheet_of(*open_dataset(nuts).samples)
    assert both.height - one.height == TITLE_HEIGHT + TILE + CAPTION_HEIGHT
    assert both.width == one.width


def test_a_mask_that_reaches_the_edge_is_closed_there_so_that_its_side_shows(
    tmp_path: Path,
) -> None:
    uneven = sample(tmp_path, "uneven", (slice(0, 50), slice(None)))
    line = outlined(sheet_of(uneven), 0)
    assert line[:2].all()
    assert line[:52, :2].all()
    assert line[50:52].all()
    assert not line[52:].any()


def test_a_good_image_whose_mask_marks_something_is_among_those_shown(tmp_path: Path) -> None:
    good = [sample(tmp_path, f"a{i}", (slice(0), slice(0))) for i in range(4)]
    odd = sample(tmp_path, "odd", (slice(40, 80), slice(60, 120)))
    odd = dataclasses.replace(odd, label="normal", defect="good")
    assert outlined(sheet_of(*good, odd), 0).any()


def test_the_smallest_and_the_largest_mask_are_shown_from_near_at_the_end(tmp_path: Path) -> None:
    one, two, thin = slice(90, 94), slice(40, 160), slice(90, 92)
    samples = [sample(tmp_path, f"b{i}", (one, one)) for i in range(5)]
    samples += [sample(tmp_path, "large", (two, two)), sample(tmp_path, "small", (one, thin))]
    # the first five, then the others' masks: 2 x 4 pixels of 48 x 48, and 120 of 180
    sheet = sheet_of(*samples)
    reach = [np.ptp(np.nonzero(outlined(sheet, column))[1]) + 1 for column in (5, 6)]
    assert reach[0] == pytest.approx(2 * TILE / 48 + 4, abs=2)
    assert reach[1] == pytest.approx(120 * TILE / 180 + 4, abs=2)


def test_more_defects_than_a_line_holds_go_on_in_the_next(tmp_path: Path) -> None:
    marks = (slice(40, 80), slice(60, 120))
    samples = [sample(tmp_path, f"{chr(97 + i)}", marks) for i in range(COLUMNS)]
    few, many = sheet_of(*samples[:4]), sheet_of(*samples)  # each with two masks from near
    assert many.height - few.height == TILE + CAPTION_HEIGHT
