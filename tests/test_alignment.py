"""Finding where a part lies, seen from the first reference, and bringing images there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vlmad import Preprocessing, View, load_detector
from vlmad.errors import InputError
from vlmad.images import Source, restore_whole
from vlmad.loading import load
from vlmad.resizing import parse_resizing
from vlmad_alignment import ReferenceFrame, Similarity

from .conftest import SMALL

SIDE = 320
RANDOM = {"weights": "random:0"}


def part(side: int = SIDE, defect: bool = False, light: float = 1.0) -> Image.Image:
    """Draw a plate with holes of which no turn is like another, on a bench with some grain."""
    scale = side / 320
    canvas = Image.new("RGB", (side, round(side * 0.8)), (90, 85, 80))
    draw = ImageDraw.Draw(canvas)

    def box(left: float, top: float, right: float, bottom: float) -> list[float]:
        return [scale * each for each in (left, top, right, bottom)]

    draw.rounded_rectangle(box(80, 60, 250, 200), 14 * scale, fill=(190, 190, 200))
    draw.ellipse(box(100, 80, 150, 130), fill=(40, 40, 45))
    draw.ellipse(box(200, 150, 225, 175), fill=(60, 50, 50))
    draw.rectangle(box(180, 85, 235, 100), fill=(150, 60, 40))
    draw.polygon([scale * each for each in (110, 185, 160, 150, 170, 185)], fill=(30, 90, 140))
    if defect:
        draw.line(box(95, 190, 160, 70), fill=(250, 250, 250), width=round(5 * scale))
    grain = np.random.default_rng(side).normal(0, 4, (*canvas.size[::-1], 1))
    return Image.fromarray(np.clip(light * (np.asarray(canvas) + grain), 0, 255).astype(np.uint8))


def moved(image: Image.Image, to: Similarity) -> Image.Image:
    """Return what a camera sees of a part that lies elsewhere: the frame is `image`'s own."""
    back = to.inverse().coefficients(image.size, image.size)
    fill = (90, 85, 80)
    return image.transform(
        image.size, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC, fillcolor=fill
    )


@pytest.fixture(scope="module")
def frame() -> ReferenceFrame:
    return ReferenceFrame.of(part())


@settings(max_examples=15)
@given(
    degrees=st.floats(-25, 25),
    size=st.floats(0.85, 1.15),
    right=st.floats(-0.12, 0.12),
    down=st.floats(-0.12, 0.12),
)
def test_turn_size_and_shift_of_a_part_are_found(
    frame: ReferenceFrame, degrees: float, size: float, right: float, down: float
) -> None:
    true = Similarity(degrees, size, right, down)

    found = frame.find(moved(part(), true))

    assert found.similarity is not None
    assert found.similarity.degrees == pytest.approx(degrees, abs=0.5)
    assert found.similarity.size == pytest.approx(size, rel=0.01)
    assert found.similarity.apart(true, (320, 256)) < 0.005  # of the longer side: 1.6 pixels
    assert found.confidence > 0.35


@pytest.mark.parametrize(("defect", "light"), [(True, 1.0), (False, 0.5), (True, 0.6)])
def test_neither_a_defect_nor_the_light_moves_a_part(
    frame: ReferenceFrame, defect: bool, light: float
) -> None:
    true = Similarity(-12, 1.1, 0.05, -0.08)

    found = frame.find(moved(part(defect=defect, light=light), true))

    assert found.similarity is not None
    assert found.similarity.apart(true, (320, 256)) < 0.01


def test_an_image_of_another_resolution_is_brought_to_the_frame_at_its_own(
    frame: ReferenceFrame,
) -> None:
    placed = frame.place(moved(part(640), Similarity(10, 1.0, 0.1, 0.0)))

    assert placed.frame == (640, 512)
    assert placed.similarity.degrees == pytest.approx(10, abs=0.5)


def test_what_was_moved_is_brought_back_to_where_it_was(frame: ReferenceFrame) -> None:
    image, true = part(), Similarity(15, 0.95, 0.06, 0.04)
    seen = moved(image, true)

    back = frame.place(seen).to_frame(seen)

    middle = (slice(60, 200), slice(80, 250))
    wrong = np.abs(np.asarray(back, float)[middle] - np.asarray(image, float)[middle])
    unaligned = np.abs(np.asarray(seen, float)[middle] - np.asarray(image, float)[middle])
    assert wrong.mean() < 6 < unaligned.mean() / 4


def test_the_map_comes_back_in_place_and_is_lowest_where_the_frame_saw_nothing(
    frame: ReferenceFrame,
) -> None:
    true = Similarity(20, 1.1, 0.1, 0.0)
    placed = frame.place(moved(part(), true))
    heat = np.full((256, 320), 0.25, np.float32)
    heat[80:130, 100:150] = 1  # the large hole
    truth = moved(Image.fromarray((heat * 255).astype(np.uint8)).convert("RGB"), true)

    restored = placed.to_image(heat)

    assert restored.shape == (256, 320)
    hole = np.asarray(truth)[..., 0] > 200
    assert ((restored > 0.6) == hole).mean() > 0.99
    assert restored[0, 0] == pytest.approx(0.25)
    assert restored.min() == pytest.approx(0.25)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (256, 320, 3), np.uint8))


