"""What people drew in annotation tools marks the pixels that they see inside, and no others."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmad import Sample
from vlmad.errors import InputError
from vlmad_datasets._annotations import drawing_of, label_mask
from vlmad_datasets.masks import mask_of

SIZE = (12, 8)
L_SHAPE = [(1, 1), (5, 1), (5, 3), (3, 3), (3, 6), (1, 6)]
"""14 pixels: 4 x 2 and 2 x 3."""


def expected(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask of boxes, each from x, y to x, y."""
    mask = np.zeros(SIZE[::-1], bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


L_MASK = expected((1, 1, 5, 3), (1, 3, 3, 6))


def mask(path: Path, image: str = "a.png") -> np.ndarray:
    return label_mask(path, Path(image), SIZE)


def labelme(folder: Path, *shapes: dict[str, Any], **more: Any) -> Path:
    path = folder / "a.json"
    described = [{"label": "scratch", "group_id": None, "flags": {}} | each for each in shapes]
    table = {"version": "5.4.1", "imageWidth": 12, "imageHeight": 8, "imageData": None}
    path.write_text(json.dumps(table | {"shapes": described} | more))
    return path


def coco(folder: Path, *objects: dict[str, Any], **more: Any) -> Path:
    path = folder / "annotations.json"
    images = [
        {"id": 4, "file_name": "parts/a.png", "width": 12, "height": 8},
        {"id": 5, "file_name": "parts\\b.png", "width": 12, "height": 8},
    ]
    described = [{"id": i, "image_id": 4, "category_id": 1} | o for i, o in enumerate(objects)]
    categories = [{"id": 1, "name": "scratch"}]
    table = {"images": images, "annotations": described, "categories": categories}
    path.write_text(json.dumps(table | more))
    return path


def cvat(folder: Path, shapes: str, start: str = "", **more: str) -> Path:
    path = folder / "annotations.xml"
    image = '<image id="0" name="parts/a.png" width="12" height="8">'
    other = '<image id="1" name="b.png" width="12" height="8"/>'
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>{start}'
        f"<annotations><version>1.1</version>{image}{shapes}</image>{other}</annotations>"
    )
    return path


def yolo(folder: Path, *lines: str) -> Path:
    path = folder / "a.txt"
    path.write_text("\n".join(lines))
    return path


def flat(points: list[tuple[float, float]]) -> list[float]:
    return [value for point in points for value in point]


def test_a_polygon_along_the_edges_of_pixels_marks_its_area_in_every_format(
    tmp_path: Path,
) -> None:
    shares = " ".join(f"{x / 12:.6f} {y / 8:.6f}" for x, y in L_SHAPE)
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in L_SHAPE)
    for path in (
        labelme(tmp_path, {"points": L_SHAPE, "shape_type": "polygon"}),
        coco(tmp_path, {"segmentation": [flat(L_SHAPE)]}),
        cvat(tmp_path, f'<polygon label="scratch" points="{text}"/>'),
        yolo(tmp_path, f"0 {shares}"),
    ):
        assert np.array_equal(mask(path), L_MASK), path


def test_a_pixel_is_marked_where_its_centre_is_inside(tmp_path: Path) -> None:
    # x 2.4 to 4.6, y 1.4 to 2.6: the centres 2.5 to 4.5 and 1.5 to 2.5
    corners = [(2.4, 1.4), (4.6, 1.4), (4.6, 2.6), (2.4, 2.6)]
    assert np.array_equal(mask(labelme(tmp_path, {"points": corners})), expected((2, 1, 5, 3)))
    corners = [(2.6, 1.6), (4.4, 1.6), (4.4, 2.6), (2.6, 2.6)]
    assert np.array_equal(mask(labelme(tmp_path, {"points": corners})), expected((3, 2, 4, 3)))


def test_a_line_that_crosses_itself_leaves_out_what_it_winds_around_twice(tmp_path: Path) -> None:
    outer, inner = [(1, 1), (7, 1), (7, 7), (1, 7)], [(3, 3), (5, 3), (5, 5), (3, 5)]
    path = labelme(tmp_path, {"points": [*outer, outer[0], *inner, inner[0]]})
    hollow = expected((1, 1, 7, 7)) & ~expected((3, 3, 5, 5))
    assert np.array_equal(mask(path), hollow)


def test_a_polygon_too_thin_to_reach_a_centre_is_not_lost(tmp_path: Path) -> None:
    path = labelme(tmp_path, {"points": [(2, 3.1), (6, 3.1), (6, 3.2), (2, 3.2)]})
    assert np.array_equal(mask(path), expected((2, 3, 7, 4)))


def test_what_reaches_beyond_the_image_is_cut_at_its_edge(tmp_path: Path) -> None:
    path = labelme(tmp_path, {"points": [(9.0, -2.0), (14.0, -2.0), (14.0, 2.0), (9.0, 2.0)]})
    assert np.array_equal(mask(path), expected((9, 0, 12, 2)))


