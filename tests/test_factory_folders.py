"""Folders as people keep them: what lies beside photographs is none, and labels are known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_datasets.masks import read_mask
from vlmad_run.finding import find
from vlmad_run.opening import open_dataset

MARKED = np.zeros((12, 16), bool)
MARKED[2:5, 3:9] = True


def draw(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(MARKED.astype(np.uint8) * 255).save(root / name)


def masked(root: Path) -> Counter[tuple[str, str, bool]]:
    """Return how many samples have which split, label and mask."""
    samples = open_dataset(root).samples
    return Counter((each.split, each.label, each.mask is not None) for each in samples)


@pytest.mark.parametrize("ending", ["_mask", "_GT", "-mask", "_ground_truth"])
def test_masks_beside_their_images_are_masks_for_every_command(tmp_path: Path, ending: str) -> None:
    draw(tmp_path, "good/0.png", "good/1.png", "bad/0.png", f"bad/0{ending}.png", "bad/my_mask.png")
    found = Counter({("test", "normal", False): 2, ("test", "anomalous", True): 1})
    assert masked(tmp_path) == found + Counter({("test", "anomalous", False): 1})
    flat = find([tmp_path / "bad"])
    assert [each.name for each in flat.images] == ["0.png", "my_mask.png"]
    assert [each.reason for each in flat.passed_over] == ["mask"]


@pytest.mark.parametrize("name", ["Ground Truth", "groundtruth", "GT", "masks"])
def test_the_folder_of_masks_may_be_spelt_otherwise(tmp_path: Path, name: str) -> None:
    draw(tmp_path, "nut/train/good/0.png", "nut/test/good/1.png", "nut/test/hole/2.png")
    draw(tmp_path, f"nut/{name}/hole/2.png")
    assert masked(tmp_path)["test", "anomalous", True] == 1
    assert len(find([tmp_path]).images) == 3


def test_images_right_in_train_are_good_ones_for_training(tmp_path: Path) -> None:
    draw(tmp_path, "train/0.png", "train/1.png", "test/good/2.png", "test/hole/3.png")
    assert masked(tmp_path)["train", "normal", False] == 2
    assert {each.parent.name for each in find([tmp_path], "references").images} == {"train"}


@pytest.mark.parametrize("name", ["@eaDir/0.png", "#recycle", "$RECYCLE.BIN", "Thumbs", "__MACOSX"])
def test_what_systems_keep_beside_images_is_none(tmp_path: Path, name: str) -> None:
    draw(tmp_path, "good/0.png", "bad/1.png", f"good/{name}/0.png", f"{name}/2.png")
    assert sum(masked(tmp_path).values()) == 2
    found = find([tmp_path])
    assert len(found.images) == 2
    assert [(each.reason, each.count) for each in found.passed_over] == [("hidden", 2)]


def test_defects_are_not_learned_where_good_lies_beside_other_folders(tmp_path: Path) -> None:
    draw(tmp_path, "parts/good/0.png", "parts/dent/1.png", "parts/scratch/2.png")
    draw(tmp_path, "nut/train/good/0.png")  # so that the folder around is a data set
    for wanted in ("references", "normal", "anomalous"):
        with pytest.raises(InputError, match=r"no folder of bad images.*or name the folders"):
            find([tmp_path / "parts"], wanted)
    assert len(find([tmp_path / "parts/good"], "references").images) == 1
    assert len(find([tmp_path / "parts"]).images) == 3


def test_a_data_set_above_is_named_only_if_the_folder_is_part_of_it(tmp_path: Path) -> None:
    draw(tmp_path, "nut/train/good/0.png", "nut/test/good/1.png", "nut/test/dent/2.png")
    draw(tmp_path, "mine/good/0.png", "mine/dent/1.png")
    with pytest.raises(InputError, match=r"nut above it can be read \('mvtec'\)"):
        open_dataset(tmp_path / "nut/test")
    with pytest.raises(InputError, match=r"looks like 'folder', but .*dataset\.bad=dent"):
        open_dataset(tmp_path / "mine")


def test_folders_of_which_nobody_knows_the_labels_are_taken_with_a_note(tmp_path: Path) -> None:
    draw(tmp_path, "monday/0.png", "tuesday/1.png")
    found = find([tmp_path], "references")
    assert len(found.images) == 2
    assert found.notes == [f"{tmp_path} holds 2 folders of images, and all are taken"]


# masks


def test_a_mask_of_numbers_whose_palette_has_no_colours_is_read_by_its_numbers(
    tmp_path: Path,
) -> None:
    Image.fromarray(MARKED.astype(np.uint8), "P").save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png").marked, MARKED)


def test_a_black_mask_says_by_its_transparency_what_is_defective(tmp_path: Path) -> None:
    clear = np.zeros((*MARKED.shape, 4), np.uint8)
    clear[..., 3] = MARKED * 255
    Image.fromarray(clear).save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert np.array_equal(mask.marked, MARKED)
    assert "not transparent" in mask.notes[0]


def test_numbers_in_a_lossless_webp_are_labels(tmp_path: Path) -> None:
    values = np.dstack([MARKED.astype(np.uint8) * 2] * 3)
    Image.fromarray(values).save(tmp_path / "a.webp", lossless=True)
    mask = read_mask(tmp_path / "a.webp")
    assert np.array_equal(mask.marked, MARKED)
    assert mask.notes == ()
