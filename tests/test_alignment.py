"""Finding where a part lies, seen from the first reference, and bringing images there and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import save_file

from vlmad import ImageBatch, Preprocessing, View, load_detector
from vlmad.errors import InputError
from vlmad.images import Source, restore_whole
from vlmad.loading import load
from vlmad.resizing import Box, parse_resizing
from vlmad_alignment import ReferenceFrame, Similarity
from vlmad_openclip.store import tensor_digest
from vlmad_run.aligning import read_frame, seen
from vlmad_run.manifest import read_manifest
from vlmad_run.rows import ScoreRow, read_rows

from .conftest import SMALL

SIDE = 320
RANDOM = {"weights": "random:0"}
GREY = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")


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
    around = placed.around(Box(100, 80, 150, 130))
    rows, columns = np.nonzero(hole)
    assert around.left <= columns.min() + 1
    assert around.right >= columns.max()
    assert around.top <= rows.min() + 1
    assert around.bottom >= rows.max()
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
    size = (160, 120)

    def place(self, image: Image.Image) -> Recorder:
        return self

    def to_frame(self, image: Image.Image) -> Image.Image:
        return Image.fromarray(np.roll(np.asarray(image), -image.width // 4, axis=1))

    def to_image(self, heat: np.ndarray) -> np.ndarray:
        return np.roll(heat, heat.shape[1] // 4, axis=1)

    def around(self, box: Box) -> Box:
        return Box(box.left + 40, box.top, box.right + 40, box.bottom)


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


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Good parts, and photographs: one of a part that lies elsewhere, one of something else."""
    for folder in ("good", "photos"):
        (tmp_path / folder).mkdir()
    part().save(tmp_path / "good" / "0.png")
    moved(part(light=0.9), Similarity(-8, 1.05, 0.03, 0.05)).save(tmp_path / "good" / "1.png")
    moved(part(), Similarity(15, 0.95, 0.06, 0.04)).save(tmp_path / "photos" / "away.png")
    noise().save(tmp_path / "photos" / "noise.png")
    return tmp_path


def rows(folder: Path) -> dict[str, ScoreRow]:
    return {Path(row.image).stem: row for row in read_rows(folder)}


@pytest.mark.slow
def test_a_fitted_file_aligns_images_exactly_as_the_run_with_its_references(
    parts: Path, command: Callable[..., Any]
) -> None:
    quiet = ("--quiet", "--overlays", "none")
    fit = ("fit", "good", "--align", "--out", "part.safetensors", *SMALL)
    direct = ("run", "photos", "--detector", "winclip", "--references", "good", "--shots", "2")

    assert command(*direct, "--align", "--out", "direct", *quiet, *SMALL).status == 0
    assert command(*fit, "--detector", "winclip").status == 0
    ended = command("run", "--manifest", "direct", "--out", "again", "--quiet")
    assert "scores agree: 2 compared" in ended.error
    shutil.rmtree(parts / "good")
    assert (
        command("run", "photos", "--model", "part.safetensors", "--out", "stored", *quiet).status
        == 0
    )

    aligned, stored = rows(parts / "direct"), rows(parts / "stored")
    assert {name: row.score for name, row in stored.items()} == {
        name: row.score for name, row in aligned.items()
    }
    assert [row.notes for row in (aligned["away"], stored["away"])] == [[], []]
    for each in (aligned, stored):
        assert each["noise"].notes[0].startswith("not aligned: too little like")
    assert read_manifest(parts / "direct").identity.align is not None  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_run_that_aligns_is_another_run(parts: Path, command: Callable[..., Any]) -> None:
    words = ("run", "photos", "--detector", "winclip", "--references", "good", "--shots", "2")
    words += ("--quiet", *SMALL)
    assert command(*words, "--overlays", "none", "--out", "out").status == 0

    ended = command(*words, "--align", "--out", "out")

    assert ended.status == 2
    assert "holds a run that differs: align (none, now" in ended.error


def test_nothing_can_be_aligned_without_a_reference(
    parts: Path, command: Callable[..., Any]
) -> None:
    ended = command("run", "photos", "--align", *SMALL)

    assert ended.status == 2
    assert "--align brings images to the first reference: add --references PATH" in ended.error


@pytest.mark.parametrize(
    "tensors",
    [
        {"frame/pixels": torch.zeros(77, 96, dtype=torch.uint8)},
        {"frame/size": torch.tensor([320, 256])},
        {"frame/pixels": torch.zeros(77, 96), "frame/size": torch.tensor([320, 256])},
        {
            "frame/pixels": torch.zeros(77, 96, dtype=torch.uint8),
            "frame/size": torch.tensor([320.0, 256.0]),
        },
        {
            "frame/pixels": torch.zeros(0, dtype=torch.uint8),
            "frame/size": torch.tensor([0, 0]),
        },
        {
            "frame/pixels": torch.zeros(96, 77, dtype=torch.uint8),
            "frame/size": torch.tensor([1 << 60, 1 << 60]),
        },
    ],
)
def test_tensors_that_are_no_frame_are_refused(tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="no frame of a reference"):
        read_frame(tensors)