@pytest.mark.parametrize(
    ("shape", "boxes"),
    [
        ({"shape_type": "rectangle", "points": [[6, 5], [2, 1]]}, [(2, 1, 6, 5)]),
        ({"shape_type": "line", "points": [[1.5, 2.5], [4.5, 2.5]]}, [(1, 2, 5, 3)]),
        (
            {"shape_type": "linestrip", "points": [[1.5, 2.5], [4.5, 2.5], [4.5, 5.5]]},
            [(1, 2, 5, 3), (4, 2, 5, 6)],
        ),
        ({"shape_type": "point", "points": [[11.99, 8]]}, [(11, 7, 12, 8)]),
        (
            {"shape_type": "circle", "points": [[5, 4], [5, 5.6]]},  # of radius 1.6
            [(4, 2, 6, 6), (3, 3, 7, 5)],
        ),
        ({"points": [[2, 1], [6, 1], [6, 5], [2, 5]], "shape_type": None}, [(2, 1, 6, 5)]),
    ],
)
def test_every_shape_of_labelme_has_its_pixels(
    tmp_path: Path, shape: dict[str, Any], boxes: list[tuple[int, int, int, int]]
) -> None:
    assert np.array_equal(mask(labelme(tmp_path, shape)), expected(*boxes))


def painted(width: int, height: int) -> str:
    content = io.BytesIO()
    Image.new("1", (width, height), 1).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_a_mask_painted_in_labelme_lies_between_its_first_and_last_pixel(tmp_path: Path) -> None:
    shape = {"shape_type": "mask", "points": [[2, 1], [4, 2]], "mask": painted(3, 2)}
    assert np.array_equal(mask(labelme(tmp_path, shape)), expected((2, 1, 5, 3)))


def test_run_lengths_of_coco_go_down_the_columns_as_numbers_or_as_text(tmp_path: Path) -> None:
    # columns 1 and 2, rows 1 to 3: 9 pixels off, 3 on, 5 off, 3 on, the rest off
    counts = [9, 3, 5, 3, 76]
    runs = {"counts": counts, "size": [8, 12]}
    assert np.array_equal(mask(coco(tmp_path, {"segmentation": runs})), expected((1, 1, 3, 4)))
    # 9, 3 and 5 as they are, then 3 - 3 = 0 and 76 - 5 = 71 = 7 + 2 * 32, the first with "more"
    text = "".join(chr(48 + bits) for bits in (9, 3, 5, 0, 7 + 32, 2))
    runs = {"counts": text, "size": [8, 12]}
    assert np.array_equal(mask(coco(tmp_path, {"segmentation": runs})), expected((1, 1, 3, 4)))


def test_a_run_shorter_than_the_one_before_the_last_is_a_negative_number_in_text(
    tmp_path: Path,
) -> None:
    # columns 0 and 2: 0 off, 8 on, 8 off, 4 on, 76 off; 4 - 8 = -4 is 28, 76 - 8 = 68 is 4 + 2 * 32
    text = "".join(chr(48 + bits) for bits in (0, 8, 8, 28, 4 + 32, 2))
    runs = {"counts": text, "size": [8, 12]}
    assert np.array_equal(
        mask(coco(tmp_path, {"segmentation": runs})), expected((0, 0, 1, 8), (2, 0, 3, 4))
    )


def test_objects_of_coco_are_found_by_their_image_and_boxes_stand_in_for_outlines(
    tmp_path: Path,
) -> None:
    path = coco(
        tmp_path,
        {"segmentation": [], "bbox": [2, 1, 4, 2]},
        {"segmentation": [[8, 5, 10, 5, 10, 7, 8, 7], [0, 6, 2, 6, 2, 8, 0, 8]]},
        {"image_id": 5, "bbox": [0, 0, 1, 1]},
    )
    assert np.array_equal(mask(path), expected((2, 1, 6, 3), (8, 5, 10, 7), (0, 6, 2, 8)))
    assert np.array_equal(mask(path, "B.png"), expected((0, 0, 1, 1)))
    found = drawing_of(path, Path("a.png")).shapes
    assert [(each.label, each.coarse) for each in found] == [("scratch", "a box"), ("scratch", "")]
    with pytest.raises(InputError, match=r"annotations.json: 'c.png' is none of the images listed"):
        mask(path, "c.png")


def test_images_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": f"{folder}/a.png", "width": 12, "height": 8}
        for i, folder in enumerate(("left", "right"))
    ]
    path = coco(tmp_path, {"image_id": 1, "bbox": [2, 1, 4, 2]}, images=images)
    assert not mask(path, "data/left/a.png").any()
    assert mask(path, "data/right/a.png").sum() == 8
    with pytest.raises(InputError, match=r"'a.png' is none of the images listed"):
        mask(path, "data/a.png")


