"""What a folder of images holds is decided in one place, for every command alike."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_run.finding import FoundImages, Wanted, find
from vlmad_run.manifest import Manifest
from vlmad_run.passed_over import WORDS

PARTS = ("good/0", "good/1", "good/2", "bad/0", "bad/1", "masks/0", "masks/1")


def draw(folder: Path, *names: str) -> Path:
    """Write small images of noise that differ."""
    for number, name in enumerate(names):
        path = folder / (name if Path(name).suffix else f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def names(found: FoundImages, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in found.images]


def counts(found: FoundImages) -> dict[str, int]:
    return {each.reason: each.count for each in found.passed_over}


# labelled folders


def test_of_a_data_set_all_photographs_are_scored_and_no_mask(tmp_path: Path) -> None:
    folder = draw(tmp_path / "parts", *PARTS)
    found = find([folder])
    assert names(found, folder) == [f"{name}.png" for name in sorted(PARTS[:5])]
    assert counts(found) == {"mask": 2}
    assert found.notes == [
        f"{folder} is a data set (folder): 3 normal and 2 anomalous images are taken"
    ]


def test_only_good_images_of_a_data_set_are_references(tmp_path: Path) -> None:
    folder = draw(tmp_path / "parts", *PARTS)
    found = find([folder], "references")
    assert names(found, folder) == ["good/0.png", "good/1.png", "good/2.png"]
    assert counts(found) == {"mask": 2, "anomalous": 2}
    assert "3 normal images of all its splits are taken" in found.notes[0]


def test_the_train_split_alone_gives_references_where_there_is_one(tmp_path: Path) -> None:
    folder = draw(tmp_path / "parts", *PARTS, "train/monday/0")
    found = find([folder], "references")
    assert names(found, folder) == ["train/monday/0.png"]
    assert counts(found) == {"mask": 2, "anomalous": 2, "split": 3}
    assert "1 normal images of its train split are taken" in found.notes[0]
    assert len(find([folder], "normal").images) == 4


def test_a_folder_in_a_data_set_is_taken_as_named_but_for_its_labels(tmp_path: Path) -> None:
    folder = draw(tmp_path / "parts", *PARTS, "train/0", "bad/scratch/deep/0")
    assert len(find([folder / "good"], "references").images) == 3
    for inside in ("bad", "bad/scratch/deep"):
        assert len(find([folder / inside], "anomalous").images) == len(
            find([folder / inside]).images
        )
        with pytest.raises(InputError, match=r"no images in .* \(passed over: \d labelled anom"):
            find([folder / inside], "references")
    with pytest.raises(InputError, match="passed over: 2 in folders of masks or as masks"):
        find([folder / "masks"])
    assert find([folder / "masks" / "0.png"]).images == [folder / "masks" / "0.png"]


def test_unlabelled_images_of_a_data_set_are_scored_but_never_learned(tmp_path: Path) -> None:
    folder = draw(tmp_path / "parts", *PARTS, "new/0")
    assert folder / "new/0.png" in find([folder]).images
    found = find([folder], "normal")
    assert folder / "new/0.png" not in found.images
    assert counts(found) == {"mask": 2, "anomalous": 2, "unlabelled": 1}


def test_data_sets_are_known_in_the_folders_of_a_folder(tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        draw(tmp_path / "line" / day, "OK/0", "NG/1", "masks/1")
    draw(tmp_path / "line", "loose")
    folder = tmp_path / "line"
    assert len(find([folder]).images) == 5
    assert names(find([folder], "references"), folder) == [
        "loose.png",
        "monday/OK/0.png",
        "tuesday/OK/0.png",
    ]


def test_masks_by_any_name_are_known_by_the_data_set_they_belong_to(tmp_path: Path) -> None:
    folder = draw(tmp_path / "set", "train/good/0", "test/hole/0", "test/good/0")
    draw(folder, "ground_truth/hole/0_mask", "ground_truth/hole/0_preview")
    found = find([folder])
    assert names(found, folder) == ["test/good/0.png", "test/hole/0.png", "train/good/0.png"]
    assert counts(found) == {"mask": 2}


def test_masks_among_photographs_are_none_even_of_images_that_are_left_out(tmp_path: Path) -> None:
    folder = draw(tmp_path / "sdd2", "train/10", "train/11", "test/20", "test/21")
    for name, value in (("train/10", 0), ("train/11", 255), ("test/20", 0), ("test/21", 255)):
        Image.new("L", (24, 24), value).save(folder / f"{name}_GT.png")
    assert names(find([folder]), folder) == [
        "test/20.png",
        "test/21.png",
        "train/10.png",
        "train/11.png",
    ]
    found = find([folder], "references")
    assert names(found, folder) == ["train/10.png"]
    assert counts(found) == {"mask": 4, "anomalous": 1, "split": 1, "unlabelled": 1}


THIRD_PARTY = '''
from pathlib import Path
from vlmad import Contents, Dataset, Sample, hookimpl

class Pairs(Dataset):
    """Photographs, each beside its mask, and previews of masks."""
    def __init__(self, root: Path):
        self.root = root
    @classmethod
    def recognises(cls, root):
        return (root / "pairs.ini").is_file()
    def read(self):
        marks = self.root / "marks"
        return Contents(tuple(
            Sample(p, "anomalous", "x", mask=marks / f"{p.stem}.png")
            if (marks / f"{p.stem}.png").is_file() else Sample(p, "normal", "x")
            for p in sorted(self.root.glob("*.photo"))))

@hookimpl
def register_datasets(register):
    register("pairs", Pairs, "pairs")
'''


def test_the_readers_of_others_are_asked_too(install: Callable[..., Path], tmp_path: Path) -> None:
    install("pairs", THIRD_PARTY)
    folder = draw(tmp_path / "set", "a", "b", "marks/a", "marks/b_preview", "others/c")
    for name in "ab":  # an ending that vlmad does not know
        (folder / f"{name}.png").rename(folder / f"{name}.photo")
    (folder / "pairs.ini").touch()
    found = find([folder])
    assert names(found, folder) == ["a.photo", "b.photo", "others/c.png"]
    assert counts(found) == {"mask": 1, "preview": 1, "ending": 1}
    assert names(find([folder], "references"), folder) == ["b.photo"]


def test_the_images_of_a_table_are_found_by_its_labels(tmp_path: Path) -> None:
    folder = draw(tmp_path / "set", "a", "b", "c")
    table = folder / "parts.csv"
    table.write_text("image,label,split\na.png,good,train\nb.png,NG,test\nc.png,i.O.,test\n")
    assert names(find([table]), folder) == ["a.png", "b.png", "c.png"]
    assert names(find([table], "references"), folder) == ["a.png"]
    assert names(find([table], "normal"), folder) == ["a.png", "c.png"]


def test_what_looks_like_a_data_set_but_is_none_is_said_or_refused(tmp_path: Path) -> None:
    folder = draw(tmp_path / "set", "a", "b")
    (folder / "split_csv").mkdir()
    (folder / "split_csv/1cls.csv").write_text("nonsense\n")
    found = find([folder])
    assert names(found, folder) == ["a.png", "b.png"]
    assert "looks like a data set, but cannot be read as one: " in found.notes[0]
    with pytest.raises(InputError, match=r"cannot be read as one: .*; name the folders of ima"):
        find([folder], "references")


def test_vlmad_data_names_what_is_no_part_of_a_data_set(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    draw(tmp_path / "parts", *PARTS[:5], "new/7")
    (tmp_path / "parts/bad/2.heic").touch()
    ended = command("data", "parts", "--json")
    found = json.loads(ended.out)
    assert [each["what"] for each in found["problems"] if "no part" in each["what"]] == [
        "no part of the data set: 1 without a label (parts/new/7.png)",
        "no part of the data set: 1 in formats that are not read (parts/bad/2.heic)",
    ]
    assert found["passed_over"] == [
        {"reason": "unlabelled", "count": 1, "first": "parts/new/7.png"},
        {"reason": "format", "count": 1, "first": "parts/bad/2.heic"},
    ]


# plain folders


@pytest.mark.parametrize(
    "name", ["a.jpg", "b.jfif", "c.jpe", "d.gif", "e.pgm", "f.PPM", "g.dib", "h.TIF", "i.webp"]
)
def test_all_that_can_be_read_is_found(tmp_path: Path, name: str) -> None:
    kinds = {".jfif": "JPEG", ".jpe": "JPEG", ".pgm": "PPM", ".ppm": "PPM", ".dib": "BMP"}
    path = tmp_path / "photos" / name
    path.parent.mkdir()
    Image.new("L", (8, 8)).save(path, format=kinds.get(path.suffix.lower()))
    assert find([path.parent]).images == [path]


def test_what_is_passed_over_is_counted_by_reason_with_a_name(tmp_path: Path) -> None:
    folder = draw(tmp_path / "photos", "a", "Masks/a", ".b.png", "vlmad-runs/night/maps/c")
    draw(folder, "good_a-b076d85d")  # as vlmad explain does
    for name in ("IMG_1.HEIC", "IMG_2.heic", "good_a-b076d85d.json", ".DS_Store"):
        (folder / name).touch()
    found = find([folder])
    assert names(found, folder) == ["a.png"]
    assert {each.reason: (each.count, each.first) for each in found.passed_over} == {
        "mask": (1, str(folder / "Masks/a.png")),
        "written": (2, str(folder / "good_a-b076d85d.png")),
        "format": (2, str(folder / "IMG_1.HEIC")),
        "ending": (1, str(folder / "good_a-b076d85d.json")),
        "hidden": (2, str(folder / ".DS_Store")),
    }
    assert {each.reason for each in found.passed_over} <= WORDS.keys()


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A photograph below 1,500 folders, and links that lead back; pytest could not remove them."""
    here = Path.cwd()
    os.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("a")
        os.chdir("a")
    Image.new("L", (8, 8)).save("x.png")
    os.symlink(tmp_path, "top")
    os.symlink("itself", "itself")
    yield tmp_path
    for name in ("x.png", "top", "itself"):
        os.unlink(name)
    for _ in range(1500):
        os.chdir("..")
        os.rmdir("a")
    os.chdir(here)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["all", "references"])
