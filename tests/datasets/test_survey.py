"""What is wrong with a data set is known before anything runs on it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from vlmad import Problem
from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_datasets._contact_sheet import LEGEND_HEIGHT, MARGIN, TITLE_HEIGHT, contact_sheet
from vlmad_datasets.survey import Survey, survey

BENT, MASK = "metal_nut/test/bent/000.png", "metal_nut/ground_truth/bent/000_mask.png"


def found_in(root: Path) -> set[tuple[str, str, str]]:
    problems = survey(open_dataset(root)).problems
    return {(p.severity, str(p.path.relative_to(root)), p.what) for p in problems}


def test_sizes_and_defective_pixels_of_a_faultless_data_set_are_measured(nuts: Path) -> None:
    found = survey(open_dataset(nuts))
    assert found.problems == ()
    found.refuse()
    assert {measured.size for measured in found.measured} == {(12, 8)}
    marked = {m.sample.defect: m.defective for m in found.measured if m.sample.anomalous}
    assert marked == {"bent": 6, "scratch": 6}


def no_masks(nuts: Path) -> None:
    shutil.rmtree(nuts / "metal_nut/ground_truth")


def no_test(nuts: Path) -> None:
    no_masks(nuts)
    shutil.rmtree(nuts / "metal_nut/test")


def no_train(nuts: Path) -> None:
    shutil.rmtree(nuts / "metal_nut/train/good")
    (nuts / "metal_nut/train/good").mkdir()


def dangling(nuts: Path) -> None:
    (nuts / BENT).unlink()
    (nuts / BENT).symlink_to("nowhere.png")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda n: (n / MASK).unlink(), ("warning", BENT, "anomalous, but has no mask")),
        (no_masks, ("note", ".", "category metal_nut: no masks: image figures only")),
        (no_test, ("fatal", ".", "category metal_nut: no test images")),
        (
            lambda n: shutil.rmtree(n / "metal_nut/test/good"),
            ("warning", ".", "category metal_nut: no normal test images: AUROC is undefined"),
        ),
        (
            no_train,
            ("note", ".", "category metal_nut: no train images, so no references: zero-shot only"),
        ),
        (
            lambda n: Image.new("L", (10, 8), 255).save(n / MASK),
            (
                "fatal",
                MASK,
                "the mask has 10 x 8 pixels, its image 12 x 8; export it at the size of its image",
            ),
        ),
        (
            lambda n: Image.new("L", (8, 12), 255).save(n / MASK),
            ("fatal", MASK, "the mask has 8 x 12 pixels, its image 12 x 8; turn it"),
        ),
        (
            lambda n: Image.new("L", (12, 8)).save(n / MASK),
            ("warning", MASK, "the mask of an anomalous image marks nothing"),
        ),
        (lambda n: (n / BENT).write_bytes(b""), ("fatal", BENT, "the file is empty")),
        (lambda n: (n / MASK).write_bytes(b""), ("fatal", MASK, "the file is empty")),
        (
            lambda n: (n / MASK).write_bytes(b"GIF?"),
            ("fatal", MASK, "not an image of a known format"),
        ),
        (dangling, ("fatal", BENT, "No such file or directory")),
    ],
)
def test_each_fault_is_one_problem_of_its_severity_and_file(
    nuts: Path, change: Callable[[Path], object], problem: tuple[str, str, str]
) -> None:
    change(nuts)
    assert found_in(nuts) == {problem}


def test_a_marking_mask_of_a_normal_image_is_a_warning(nuts: Path, draw_mask) -> None:
    draw_mask("set/metal_nut/ground_truth/good/000_mask.png")
    place, what = "metal_nut/ground_truth/good/000_mask.png", "the mask of a normal image marks 6"
    assert found_in(nuts) == {("warning", place, f"{what} pixels")}


def test_the_same_image_in_two_splits_or_on_both_sides_is_found_by_its_content(nuts: Path) -> None:
    train, copy = nuts / "metal_nut/train/good/000.png", nuts / "metal_nut/test/good/copy.png"
    shutil.copy(train, copy)
    what = f"the same image as {train}, but in split test rather than train"
    assert found_in(nuts) == {("warning", "metal_nut/test/good/copy.png", what)}
    copy.unlink()
    shutil.copy(nuts / "metal_nut/test/good/000.png", nuts / BENT)
    [(_, _, what)] = found_in(nuts)
    assert what.startswith("the same image as ")
    assert what.endswith("but labelled normal rather than anomalous")


def test_an_anomalous_train_image_and_a_mask_that_fits_both_ways_are_warnings(
    nuts: Path, draw
) -> None:
    draw("set/metal_nut/train/bent/000.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    draw(f"set/{BENT}", exif=exif)
    train = "metal_nut/train/bent/000.png"
    assert found_in(nuts) == {
        ("warning", train, "an anomalous image in the train split"),
        (
            "warning",
            "metal_nut/ground_truth/bent/000_mask.png",
            "fits its turned photograph both ways and is taken as drawn over its upright pixels; "
            "see on the contact sheet",
        ),
    }


def test_the_gravest_problems_come_first_and_refuse_the_data_set(nuts: Path) -> None:
    (nuts / "metal_nut/ground_truth/scratch/000_mask.png").unlink()
    (nuts / BENT).write_bytes(b"")
    (nuts / "metal_nut/train/good/001.png").write_bytes(b"")
    found = survey(open_dataset(nuts))
    assert [p.severity for p in found.problems] == ["fatal", "fatal", "warning"]
    with pytest.raises(InputError, match=r": the file is empty \(and 1 more\); 'vlmad"):
        found.refuse()
    Survey((), (Problem(nuts, "odd"), Problem(nuts, "well", "note"))).refuse()


def test_only_the_chosen_categories_are_read_and_progress_is_reported(nuts: Path, draw) -> None:
    for name in ("train/good/0.png", "test/good/0.png", "test/bad/0.png"):
        draw(f"set/cap/{name}")
    (nuts / "metal_nut/test/good/000.png").write_bytes(b"")
    steps: list[tuple[int, int]] = []
    found = survey(open_dataset(nuts), ["cap"], progress=lambda *done: steps.append(done))
    assert {measured.sample.category for measured in found.measured} == {"cap"}
    assert not found.of("fatal")
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_sheet_of_12_bits_in_16_is_not_black_and_floats_are_looked_at(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, most, kind in (("deep", 4095, np.uint16), ("floats", 255, np.float32)):
        for part in ("good/0", "bad/1"):
            path = tmp_path / name / f"{part}.tif"
            path.parent.mkdir(parents=True)
            tifffile.imwrite(path, (rng.random((40, 60)) * most).astype(kind))
        found = survey(open_dataset(tmp_path / name), decoding=True)
        assert not found.of("fatal")
        assert f"0 is black, {most} white" in " ".join(map(str, found.of("note")))
        sheet = Image.open(io.BytesIO(contact_sheet(found.measured))).convert("L")
        tile = np.asarray(sheet)[MARGIN + LEGEND_HEIGHT + TITLE_HEIGHT :, MARGIN:][100, :100]
        assert 90 < tile.mean() < 165


def test_what_was_special_about_reading_an_image_is_said(tmp_path: Path) -> None:
    for part in ("good/0.png", "bad/1.png"):
        (tmp_path / part).parent.mkdir()
        Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(tmp_path / part)
    found = survey(open_dataset(tmp_path), decoding=True)
    assert "transparent throughout" in " ".join(map(str, found.of("warning")))