@pytest.mark.parametrize(
    ("shape", "boxes"),
    [
        ('<box xtl="2.00" ytl="1.00" xbr="6.00" ybr="3.00"/>', [(2, 1, 6, 3)]),
        (  # around (4, 4): 4 x 2 becomes 2 x 4
            '<box xtl="2" ytl="3" xbr="6" ybr="5" rotation="90"/>',
            [(3, 2, 5, 6)],
        ),
        (
            '<ellipse cx="5" cy="4" rx="2.6" ry="0.7"/>',  # centres at +-2.5 are just out, 1.5 in
            [(3, 3, 7, 5)],
        ),
        ('<ellipse cx="5" cy="4" rx="2.6" ry="0.7" rotation="90"/>', [(4, 2, 6, 6)]),
        ('<polyline points="1.5,2.5;4.5,2.5"/>', [(1, 2, 5, 3)]),
        ('<points points="1.5,2.5;4.5,2.5"/>', [(1, 2, 2, 3), (4, 2, 5, 3)]),
        (  # the rows of a box of 4 x 2: on on off off / off on on on
            '<mask rle="0, 2, 3, 3" left="5" top="2" width="4" height="2"/>',
            [(5, 2, 7, 3), (6, 3, 9, 4)],
        ),
        ('<tag label="bad"/>', []),
    ],
)
def test_every_shape_of_cvat_has_its_pixels(
    tmp_path: Path, shape: str, boxes: list[tuple[int, int, int, int]]
) -> None:
    assert np.array_equal(mask(cvat(tmp_path, shape)), expected(*boxes))
    assert not mask(tmp_path / "annotations.xml", "b.png").any()


def test_a_box_of_yolo_is_its_middle_and_sides_and_an_empty_file_marks_nothing(
    tmp_path: Path,
) -> None:
    middle = f"3 {4 / 12} {2 / 8} {4 / 12} {2 / 8}"
    assert np.array_equal(mask(yolo(tmp_path, middle, "")), expected((2, 1, 6, 3)))
    assert drawing_of(tmp_path / "a.txt", Path("a.png")).shapes[0].label == "class 3"
    assert not mask(yolo(tmp_path)).any()


