"""Label files are found where annotation tools leave them, and belong to the images they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_datasets.masks import read_mask
from vlmad_datasets.survey import survey

BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]
"""Of 6 pixels."""


@pytest.fixture
def parts(tmp_path: Path, draw) -> Path:
    for name in ("good/0", "good/1", "bad/0", "bad/dent/1"):
        draw(f"parts/{name}.png")
    return tmp_path / "parts"


def labelme(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    shape = {"label": "dent", "shape_type": "polygon", "points": BOX}
    path.write_text(json.dumps({"shapes": [shape], "imageWidth": 12, "imageHeight": 8}))
    return path


def coco(path: Path, *names: str, marked: tuple[str, ...] = ()) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    images = [
        {"id": i, "file_name": name, "width": 12, "height": 8} for i, name in enumerate(names)
    ]
    flat = [value for point in BOX for value in point]
    objects = [{"image_id": names.index(n), "segmentation": [flat]} for n in marked]
    path.write_text(json.dumps({"images": images, "annotations": objects}))
    return path


def marked(root: Path, **options: Any) -> dict[str, int | None]:
    found = survey(open_dataset(root, "folder", options))
    assert found.of("fatal") == ()
    return {
        each.sample.image.relative_to(root).as_posix(): each.defective
        for each in found.measured
        if each.sample.mask is not None
    }


@pytest.mark.parametrize("place", ["masks/{}.json", "masks/{}_mask.json", "bad/{}.json"])
def test_labelmes_files_lie_in_a_folder_of_masks_or_beside_the_images(
    parts: Path, place: str
) -> None:
    for name in ("0", "dent/1"):
        labelme(parts / place.format(name))
    assert marked(parts) == {"bad/0.png": 6, "bad/dent/1.png": 6}
    assert survey(open_dataset(parts)).of("warning") == ()


def test_of_a_folder_that_labelme_exports_the_label_is_the_mask(
    parts: Path, draw, draw_mask
) -> None:
    for place in ("masks/0", "masks/dent/1_json"):
        draw(f"parts/{place}/img.png")
        draw_mask(f"parts/{place}/label.png", value=1)
        draw(f"parts/{place}/label_viz.png")
    assert marked(parts) == {"bad/0.png": 6, "bad/dent/1.png": 6}


def test_yolos_files_lie_in_labels(parts: Path) -> None:
    shares = " ".join(f"{x / 12} {y / 8}" for x, y in BOX)
    (parts / "labels/dent").mkdir(parents=True)
    (parts / "labels/0.txt").write_text(f"0 {shares}\n")
    (parts / "labels/dent/1.txt").write_text("")
    (parts / "labels/classes.txt").write_text("dent\n")
    assert marked(parts) == {"bad/0.png": 6, "bad/dent/1.png": 0}
    [only] = (p for p in survey(open_dataset(parts)).of("warning") if p.path.suffix)
    assert str(only) == f"{parts}/labels/dent/1.txt: the mask of an anomalous image marks nothing"


@pytest.mark.parametrize(
    "place", ["annotations.json", "annotations/instances_default.json", "masks/result.json"]
)
def test_one_file_for_all_images_is_found_by_its_usual_names(parts: Path, place: str) -> None:
    names = ("good/0.png", "good/1.png", "bad/0.png", "bad/dent/1.png")
    coco(parts / place, *names, marked=("bad/0.png", "bad/dent/1.png"))
    found = marked(parts)
    assert found == {"good/0.png": 0, "good/1.png": 0, "bad/0.png": 6, "bad/dent/1.png": 6}


def test_one_file_for_all_images_may_be_named_by_an_option(parts: Path) -> None:
    coco(parts / "export.json", "bad/0.png", "bad/dent/1.png", marked=("bad/0.png",))
    assert marked(parts, masks="export.json") == {"bad/0.png": 6, "bad/dent/1.png": 0}


def test_what_is_drawn_on_a_good_image_contradicts_its_label(parts: Path) -> None:
    names = ("good/0.png", "bad/0.png", "bad/dent/1.png")
    coco(parts / "annotations.json", *names, marked=names)
    [warning] = survey(open_dataset(parts)).of("warning")
    assert str(warning) == f"{parts}/good/0.png: the mask of a normal image marks 6 pixels"


def test_a_name_without_folders_that_two_images_have_is_a_problem(parts: Path) -> None:
    coco(parts / "annotations.json", "0.png")
    [fatal] = survey(open_dataset(parts)).of("fatal")
    either = f"{parts}/bad/0.png or {parts}/good/0.png"
    assert fatal.what == f"'0.png' may be {either}; give each a name of its own"


def test_images_that_two_files_speak_of_are_problems_and_files_that_speak_of_none_are_warnings(
    parts: Path,
) -> None:
    for place in ("annotations.json", "annotations/instances_a.json"):
        coco(parts / place, "bad/0.png", "bad/dent/1.png")
    coco(parts / "annotations/instances_b.json", "elsewhere.png")
    found = survey(open_dataset(parts))
    assert {each.path.name for each in found.of("fatal")} == {"0.png", "1.png"}
    assert "keep one of them" in found.of("fatal")[0].what
    [other] = (p for p in found.of("warning") if p.path.suffix == ".json")
    assert other.what == "a label file that speaks of no image here"


def test_a_label_file_that_cannot_be_read_is_a_problem_and_never_passed_over(parts: Path) -> None:
    (parts / "annotations.json").write_text('{"images": [], "annotations"')
    [fatal] = survey(open_dataset(parts)).of("fatal")
    assert str(fatal).startswith(f"{parts}/annotations.json: no JSON")


def test_a_json_of_something_else_beside_an_image_is_no_label_file(parts: Path) -> None:
    (parts / "bad/0.json").write_text('{"camera": "left"}')
    assert marked(parts) == {}


def test_colours_of_segmentation_masks_are_told_from_the_background_by_their_file(
    parts: Path,
) -> None:
    (parts / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,128,0::\ndent:250,50,83::\n"
    )
    colours = np.full((8, 12, 3), (0, 128, 0), np.uint8)
    colours[1:3, 1:4] = (250, 50, 83)
    (parts / "SegmentationClass/dent").mkdir(parents=True)
    for name in ("0", "dent/1"):
        Image.fromarray(colours).save(parts / f"SegmentationClass/{name}.png")
    (parts / "SegmentationClass/labelmap.txt").write_text("background:0,128,0::\ndent:250,50,83::")
    assert marked(parts) == {"bad/0.png": 6, "bad/dent/1.png": 6}
    colours[7, 11] = (1, 2, 3)
    Image.fromarray(colours).save(parts / "SegmentationClass/0.png")
    with pytest.raises(InputError, match=r"0.png: the colour 1,2,3 is none of labelmap.txt"):
        read_mask(parts / "SegmentationClass/0.png")
    (parts / "SegmentationClass/labelmap.txt").write_text("dent:250,50\n")
    with pytest.raises(InputError, match=r"labelmap.txt: line 1 names no colour"):
        read_mask(parts / "SegmentationClass/0.png")