def test_a_deep_tree_and_links_in_a_circle_end(deep: Path, wanted: Wanted) -> None:
    [image] = find([deep], wanted).images
    assert image.name == "x.png"
    assert len(image.relative_to(deep).parts) == 1501


def test_a_plain_folder_of_photographs_asks_for_no_data_set_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlmad_run import labelling

    asked: list[Path] = []
    monkeypatch.setattr(labelling, "recognising", lambda path, _: asked.append(path) or [])
    folder = draw(tmp_path / "photos", "a", "b", "monday/c")
    find([folder, folder / "a.png"])
    assert asked == [folder]


# the commands


@pytest.mark.slow
def test_a_run_says_writes_and_prints_what_it_passed_over(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    draw(tmp_path / "parts", *PARTS)
    words = ("run", "parts", "--detector", "clip", "--overlays", "none")
    ended = command(*words, "--out", "out")
    assert ended.status == 0, ended.error
    assert "parts is a data set (folder): 3 normal and 2 anomalous" in ended.error
    line = "passed over: 2 in folders of masks or as masks (parts/masks/0.png)"
    assert line in ended.out
    kept = [each.model_dump() for each in Manifest.read(tmp_path / "out/manifest.json").passed_over]
    assert kept == [{"reason": "mask", "count": 2, "first": "parts/masks/0.png"}]
    *rows, last = map(json.loads, command(*words, "--out", "other", "--json").out.splitlines())
    assert len(rows) == 5
    assert last == {"passed_over": kept}


@pytest.mark.slow
def test_a_gate_does_not_vouch_for_photographs_that_are_not_read(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    draw(tmp_path / "photos", "a")
    words = ("run", "photos", "--detector", "clip", "--overlays", "none", "--quiet")
    gate = ("--threshold", "9", "--fail-on", "anomalous")
    assert command(*words, *gate).status == 0
    (tmp_path / "photos/b.heic").touch()
    assert command(*words).status == 0
    ended = command(*words, *gate)
    assert ended.status == 1
    assert ended.error == ("vlmad: not judged: 1 in formats that are not read (photos/b.heic)\n")
    assert command(*words, "--threshold", "0", *gate[2:]).status == 3


@pytest.mark.slow
def test_a_detector_is_fitted_on_the_good_images_of_a_data_set(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    draw(tmp_path / "parts", *PARTS)
    ended = command("fit", "parts", "--detector", "winclip", "--out", "parts.safetensors")
    assert ended.status == 0, ended.error
    assert "fitted on 3 images" in ended.error
    assert "2 labelled anomalous (parts/bad/0.png)" in ended.error


@pytest.mark.slow
def test_a_threshold_is_chosen_on_photographs_and_no_masks(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    draw(tmp_path / "parts", *PARTS)
    ended = command("calibrate", "--good", "parts", "--detector", "clip", "--json")
    assert ended.status == 0, ended.error
    evidence = json.loads(ended.out)["evidence"]
    assert (evidence["good"], evidence["left_out"]) == (3, {"others": 2})
    assert [each["reason"] for each in evidence["passed_over"]] == ["mask"]
