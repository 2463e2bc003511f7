"""What a run keeps on disk can be read back and is never half written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad import Detector, load_detector
from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad.testing import example_images
from vlmad_run.execute import execute
from vlmad_run.manifest import describe_run
from vlmad_run.overlays import Range, draw_overlay, from_16_bits, outline, to_16_bits
from vlmad_run.places import new_folder, remove_if_empty
from vlmad_run.references import choose_references
from vlmad_run.rows import file_stem
from vlmad_run.run_folder import RunFolder
from vlmad_run.scoring import Task, score_into


def run_folder(detector: Detector, path: Path, **settings: Any) -> RunFolder:
    return RunFolder(path, describe_run(detector, "object", **settings))


FLOATS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_a_stored_map_comes_back_to_a_65535th_of_its_range(values: list[float]) -> None:
    heat = np.array([values], np.float32)
    stored, scale = to_16_bits(heat)
    step = (scale.high - scale.low) / 65535
    error = np.abs(from_16_bits(stored, scale).astype(np.float64) - heat).max()
    assert error <= 0.51 * step + 1e-6 * max(1.0, float(np.abs(heat).max()))


def test_a_constant_map_is_stored_and_drawn() -> None:
    heat = np.full((4, 6), 0.25, np.float32)
    stored, scale = to_16_bits(heat)
    assert np.allclose(from_16_bits(stored, scale), 0.25)
    assert draw_overlay(Image.new("RGB", (6, 4)), heat, scale, "flat").height > 4


@pytest.mark.parametrize("grey", [0, 90, 128, 255])
def test_an_overlay_shows_the_image_outlined_and_beside_it_the_heat(grey: int) -> None:
    heat = np.zeros((160, 320), np.float32)
    heat[:, 240:] = 1
    image = Image.new("RGB", (320, 160), (grey,) * 3)
    pixels = np.asarray(draw_overlay(image, heat, Range(0, 1), "0.5", "x" * 500)).astype(int)
    left, beside = pixels[-50, :320], pixels[-50, 328:648].sum(1)
    outlined = np.flatnonzero((left != grey).any(1))
    assert set(outlined) <= set(range(238, 242))  # the line, dark and light, and nothing else
    assert np.ptp(left[238:242, 0]) >= 127
    cold, hot = beside[20:230].mean(), beside[250:310].mean()
    assert abs(hot - cold) > 50
    assert cold == 3 * grey


def test_the_outline_runs_where_the_scale_passes_its_middle() -> None:
    hot = np.tile(np.linspace(0, 1, 200), (50, 1))
    pixels = np.asarray(outline(Image.new("RGB", (200, 50), "grey"), hot))
    assert np.flatnonzero((pixels[25] != 128).any(1)).tolist() == [98, 99, 100, 101]
    unlined = outline(Image.new("RGB", (200, 50), "grey"), 0.49 * hot)
    assert unlined.getextrema() == ((128, 128),) * 3


def test_captions_keep_the_score_and_small_images_are_enlarged() -> None:
    heat, long = np.zeros((8, 8), np.float32), "folder/" * 60
    pictures = [
        np.asarray(draw_overlay(Image.new("RGB", (8, 8)), heat, Range(0, 1), score, long))
        for score in ("0.1", "0.9")
    ]
    assert pictures[0].shape[0] > 250
    assert (pictures[0][:28, :60] != pictures[1][:28, :60]).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 40)])
def test_images_of_any_format_are_drawn(size: tuple[int, int]) -> None:
    heat = np.ones(size[::-1], np.float32)
    assert draw_overlay(Image.new("RGB", size), heat, Range(0, 1), "0.5", "x").width > 0


def test_overlays_of_large_images_are_bounded() -> None:
    image = Image.new("RGB", (3000, 1000))
    picture = draw_overlay(image, np.zeros((1000, 3000), np.float32), Range(0, 1), "")
    assert picture.width < 1500
    assert image.size == (3000, 1000)


@given(st.text(max_size=60), st.text(max_size=60))
def test_file_names_are_safe_and_bounded(folder: str, name: str) -> None:
    stem = file_stem(f"x/{folder}/{name}.png")
    assert len(f".{stem}.png.12345678".encode()) <= 255
    assert not set(stem) & set('/\\:*?"<>|\0\n')
    assert not stem.startswith((".", "-"))


@pytest.mark.slow
@given(st.sets(st.text(max_size=12), min_size=2, max_size=20))
def test_no_two_images_share_a_file_name(names: set[str]) -> None:
    assert len({file_stem(f"photos/{name}.png") for name in names}) == len(names)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below.txt", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "folder", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_write_replaces_the_whole_file_with_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "a long text")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


def test_new_folders_are_never_shared_and_go_if_nothing_was_written(tmp_path: Path) -> None:
    parent = tmp_path / "runs"
    folders = [new_folder(parent, "winclip") for _ in range(5)]
    assert len(set(folders)) == 5
    (folders[0] / "kept").write_text("")
    for folder in folders:
        remove_if_empty(folder)
    assert list(parent.iterdir()) == [folders[0]]


def test_references_are_the_same_for_the_same_seed_and_all_different(tmp_path: Path) -> None:
    for index in range(8):
        Image.new("RGB", (2, 2)).save(tmp_path / f"{index}.png")
    draws = [choose_references([tmp_path], 3, seed) for seed in range(10)]
    assert draws == [choose_references([tmp_path], 3, seed) for seed in range(10)]
    assert all(len(set(draw)) == 3 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 5
    with pytest.raises(InputError, match="has 8 images, fewer than the 9 references"):
        choose_references([tmp_path], 9, 0)
    with pytest.raises(InputError, match="whole numbers from 1"):
        choose_references([tmp_path], 0, 0)


@pytest.mark.slow
def test_a_run_keeps_every_map_and_tells_how_to_read_it(tmp_path: Path) -> None:
    paths = []
    for index, source in enumerate(example_images(3).sources):
        paths.append(tmp_path / f"{index}.png")
        source.open().save(paths[-1])
    detector = load_detector("clip")
    told: list[tuple[str, int, int]] = []
    with run_folder(detector, tmp_path / "out") as folder:
        summary = execute(detector, paths, folder, progress=lambda *step: told.append(step))
        rows = list(folder.rows(paths))
    assert (summary.done, summary.failed, summary.kept) == (3, 0, 0)
    results = detector.predict(paths)
    for row, result in zip(rows, results, strict=True):
        assert row.score == pytest.approx(result.score, abs=1e-6)
        with Image.open(tmp_path / "out" / row.map) as stored:
            heat = from_16_bits(np.asarray(stored), Range(row.map_low or 0, row.map_high or 0))
        np.testing.assert_allclose(heat, result.map, atol=2e-5)
    assert told[-1] == ("drawing", 3, 3)
    assert ("scoring", 3, 3) in told


def test_a_run_does_not_write_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    example_images(1).sources[0].open().save(tmp_path / "a.png")
    (tmp_path / "out").write_text("a file")
    for out in (tmp_path, tmp_path / "out", tmp_path / "out" / "below"):
        folder = run_folder(load_detector("clip"), out)
        with pytest.raises(OutputError, match=r"choose another --out|cannot write"), folder:
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "out"]


@pytest.mark.slow
def test_a_manifest_tells_every_option_and_library(tmp_path: Path) -> None:
    example_images(1).sources[0].open().save(tmp_path / "a.png")
    detector = load_detector("winclip", options={"scorer": {"temperature": 0.02}})
    with run_folder(detector, tmp_path / "out", settings={"seed": 7}) as folder:
        execute(detector, [tmp_path / "a.png"], folder)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    parts = manifest["identity"]["parts"]
    assert parts["scorer"]["options"]["temperature"] == 0.02
    assert parts["extractor"]["options"]["scales"] == [2, 3]
    assert manifest["options"]["backbone"]["device"]
    assert manifest["seed"] == 7
    assert manifest["identity"]["sentences_sha256"]
    assert set(manifest["libraries"]) >= {"torch", "torchvision", "open_clip_torch", "numpy"}


def test_references_that_are_named_one_by_one_are_all_taken(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(6)]
    for file in files:
        Image.new("RGB", (2, 2)).save(file)
    assert choose_references(files[:1], None, 0) == files[:1]
    assert choose_references([*files, files[0]], None, 0) == files
    assert len(choose_references(files, 2, 0)) == 2
    assert len(choose_references([tmp_path], None, 0)) == 4
    assert len(choose_references([str(tmp_path / "*.png")], None, 0)) == 4
    with pytest.raises(InputError, match=r"0.png has 1 images, fewer than the 2 references"):
        choose_references(files[:1], 2, 0)


def test_an_image_that_one_run_could_not_read_keeps_its_place_in_the_others(
    tmp_path: Path,
) -> None:
    detector = load_detector("clip")
    images = [tmp_path / f"{index}.png" for index in range(4)]
    for index, image in enumerate(images):
        Image.new("RGB", (32, 32), (60 * index, 90, 30)).save(image)
    content = images[1].read_bytes()
    images[1].write_bytes(b"no image")
    with run_folder(detector, tmp_path / "old") as old:
        execute(detector, images[:3], old, batch_size=2, overlays="none")
    images[1].write_bytes(content)
    places = (run_folder(detector, tmp_path / name) for name in ("old", "new"))
    with next(places) as old, next(places) as new:
        first, second = Task(detector, old), Task(detector, new)
        lacking = {first: [images[1], images[3]], second: images}
        order = {
            task: [Path(row.image).stem for each, row in rows if each is task]
            for rows in [list(score_into(lacking, images, 2))]
            for task in lacking
        }
    assert order == {first: ["3", "1"], second: ["0", "1", "2", "3"]}
