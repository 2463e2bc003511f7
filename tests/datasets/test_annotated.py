"""Images without folders of good and bad are told by what was drawn over them, if one asks so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_datasets.survey import survey

BOX = "0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4"


@pytest.fixture
def yolo(tmp_path: Path, draw) -> Path:
    for name in ("train/a", "train/b", "val/a", "val/c"):
        draw(f"set/images/{name}.png")
    for name, lines in (("train/a", f"0 {BOX}\n2 {BOX}\n"), ("val/a", ""), ("val/c", f"1 {BOX}")):
        path = tmp_path / f"set/labels/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)
    (tmp_path / "set/labels/classes.txt").write_text("dent\n")
    return tmp_path / "set"


def test_images_with_objects_are_defective_and_others_good(yolo: Path) -> None:
    opened = open_dataset(yolo, "annotated")
    found = {each.image.relative_to(yolo / "images").as_posix(): each for each in opened.samples}
    assert {name: (each.label, each.defect) for name, each in found.items()} == {
        "train/a.png": ("anomalous", "class 0 + class 2"),
        "train/b.png": ("normal", "good"),
        "val/a.png": ("normal", "good"),
        "val/c.png": ("anomalous", "class 1"),
    }
    assert found["val/c.png"].mask == yolo / "labels/val/c.txt"
    [note] = opened.problems
    assert str(note) == f"{yolo}: 1 images of which no label file speaks, taken as good"
    assert note.severity == "note"
    measured = {each.sample.image: each.defective for each in survey(opened).measured}
    assert measured[yolo / "images/val/a.png"] == 0
    assert measured[yolo / "images/val/c.png"] == 8  # x 1.2 to 4.8, y 0.8 to 3.2: 4 x 2 centres


def test_it_is_never_chosen_unasked_but_proposed(yolo: Path) -> None:
    (yolo / "images/train").rename(yolo / "images/first")
    with pytest.raises(InputError, match=r"it looks like 'annotated', but .*--dataset annotated"):
        open_dataset(yolo)


def test_images_listed_in_one_file_are_told_by_it(tmp_path: Path, draw) -> None:
    for name in "abc":
        draw(f"set/{name}.png")
    images = [
        {"id": i, "file_name": f"{name}.png", "width": 12, "height": 8}
        for i, name in enumerate("ab")
    ]
    objects = [{"image_id": 1, "category_id": 3, "bbox": [1, 1, 3, 2]}]
    table = {"images": images, "annotations": objects, "categories": [{"id": 3, "name": "dent"}]}
    (tmp_path / "set/export.json").write_text(json.dumps(table))
    opened = open_dataset(tmp_path / "set", "annotated", {"labels": "export.json"})
    assert [each.defect for each in opened.samples] == ["good", "dent", "good"]
    assert "1 images of which no label file speaks" in opened.problems[0].what


def test_labelmes_files_beside_the_images_and_masks_that_are_images_tell_them_too(
    tmp_path: Path, draw, draw_mask
) -> None:
    for name in "abcd":
        draw(f"set/{name}.png")
    shape = {"label": "dent", "shape_type": "polygon", "points": [[1, 1], [4, 1], [4, 3]]}
    (tmp_path / "set/a.json").write_text(json.dumps({"shapes": [shape]}))
    (tmp_path / "set/b.json").write_text(json.dumps({"shapes": []}))
    draw_mask("set/masks/c.png")
    draw_mask("set/masks/d.png", value=0)
    opened = open_dataset(tmp_path / "set", "annotated")
    assert [each.defect for each in opened.samples] == ["dent", "good", "defect", "good"]


def test_a_label_file_without_sense_is_fatal_and_its_image_is_not_taken_as_good(
    yolo: Path,
) -> None:
    (yolo / "labels/val/a.txt").write_text("dent 0.1 0.2")
    opened = open_dataset(yolo, "annotated")
    assert yolo / "images/val/a.png" not in {each.image for each in opened.samples}
    [fatal] = (each for each in opened.problems if each.severity == "fatal")
    assert str(fatal) == f"{yolo}/labels/val/a.txt: line 1 is not made of numbers, as YOLO's are"
    with pytest.raises(InputError, match=r"no such folder; name it with --set dataset.labels"):
        open_dataset(yolo, "annotated", {"labels": "nowhere"})
