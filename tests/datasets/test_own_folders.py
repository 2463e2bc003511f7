"""Folders as people have them: their words, their spellings, any depth, and doubtful masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vlmad_datasets import OpenDataset, open_dataset
from vlmad_datasets._layout import images_below
from vlmad_datasets.sides import ANOMALOUS_WORDS, NORMAL_WORDS, side_of
from vlmad_datasets.survey import survey


def labels(opened: OpenDataset) -> dict[str, tuple[str, str, str]]:
    """Return split, label and defect of each image, by its path from the root."""
    return {
        str(sample.image.relative_to(opened.root)): (sample.split, sample.label, sample.defect)
        for sample in opened.samples
    }


# words and spellings


def test_no_word_is_of_both_sides() -> None:
    assert {side_of(word) for word in NORMAL_WORDS} == {"normal"}
    assert {side_of(word) for word in ANOMALOUS_WORDS} == {"anomalous"}


@pytest.mark.parametrize(
    ("good", "bad"),
    [("OK", "NG"), ("Pass", "Fail"), ("i.O.", "n.i.O."), ("no_defect", "Defects"), ("ok", "KO")],
)
def test_folders_of_the_usual_names_need_no_option(
    tmp_path: Path, draw, good: str, bad: str
) -> None:
    draw(f"parts/{good}/a.png")
    draw(f"parts/{bad}/b.png")
    opened = open_dataset(tmp_path / "parts")
    assert opened.name == "folder"
    assert labels(opened) == {
        f"{good}/a.png": ("test", "normal", "good"),
        f"{bad}/b.png": ("test", "anomalous", bad),
    }


@pytest.mark.parametrize("good", ["Good", "GOOD", "normal", "OK", "pass"])
def test_the_good_images_of_mvtecs_layout_go_by_any_usual_name(
    tmp_path: Path, draw, draw_mask, good: str
) -> None:
    for name in (f"Train/{good}/0", f"test/{good}/0", "test/Crack/0"):
        draw(f"set/nut/{name}.png")
    draw_mask("set/nut/Ground_Truth/crack/0_mask.png")
    opened = open_dataset(tmp_path / "set")
    assert labels(opened) == {
        f"nut/Train/{good}/0.png": ("train", "normal", "good"),
        f"nut/test/{good}/0.png": ("test", "normal", "good"),
        "nut/test/Crack/0.png": ("test", "anomalous", "Crack"),
    }
    assert survey(opened).problems == ()


def test_two_spellings_of_one_folder_are_one(tmp_path: Path, draw, draw_mask) -> None:
    for name in ("test/good/0", "test/Good/0b", "test/crack/0", "test/Crack/1", "train/good/0"):
        draw(f"nut/{name}.png")
    draw_mask("nut/ground_truth/crack/0_mask.png")
    draw_mask("nut/ground_truth/CRACK/1_mask.png")
    opened = open_dataset(tmp_path / "nut")
    assert Counter(sample.defect for sample in opened.samples) == {"good": 3, "Crack": 2}
    assert all(sample.mask for sample in opened.samples if sample.anomalous)
    assert opened.problems == ()


# depth


def test_images_are_read_at_any_depth_and_the_first_folder_inside_of_bad_is_the_defect(
    tmp_path: Path, draw, draw_mask
) -> None:
    places = ("good", "good/monday", "bad", "bad/scratch", "bad/scratch/deep", "train/a")
    for place in places:
        for number in range(2):
            draw(f"nested/{place}/{number}.png")
    draw_mask("nested/masks/scratch/deep/0.png")
    opened = open_dataset(tmp_path / "nested")
    assert labels(opened) == {
        f"{place}/{number}.png": fact
        for number in range(2)
        for place, fact in {
            "good": ("test", "normal", "good"),
            "good/monday": ("test", "normal", "good"),
            "bad": ("test", "anomalous", "bad"),
            "bad/scratch": ("test", "anomalous", "scratch"),
            "bad/scratch/deep": ("test", "anomalous", "scratch"),
            "train/a": ("train", "normal", "good"),
        }.items()
    }
    [masked] = [sample for sample in opened.samples if sample.mask]
    assert masked.image == tmp_path / "nested/bad/scratch/deep/0.png"
    assert opened.problems == ()


def test_images_of_mvtecs_layout_are_read_at_any_depth(nuts: Path, draw, draw_mask) -> None:
    draw("set/metal_nut/test/bent/monday/early/007.png")
    draw("set/metal_nut/train/good/tuesday/007.png")
    mask = draw_mask("set/metal_nut/ground_truth/bent/monday/early/007_mask.png")
    opened = open_dataset(nuts)
    assert len(opened.samples) == 7
    assert mask in {sample.mask for sample in opened.samples}
    assert survey(opened).problems == ()


def test_bad_images_in_the_folder_for_training_are_bad(tmp_path: Path, draw) -> None:
    for name in ("train/ok/0", "train/ng/0", "ok/1", "ng/1"):
        draw(f"parts/{name}.png")
    found = labels(open_dataset(tmp_path / "parts"))
    assert found["train/ng/0.png"] == ("train", "anomalous", "ng")
    assert found["train/ok/0.png"] == ("train", "normal", "good")


def test_links_in_a_circle_end_and_each_image_is_read_once(tmp_path: Path, draw) -> None:
    image = draw("parts/good/a.png")
    (image.parent / "again").symlink_to(tmp_path / "parts")
    (image.parent / "itself").symlink_to(image.parent / "itself")
    assert images_below(image.parent) == [image]


def test_masks_among_bad_images_are_no_images(tmp_path: Path, draw, draw_mask) -> None:
    draw("parts/ok/a.png")
    draw("parts/ng/b.png")
    mask = draw_mask("parts/ng/Masks/b.png")
    opened = open_dataset(tmp_path / "parts")
    assert labels(opened).keys() == {"ok/a.png", "ng/b.png"}
    assert opened.samples[1].mask == mask


# masks that may be one or the other


def test_two_candidates_for_a_mask_are_a_problem_with_both_names(
    tmp_path: Path, draw, draw_mask
) -> None:
    draw("parts/good/0.png")
    draw("parts/bad/0.png")
    draw_mask("parts/masks/0.png")
    draw("parts/masks/0.jpg")
    opened = open_dataset(tmp_path / "parts")
    [problem] = opened.problems
    assert problem.path == tmp_path / "parts/bad/0.png"
    assert problem.what == "its mask may be 0.jpg or 0.png; keep one of them"
    assert problem.severity == "fatal"
    assert opened.samples[1].mask is None


def test_a_mask_that_says_so_in_its_name_is_the_mask(tmp_path: Path, draw, draw_mask) -> None:
    draw("parts/good/0.png")
    draw("parts/bad/0.png")
    mask = draw_mask("parts/masks/0_mask.png")
    draw("parts/masks/0.jpg")
    opened = open_dataset(tmp_path / "parts")
    assert opened.samples[1].mask == mask
    assert [p.what for p in opened.problems] == ["a mask that belongs to no image"]


def test_a_mask_that_two_images_may_have_is_a_problem_with_both_names(
    tmp_path: Path, draw, draw_mask
) -> None:
    for name in ("good/0", "bad/dent/0", "bad/scratch/0"):
        draw(f"parts/{name}.png")
    draw_mask("parts/masks/0.png")
    [problem] = open_dataset(tmp_path / "parts").problems
    first, second = (tmp_path / f"parts/bad/{kind}/0.png" for kind in ("dent", "scratch"))
    assert problem.path == tmp_path / "parts/masks/0.png"
    assert problem.what.startswith(f"it may be the mask of {first} or {second}; put each")
    assert problem.severity == "fatal"


def test_two_spellings_of_a_defect_with_one_mask_for_two_images_are_a_problem(
    nuts: Path, draw
) -> None:
    draw("set/metal_nut/test/Bent/000.png")
    [problem] = open_dataset(nuts).problems
    assert problem.path.name == "000_mask.png"
    assert "test/Bent/000.png or " in problem.what
    assert problem.severity == "fatal"