@pytest.mark.slow
def test_another_frame_in_a_fitted_file_is_refused(
    parts: Path, command: Callable[..., Any]
) -> None:
    fit = ("fit", "good", "--align", "--out", "part.safetensors", *SMALL)
    assert command(*fit, "--detector", "winclip").status == 0
    with safe_open(parts / "part.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(file.metadata()["vlmad"])
    tensors["frame/pixels"] = 255 - tensors["frame/pixels"]
    document["tensors"] = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
    save_file(tensors, parts / "odd.safetensors", {"vlmad": json.dumps(document)})

    ended = command("run", "photos", "--model", "odd.safetensors", "--quiet")

    assert ended.status == 2
    assert "was fitted with something else: align (" in ended.error


@pytest.mark.slow
def test_an_explanation_shows_a_place_where_the_image_itself_has_it(
    parts: Path, command: Callable[..., Any]
) -> None:
    away = moved(part(), Similarity(18, 1.0, 0.08, 0.05))
    away.save(parts / "photos" / "away.png")
    words = ("explain", "photos/away.png", "--references", "good", "--shots", "2", "--json")

    explained = json.loads(command(*words, "--detector", "winclip", "--align", *SMALL).out)

    [each] = explained["explanations"]
    boxes = [finding["place"] for finding in each["findings"]]
    assert boxes
    assert (each["width"], each["height"]) == away.size
    for box in boxes:
        assert 0 <= box["left"] < box["right"] <= 320
        assert 0 <= box["top"] < box["bottom"] <= 256
    columns, rows = {320 // 4 * n for n in range(5)}, {256 // 4 * n for n in range(5)}
    sides = [{box["left"], box["right"]} <= columns for box in boxes]
    sides += [{box["top"], box["bottom"]} <= rows for box in boxes]
    assert not all(sides)  # they do not lie on the model's grid, which is turned


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A category whose parts lie elsewhere in every image."""
    root, rng = tmp_path / "data" / "plate", np.random.default_rng(0)
    for folder, count in (("train/good", 3), ("test/good", 2), ("test/scratch", 2)):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            move = Similarity(rng.uniform(-15, 15), 1.0, rng.uniform(-0.05, 0.05), 0.0)
            image = moved(part(160, defect=folder == "test/scratch"), move)
            image.save(root / folder / f"{index}.png")
    return tmp_path


@pytest.mark.slow
def test_cells_of_a_bench_are_aligned_as_runs_with_their_references(
    labelled: Path, command: Callable[..., Any]
) -> None:
    words = ("--shots", "0,1", "--seeds", "3", "--replicates", "10", "--quiet", *SMALL)
    plain = command("bench", "data", "--detector", "winclip", "--out", "plain", *words)
    assert plain.status == 0, plain.error  # its features are kept, and must not be taken below

    ended = command("bench", "data", "--detector", "winclip", "--align", "--out", "bench", *words)

    assert ended.status == 0, ended.error
    compared = set()
    lines = sorted((labelled / "bench").rglob("scores.jsonl"))
    for number, folder in enumerate(path.parent for path in lines):
        manifest = read_manifest(folder)
        assert manifest is not None
        paths = [reference.path for reference in manifest.references]
        assert (manifest.identity.align is not None) == bool(paths)
        how = ("--references", paths[0], "--align") if paths else ()
        run = ("run", "data/plate/test", "--detector", "winclip", "--class-name", "plate", *SMALL)
        out = f"run{number}"
        again = command(*run, *how, "--out", out, "--overlays", "none", "--quiet")
        assert again.status == 0, again.error
        mine = {Path(row.image).parts[-2:]: row.score for row in read_rows(folder)}
        theirs = {Path(row.image).parts[-2:]: row.score for row in read_rows(labelled / out)}
        assert mine == pytest.approx(theirs, abs=1e-5)
        compared.add(manifest.identity.align)
    assert len(compared) > 2  # drawn references are not all the same


def test_a_bench_aligns_nothing_without_references(
    labelled: Path, command: Callable[..., Any]
) -> None:
    ended = command("bench", "data", "--detector", "winclip", "--align", *SMALL)

    assert ended.status == 2
    assert "--align brings images to the first reference: add --shots 1 or more" in ended.error


def test_what_an_aligned_image_does_not_show_counts_for_nothing(frame: ReferenceFrame) -> None:
    away = moved(part(), Similarity(0, 1.0, 0.25, 0.0))  # the frame reaches beyond its right side
    sources = [Source("away", away).placed(frame), Source("good", part()).placed(frame)]
    for source in sources:
        source.open()

    counts = seen(ImageBatch((*sources, Source("other", away))), (8, 20))

    assert counts[0].all(0).tolist() == [True] * 15 + [False] * 5
    assert counts[1:].all()


def test_what_a_tile_of_an_aligned_image_does_not_show_counts_for_nothing(
    frame: ReferenceFrame,
) -> None:
    away = moved(part(), Similarity(0, 1.0, 0.25, 0.0))
    source, preprocessing = Source("away", away).placed(frame), Preprocessing((8, 8), *GREY)

    [pieces] = load([source], parse_resizing("tiles:2"), [preprocessing], 1)
    counts = seen(ImageBatch(tuple(pieces)), (8, 8))

    ends = [piece.whole[1].right for piece in pieces if piece.whole]
    assert [bool(each.all()) for each in counts] == [end <= 241 for end in ends]
    assert pieces[-1].whole is not None
    place = pieces[-1].whole[1]
    columns = [place.left + (n + 0.5) / 8 * (place.right - place.left) < 240 for n in range(8)]
    assert counts[-1].all(0).tolist() == columns


def test_beyond_an_image_its_border_goes_on(frame: ReferenceFrame) -> None:
    away = moved(part(), Similarity(0, 1.0, 0.25, 0.0))

    shown = np.asarray(frame.place(away).to_frame(away)).astype(float)

    assert np.abs(shown[:, 250:] - shown[:, 249:250]).max() < 4
    assert np.abs(shown[:, 200:235] - shown[:, 249:250]).max() > 50  # the plate ends there