def stripes() -> Image.Image:
    across, along = np.meshgrid(np.arange(320), np.arange(256))
    waves = 100 + 60 * np.sin(across / 3) + 60 * np.sin(along / 3)
    return Image.fromarray(waves.astype(np.uint8)).convert("RGB")


def plain() -> Image.Image:
    return Image.new("RGB", (320, 256), (120, 120, 120))


@pytest.mark.parametrize("other", [noise, stripes, plain])
def test_an_image_of_something_else_stays_as_it_is_and_says_why(
    frame: ReferenceFrame, other: object
) -> None:
    image = other()  # type: ignore[operator]

    placed = frame.place(image)

    assert placed.to_frame(image) is image
    [note] = placed.notes
    assert note.startswith("not aligned: too little like the first reference (")


def test_a_texture_without_a_fixture_is_not_aligned_to_one() -> None:
    frame = ReferenceFrame.of(stripes())

    placed = frame.place(moved(stripes(), Similarity(3, 1.0, 0.04, 0.03)))

    assert placed.notes[0].startswith("not aligned: the first reference repeats itself (")


def test_a_part_that_lies_as_in_the_reference_is_not_sampled_anew(frame: ReferenceFrame) -> None:
    image = part(light=0.8)

    placed = frame.place(image)

    assert placed.to_frame(image) is image
    assert placed.notes == ()


def test_a_part_that_lies_too_far_off_stays_there() -> None:
    frame = ReferenceFrame.of(part())

    placed = frame.place(part().rotate(180))

    assert placed.notes[0].startswith("not aligned: ")


@pytest.mark.parametrize(
    ("pixels", "size"),
    [
        (np.zeros((77, 96), np.float32), (320, 256)),
        (np.zeros((96, 77), np.uint8), (320, 256)),
        (np.zeros((96, 96), np.uint8), (0, 0)),
        (np.zeros((96, 96), np.uint8), (-5, 7)),
        (np.zeros((96,), np.uint8), (320, 256)),
        (np.zeros((1, 96), np.uint8), (1 << 40, 1)),
    ],
)
def test_what_no_reference_has_is_no_frame(pixels: np.ndarray, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="no frame of a reference"):
        ReferenceFrame(pixels, size)


def test_frames_of_other_pixels_or_sizes_have_other_digests() -> None:
    frames = [ReferenceFrame.of(part(side)) for side in (320, 640)]
    frames.append(ReferenceFrame(255 - frames[0].pixels, frames[0].size))

    assert len({each.digest for each in frames}) == 3


class Recorder:
    """A fixture that moves every image by a quarter of its width to the left."""

    digest = "0"
    notes = ("moved",)

    def place(self, image: Image.Image) -> Recorder:
        return self

    def to_frame(self, image: Image.Image) -> Image.Image:
        return Image.fromarray(np.roll(np.asarray(image), -image.width // 4, axis=1))

    def to_image(self, heat: np.ndarray) -> np.ndarray:
        return np.roll(heat, heat.shape[1] // 4, axis=1)


@pytest.mark.parametrize("resize", ["squash", "pad", "tiles:2"])
def test_maps_of_placed_images_come_back_to_their_place(resize: str) -> None:
    image, bright = Image.new("RGB", (160, 120)), (slice(40, 80), slice(100, 140))
    pixels = np.asarray(image).copy()
    pixels[bright] = 255
    image = Image.fromarray(pixels)
    resizing = parse_resizing(resize)
    preprocessing = Preprocessing((64, 64), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")
    source = Source("part", image).placed(Recorder())

    [pieces] = load([source], resizing, [preprocessing], 1)
    maps = torch.stack([piece.pixels(preprocessing, resizing.of_each)[0] for piece in pieces])
    restored = restore_whole(pieces, maps, resizing.of_each)

    assert pieces[0].original.notes == ("moved",)
    assert restored.shape == (120, 160)
    assert ((restored > 0.5) == (pixels[..., 0] > 0)).mean() > 0.99


def test_a_view_of_a_placed_image_is_turned_after_it_was_placed() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8))

    seen = Source("part", image).placed(Recorder()).seen(View(90)).open()

    wanted = Recorder().to_frame(image).transpose(Image.Transpose.ROTATE_90)
    assert np.array_equal(np.asarray(seen), np.asarray(wanted))


def test_a_detector_places_references_and_images_alike() -> None:
    detector = load_detector("winclip", backbone=SMALL[1], options={"backbone": RANDOM})
    detector.fixture = ReferenceFrame.of(part())
    away = moved(part(), Similarity(15, 0.95, 0.06, 0.04))

    detector.fit([part(), away])
    [placed, unknown] = detector.predict([away, plain()])

    assert [each.fixture for each in detector.references] == [detector.fixture] * 2
    assert placed.notes == ()
    assert unknown.notes[0].startswith("not aligned: ")
    assert placed.map is not None
    assert placed.map.shape == (256, 320)