BOX = {"shape_type": "rectangle", "points": [[1, 1], [3, 3]]}


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: labelme(f, BOX, {"points": [[1, 1], [float("nan"), 2]]}), "shapes.1.points.1.0"),
        (lambda f: labelme(f, BOX, {"points": [[1, 1], [1e300, 2], [1, 2]]}), "shape 2 'scratch'"),
        (lambda f: labelme(f, {"points": [[1, 1]] * 2}), "shape 1 is a 'polygon' of 2 points"),
        (lambda f: labelme(f, {"points": [[1, 1]], "shape_type": "cuboid"}), "is a 'cuboid'"),
        (lambda f: labelme(f, {"points": [[20, 9], [21, 9], [21, 10]]}), "outside of the image of"),
        (
            lambda f: labelme(f, BOX, imageWidth=24, imageHeight=16),
            "drawn over 24 x 16 pixels, its",
        ),
        (lambda f: labelme(f, BOX, imageWidth=10**9, imageHeight=10**9), "drawn over 1000000000"),
        (
            lambda f: labelme(
                f, {"shape_type": "mask", "points": [[1, 1], [2, 2]], "mask": painted(3, 3)}
            ),
            "shape 1 'scratch' is a mask of another size than its box",
        ),
        (
            lambda f: labelme(f, {"shape_type": "mask", "points": [[1, 1], [2, 2]], "mask": "%"}),
            "shape 1 'scratch' is a mask that cannot be decoded",
        ),
        (lambda f: coco(f, {"segmentation": [[1, 1, 3]]}), "annotations.0 'scratch' has a polygon"),
        (lambda f: coco(f, {}), "annotations.0 has neither segmentation nor bbox"),
        (lambda f: coco(f, {"bbox": [1, 2, 3]}), "annotations.0.bbox"),
        (
            lambda f: coco(f, {"segmentation": {"counts": [1, 2], "size": [8, 12]}}),
            "annotations.0 'scratch' has runs that do not fill 12 x 8 pixels",
        ),
        (
            lambda f: coco(f, {"segmentation": {"counts": [10**18], "size": [10**9, 10**9]}}),
            "is a mask of 1000000000 x 1000000000 pixels in another image",
        ),
        (
            lambda f: coco(f, {"segmentation": {"counts": "oo", "size": [8, 12]}}),
            "has run lengths that end too early",
        ),
        (
            lambda f: coco(f, {"segmentation": {"counts": "o" * 99, "size": [8, 12]}}),
            "has run lengths that are no text of COCO",
        ),
        (lambda f: cvat(f, '<box xtl="1"/>'), "box 1: has no 'ytl'"),
        (lambda f: cvat(f, '<polygon points="1,inf;2,2"/>'), "polygon 1: has a value that is no"),
        (lambda f: cvat(f, '<polygon points="1;2,2"/>'), "points that are no pairs"),
        (lambda f: cvat(f, "<cuboid/>"), "cuboid 1: is no shape with a meaning as a mask"),
        (
            lambda f: cvat(f, '<mask rle="5" left="0" top="0" width="2" height="2"/>'),
            "mask 1 '' has runs that do not fill 2 x 2 pixels",
        ),
        (
            lambda f: cvat(f, "", '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>'),
            "an XML with a document type",
        ),
        (lambda f: yolo(f, "0 1 1 2 2 30 40"), "line 1 has a number that is no share of the image"),
        (lambda f: yolo(f, "", "0 .1 .2 .3 .4 .5"), "line 2 has 6 numbers, not a class and"),
        (lambda f: yolo(f, "scratch .1 .2 .3 .4"), "line 1 is not made of numbers"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_names_of_file_and_object(
    tmp_path: Path, write: Any, message: str
) -> None:
    path = write(tmp_path)
    with pytest.raises(InputError) as refused:
        mask(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[" * 200_000, "no JSON"),
        ("a.json", b"[]", "a JSON of no object"),
        ("a.json", b'{"regions": []}', "a JSON neither of LabelMe nor of COCO; export one"),
        ("a.json", b'{"shapes": 3}', "shapes: "),
        ("a.json", b"\xff\xfe{", "no text in UTF-8"),
        ("a.json", b'{"shapes": [{"points": [[' + b"1" * 400 + b", 2]]}]}", "shapes.0.points"),
        ("a.xml", b"<annotations><track/></annotations>", "export the task as 'CVAT for images'"),
        ("a.xml", b"<annotation><object/></annotation>", "an XML of <annotation> without images"),
        ("a.xml", b"<a>" * 200_000, "no XML"),
        ("a.xml", b"<a>" * 100_000 + b"</a>" * 100_000, "an XML of <a> without images"),
        ("a.xml", b"", "no XML"),
    ],
)
def test_files_of_no_known_tool_are_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        mask(tmp_path / name)
    assert str(refused.value).startswith(f"{tmp_path / name}: ")
    assert message in str(refused.value)


def test_a_file_for_many_images_is_read_anew_when_it_has_changed(tmp_path: Path) -> None:
    assert not mask(coco(tmp_path)).any()
    assert mask(coco(tmp_path, {"bbox": [0, 0, 2, 2]})).sum() == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from([labelme, coco, cvat, yolo]))
def test_damaged_label_files_give_a_mask_or_an_error_of_vlmads_own(
    tmp_path: Path, random: random.Random, write: Any
) -> None:
    runs = {"counts": "933", "size": [8, 12]}
    shapes: dict[Any, tuple[Any, ...]] = {
        labelme: (BOX, {"shape_type": "circle", "points": [[5, 4], [5, 6]]}),
        coco: ({"bbox": [1, 1, 2, 2]}, {"segmentation": [flat(L_SHAPE)]}, {"segmentation": runs}),
        cvat: ('<mask rle="0,2,2" left="1" top="1" width="2" height="2"/><box xtl="1"/>',),
        yolo: ("0 .1 .1 .2 .1 .2 .2", "1 .5 .5 .1 .1"),
    }
    path = write(tmp_path, *shapes[write])
    data = bytearray(path.read_bytes())
    for _ in range(random.randint(1, 6)):
        data[random.randrange(len(data))] = random.choice(b'0123456789.-e"[]{},<> \xff')
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        assert mask(path).shape == SIZE[::-1]


def test_a_label_file_is_the_mask_of_a_sample_and_lies_over_the_upright_or_stored_pixels(
    tmp_path: Path, draw
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side: 8 wide and 12 high when upright
    image = draw("a.png", exif=exif)
    wide = labelme(tmp_path, BOX)
    found = mask_of(Sample(image, "anomalous", "nut", mask=wide))
    assert found is not None
    assert found.shape == (12, 8)
    assert np.argwhere(found).tolist() == [[1, 5], [1, 6], [2, 5], [2, 6]]  # turned clockwise
    high = labelme(tmp_path, BOX, imageWidth=8, imageHeight=12)
    found = mask_of(Sample(image, "anomalous", "nut", mask=high))
    assert found is not None
    assert np.argwhere(found).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    shares = yolo(tmp_path, f"0 {2 / 8} {2 / 12} {2 / 8} {2 / 12}")
    assert np.array_equal(mask_of(Sample(image, "anomalous", "nut", mask=shares)), found)
