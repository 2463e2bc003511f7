"""The frames of a film are images of every command, and those that are missing fail."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError, OptionError
from vlmad.images import decode
from vlmad_run import kept_folders
from vlmad_run.finding import find
from vlmad_run.kept_folders import KeptFolders, film_folders
from vlmad_run.part_grouping import find_parts, parse_grouping
from vlmad_video.film import frames
from vlmad_video.film_frames import Wanted, record_of

from .conftest import SMALL, Ended, film


@pytest.fixture
def clip(cache: Path, tmp_path: Path) -> Path:
    """A film of two seconds, ten frames in each."""
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)) for _ in range(20)]
    return film(tmp_path / "clip.mp4", noise, codec="libx264")


def test_frames_are_found_without_loss_and_in_order(clip: Path) -> None:
    found = find([clip])
    assert [each.name for each in found.images[:2]] == ["00h00m00.000s.png", "00h00m00.100s.png"]
    assert found.images == sorted(found.images)
    for file, frame in zip(found.images, frames(clip), strict=True):
        assert np.array_equal(np.asarray(decode(file)), np.asarray(frame.image))
    assert found.notes == [f"{clip} is a film: 20 frames over 1.900 s are taken"]


def test_which_frames_is_asked_after_the_name_or_by_an_option(clip: Path) -> None:
    half = ["00h00m00.000s.png", "00h00m00.500s.png", "00h00m01.000s.png", "00h00m01.500s.png"]
    assert [each.name for each in find([f"{clip}#every:0.5"]).images] == half
    assert [each.name for each in find([clip], asked="every:0.5").images] == half
    pattern = clip.parent / "*.mp4#every:0.5,from:0.5,to:1.2"
    assert [each.name for each in find([str(pattern)]).images] == half[1:3]


@pytest.mark.parametrize("how", ["folder", "pattern:([^/]+)[.]mp4", "table:parts.csv"])
def test_a_film_is_a_part_and_its_frames_are_the_views(
    how: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("parts.csv").write_text("image,part\nclip.mp4,clip\nlid.png,clip\n")
    images = find(["clip.mp4#every:0.5"]).images
    [part] = find_parts(images, parse_grouping(how))
    assert (Path(part.name).stem, list(part.images)) == ("clip", images)
    assert part.faults == ((f"without {clip.parent}/lid.png",) if "table" in how else ())
    kept_folders._made_of.clear()  # as in a run of another process
    with pytest.raises(InputError, match="name it, also beside --manifest"):
        find_parts(images, parse_grouping(how))


def test_a_film_in_a_folder_is_passed_over_unless_it_is_named(clip: Path) -> None:
    Image.new("RGB", (8, 8)).save(clip.parent / "photo.png")
    found = find([clip.parent])
    assert [each.name for each in found.images] == ["photo.png"]
    assert [(each.reason, each.count) for each in found.passed_over] == [("format", 1)]


@pytest.mark.parametrize("asked", ["every:0", "every:-1", "fast", "every:1e9", "to:1,,x:2"])
def test_what_cannot_be_asked_is_refused(asked: str, clip: Path) -> None:
    with pytest.raises(InputError, match="is not what can be asked of a film"):
        find([f"{clip}#{asked}"])


def test_what_is_asked_of_films_where_there_is_none_is_refused(photos: Path) -> None:
    with pytest.raises(InputError, match="'every:1' is asked of films, and none is named"):
        find([photos], asked="every:1")


def test_a_span_without_frames_is_a_frame_that_fails(clip: Path) -> None:
    [missing] = find([f"{clip}#from:100"]).images
    with pytest.raises(InputError, match="the film has no frame at from:100"):
        decode(missing)


def test_the_same_film_is_decoded_once_whatever_it_is_called(clip: Path) -> None:
    images = find([clip]).images
    written = images[0].stat().st_mtime_ns
    assert find([clip]).images == images
    assert images[0].stat().st_mtime_ns == written
    record = record_of(images[3])
    assert record is not None
    assert (record.film, record.frames[3].time) == (str(clip), pytest.approx(0.3))
    clip.write_bytes(film(clip.parent / "b.mp4", [Image.new("RGB", (32, 24))] * 3).read_bytes())
    assert len(find([clip]).images) == 3


def test_an_image_that_is_no_frame_has_no_record(photos: Path) -> None:
    assert record_of(photos / "0000.png") is None


def test_more_frames_than_may_be_kept_are_refused_with_the_remedy(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMAD_FILMS_GB", "0.00001")
    with pytest.raises(InputError, match=r"more than 1e-05 GB; take fewer, such as with --every 1"):
        find([clip])
    assert film_folders().entries() == []
    monkeypatch.setenv("VLMAD_FILMS_GB", "many")
    with pytest.raises(OptionError, match="must be a positive number of gigabytes"):
        find([clip])


def test_without_a_folder_to_keep_frames_in_that_is_said(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMAD_CACHE", "off")
    with pytest.raises(InputError, match="VLMAD_CACHE switches caches off"):
        find([clip])


def test_folders_that_were_not_used_for_longest_go_but_none_in_use(tmp_path: Path) -> None:
    import os

    kept = KeptFolders(tmp_path / "kept", limit=2500)

    def fill(folder: Path) -> None:
        (folder / "file").write_bytes(bytes(1000))

    for number, name in enumerate("abc"):
        os.utime(kept.take(name, fill, tmp_path), (number, number))
    assert [path.name for path, _ in kept.entries()] == ["a", "b", "c"]  # this process uses all
    forget(kept)
    kept.take("d", fill, tmp_path)
    assert [path.name for path, _ in kept.entries()] == ["c", "d"]
    assert kept.clear() == 1
    forget(kept)
    assert kept.clear() == 1


def forget(kept: KeptFolders) -> None:
    """Use no folder any more, as when the process has ended."""
    from vlmad_run import kept_folders

    for mark in [each for each in kept_folders._in_use if each.is_relative_to(kept.folder)]:
        kept_folders._in_use.pop(mark).release()


def test_one_that_could_not_be_filled_leaves_nothing(tmp_path: Path) -> None:
    kept = KeptFolders(tmp_path / "kept", limit=2500)

    def fail(folder: Path) -> None:
        (folder / "file").write_bytes(b"half")
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        kept.take("a", fail, tmp_path)
    assert kept.entries() == []
    assert not any(path.name.startswith(".partly") for path in kept.folder.iterdir())


def test_how_frames_are_asked_for_is_given_back() -> None:
    assert str(Wanted.parse("from:1,every:0.25")) == "every:0.25,from:1"
    assert str(Wanted.parse("")) == ""


@pytest.mark.slow
def test_a_run_scores_each_frame_and_what_is_damaged_fails(
    command: Callable[..., Ended], clip: Path
) -> None:
    (clip.parent / "text.mp4").write_text("no film")
    words = ("clip.mp4", "text.mp4", "--every", "0.5", *SMALL, "--detector", "winclip")
    done = command("run", *words, "--out", "run", "--threshold", "0.1")
    assert done.status == 1, done.error
    assert "not scored" in done.error
    assert "text.mp4: not a film that can be read" in done.error
    with open("run/scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done"] * 4 + ["failed"]
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["command"][:5] == ["run", *words[:4]]
    again = command("run", "--manifest", "run/manifest.json", "--out", "again")
    assert "scores agree: 4 compared" in again.error + again.out
    assert command("run", *words, "--out", "run", "--threshold", "0.1").status == 1


@pytest.mark.slow
def test_a_detector_is_fitted_on_a_film(command: Callable[..., Ended], clip: Path) -> None:
    words = ("nut=clip.mp4#every:0.5", *SMALL, "--detector", "winclip", "--out", "nut.safetensors")
    done = command("fit", *words)
    assert done.status == 0, done.error
    assert "fitted on 4 images" in done.error
