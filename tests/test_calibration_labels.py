"""Images that a data set calls defective are not calibrated on as good ones, and the reverse."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import InputError
from vlmad_calibration.labels import part_by_label
from vlmad_run.finding import find_images
from vlmad_run.thresholds import read_threshold

TILE = Path(__file__).parents[1] / "examples" / "samples" / "tile"


def parted(*named: Path | str, label: Any = "normal") -> tuple[set[str], set[str]]:
    kept, others = part_by_label(list(map(str, named)), find_images(named), label)
    return tuple({path.parent.name for path in found} for found in (kept, others))  # type: ignore[return-value]


def test_the_defects_of_a_data_set_are_no_good_images_and_the_reverse() -> None:
    defects = {"chip", "crack", "missing_print"}
    for folder in (TILE, TILE / "test"):
        assert parted(folder) == ({"good"}, defects)
        assert parted(folder, label="anomalous") == (defects, {"good"})
    assert parted(TILE / "train" / "good") == ({"good"}, set())
    assert parted(TILE / "test" / "*" / "000.png") == ({"good", *defects}, set())


def test_what_is_no_data_set_is_taken_as_it_is_named(photos: Path) -> None:
    assert parted(photos) == ({"photos"}, set())


def test_a_data_set_without_a_single_image_of_the_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "good").symlink_to(TILE / "test" / "good")
    (tmp_path / "test" / "chip").symlink_to(TILE / "test" / "chip")
    images = sorted((tmp_path / "test" / "chip").iterdir())
    with pytest.raises(InputError, match=r"none of the 2 images in .* is normal by the data set"):
        part_by_label([str(tmp_path)], images, "normal")


def test_calibrating_on_a_whole_data_set_takes_each_image_for_what_it_is_and_says_so(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    named = ("--good", os.path.relpath(TILE, tmp_path), "--bad", TILE)
    done = command("calibrate", *named, "--detector", "clip", "--class-name", "tile")
    assert done.status == 0, done.error
    good, bad = (line for line in done.error.splitlines() if "left out" in line)
    assert good.startswith("warning: left out: 6 images in ")
    assert good.endswith("missing_print, which the data set calls not normal; --bad takes such")
    assert "7 images in " in bad
    evidence = read_threshold(str(tmp_path / "threshold.json")).evidence
    assert (evidence["good"], evidence["bad"], evidence["others_left_out"]) == (7, 6, 13)
