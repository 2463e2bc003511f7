"""What is odd about a data set that can be read is said, by file, with what to do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad_datasets import open_dataset
from vlmad_datasets.masks import percent
from vlmad_datasets.survey import survey

from ..conftest import vlmad  # noqa: TID252 (tests are no package)

SIDE = 64


@pytest.fixture
def parts(tmp_path: Path, draw) -> Path:
    """A good and a bad part; the bad one has a bright square."""
    draw("parts/good/0.png", size=(SIDE, SIDE))
    noise = np.random.default_rng(9).integers(60, 90, (SIDE, SIDE, 3)).astype(np.uint8)
    noise[20:30, 20:30] = 250
    (tmp_path / "parts/bad").mkdir()
    (tmp_path / "parts/masks").mkdir()
    Image.fromarray(noise).save(tmp_path / "parts/bad/0.png")
    return tmp_path / "parts"


def mask() -> np.ndarray:
    marked = np.zeros((SIDE, SIDE), np.uint8)
    marked[20:30, 20:30] = 255
    return marked


def warnings_of(root: Path, decoding: bool = False) -> list[tuple[str, str]]:
    found = survey(open_dataset(root), decoding=decoding).of("warning")
    return [(str(each.path.relative_to(root)), each.what) for each in found]


def through_jpeg(values: np.ndarray) -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=75)
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_a_mask_in_black_and_white_of_a_part_of_its_image_is_not_odd(parts: Path) -> None:
    Image.fromarray(mask()).save(parts / "masks/0.png")
    assert warnings_of(parts) == []


@pytest.mark.parametrize(
    ("name", "image", "what"),
    [
        ("0.png", Image.fromarray(255 - mask()), "marks 98 % of its image; see on the"),
        (
            "0.png",
            Image.fromarray((mask() > 0).astype(np.uint8) + 1),
            "no value is 0, so 1, its lowest, is taken as background; export it anew",
        ),
        ("0.png", through_jpeg(mask()), "grey levels, so what is above"),
        ("0.png", Image.fromarray(mask() * 0), "the mask of an anomalous image marks nothing"),
    ],
)
def test_an_odd_mask_is_a_warning(parts: Path, name: str, image: Image.Image, what: str) -> None:
    image.save(parts / "masks" / name)
    found = [what for place, what in warnings_of(parts) if place == f"masks/{name}"]
    assert len(found) == 1
    assert what in found[0]


def test_a_mask_stored_with_losses_is_a_warning(parts: Path) -> None:
    Image.fromarray(mask()).save(parts / "masks/0.jpg")
    [(place, what)] = warnings_of(parts)
    assert (place, what.partition(",")[0]) == ("masks/0.jpg", "is stored with losses")


@pytest.mark.parametrize("name", ["0.png", "0.jpg"])
def test_a_copy_of_the_photograph_in_place_of_its_mask_is_told(parts: Path, name: str) -> None:
    with Image.open(parts / "bad/0.png") as photograph:
        photograph.save(parts / "masks" / name)
    [(place, what)] = warnings_of(parts)
    assert place == f"masks/{name}"
    assert what.startswith("looks like its photograph, not like a mask")


def test_a_category_whose_masks_are_all_empty_has_no_pixel_figures(parts: Path) -> None:
    Image.fromarray(mask() * 0).save(parts / "masks/0.png")
    what = "category parts: none of its 1 masks marks a pixel: no pixel figures"
    assert (".", what) in warnings_of(parts)


def test_defects_drawn_as_boxes_are_a_warning_and_outlines_are_not(parts: Path) -> None:
    shape = {"label": "dent", "shape_type": "rectangle", "points": [[20, 20], [30, 30]]}
    path = parts / "masks/0.json"
    path.write_text(json.dumps({"shapes": [shape], "imageWidth": SIDE, "imageHeight": SIDE}))
    what = "its defects are drawn as a box; pixel figures need outlines"
    assert warnings_of(parts) == [("masks/0.json", what)]
    shape |= {"shape_type": "polygon", "points": [[20, 20], [30, 20], [30, 30], [20, 30]]}
    path.write_text(json.dumps({"shapes": [shape], "imageWidth": SIDE, "imageHeight": SIDE}))
    assert warnings_of(parts) == []
    assert survey(open_dataset(parts)).measured[-1].defective == 100


def test_the_same_pixels_in_files_of_two_formats_are_found_by_decoding(parts: Path) -> None:
    Image.fromarray(mask()).save(parts / "masks/0.png")
    with Image.open(parts / "good/0.png") as image:
        image.save(parts / "good/copy.bmp")
    assert warnings_of(parts) == []
    [(place, what)] = warnings_of(parts, decoding=True)
    assert {Path(place).name, Path(what).name} == {"0.png", "copy.bmp"}


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100 %"),
        (0.9999, "99.9 %"),
        (0.994, "99.4 %"),
        (0.55, "55 %"),
        (0.0123, "1.2 %"),
        (3e-9, "0.0000003 %"),
        (0, "0 %"),
    ],
)
def test_a_share_is_written_without_powers_of_ten(share: float, text: str) -> None:
    assert percent(share) == text


def test_of_problems_alike_the_first_are_printed_and_the_rest_counted(
    parts: Path, tmp_path: Path
) -> None:
    for number in range(6):
        with Image.open(parts / "bad/0.png") as image:
            pixels = np.asarray(image).copy()
        pixels[0, 0] = number
        Image.fromarray(pixels).save(parts / f"bad/{number}.png")
        inverted = 255 - mask()
        inverted[: 5 * number] = 0
        Image.fromarray(inverted).save(parts / f"masks/{number}.png")
    done = vlmad("data", parts, cwd=tmp_path, COLUMNS="100")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert [line.split()[1] for line in lines] == [
        "masks/0.png:",
        "masks/1.png:",
        "masks/2.png:",
        "…",
    ]
    assert lines[-1] == "warning … and 3 more like this"
    assert done.stdout.splitlines()[-1] == "7 problems in all; --json lists them"
