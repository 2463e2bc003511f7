"""A bench whose data set has moved is shown with the photographs it was measured on, or none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_report.content import Gallery
from vlmad_report.looking.cards import CHANGED, GONE
from vlmad_report.looking.study import study
from vlmad_report.sections.facts import facts, notices
from vlmad_report.sections.failures import failures
from vlmad_report.sources.moved import MovedResults, find_again

from .conftest import save

Benched = tuple[Path, Path]


def again(folder: Path, data: Path) -> Results:
    return find_again(read_results(folder), open_dataset(data), lambda done, total: None)


@pytest.fixture
def moved(own: Benched) -> Benched:
    """The bench, and its data set in another place, a category of it under another name."""
    folder, data = own
    place = data.rename(data.with_name("elsewhere"))
    (place / "bolt").rename(place / "screw")
    return folder, place


def test_images_and_masks_of_whole_categories_are_found_again(
    moved: Benched, looked, results: Results
) -> None:
    folder, data = moved
    found = again(folder, data)
    assert isinstance(found, MovedResults)
    assert found.lost == ()
    assert all(data in each.image.parents for each in found.samples)
    masks = [each.mask for each in found.samples if each.mask]
    assert len(masks) == 6
    assert all(path.is_file() and "screw" in path.parts for path in masks)
    assert [each.category for each in found.samples] == [s.category for s in results.samples]
    seen = study([found])
    assert list(seen.defects.values()) == list(looked.defects.values())
    assert seen.looks[0][0].by_class == looked.looks[0][0].by_class
    assert ("Images from", str(data)) in facts([found])
    assert notices([found]) == ()


def test_what_has_other_bytes_is_not_taken_and_masks_that_cannot_be_checked_neither(
    moved: Benched,
) -> None:
    folder, data = moved
    save(data / "screw/test/good/000.png", np.zeros((40, 40, 3), np.uint8))
    found = again(folder, data)
    changed, unchecked = notices([found])
    assert "not shown: " in changed
    assert "parts/bolt/test/good/000.png. Name the data set as it was measured" in changed
    assert "6 images" in unchecked
    assert "without their masks: bolt differs" in unchecked
    of_bolts = [each for each in found.samples if each.category == "bolt"]
    assert all(each.mask is None for each in of_bolts)
    assert sum(data in each.image.parents for each in of_bolts) == len(of_bolts) - 1


def test_a_changed_mask_is_not_shown_under_the_old_name(moved: Benched) -> None:
    folder, data = moved
    for path in (data / "screw/ground_truth").rglob("*.png"):
        save(path, np.full((40, 40), 255, np.uint8))
    found = again(folder, data)
    assert all(each.mask is None for each in found.samples)
    assert "without their masks" in " ".join(notices([found]))


def test_another_data_set_is_refused(own: Benched, tmp_path: Path) -> None:
    folder, data = own
    other = tmp_path / "other"
    for kind in ("good", "spot"):
        save(other / f"nut/test/{kind}/000.png", np.zeros((40, 40, 3), np.uint8))
        save(other / f"nut/train/{kind}/000.png", np.ones((40, 40, 3), np.uint8))
    before = read_results(folder)
    assert find_again(before, open_dataset(other), lambda done, total: None) is before
    shutil.rmtree(data)
    with pytest.raises(InputError, match=r"no image of .* is in the test split of .*other, what"):
        again(folder, other)


def test_without_the_data_set_the_page_says_once_what_to_do(own: Benched) -> None:
    folder, data = own
    shutil.rmtree(data / "bolt/test/good")
    found = read_results(folder)
    [notice] = notices([found])
    assert "4 images of" in notice
    assert "name it with --data" in notice
    galleries = failures(study([found]), detectors=1, cards=4).blocks
    alarms = next(each for each in galleries if isinstance(each, Gallery))
    missing = [card for card in alarms.cards if not card.pictures]
    assert all(card.sentences.count(GONE) + alarms.caption.count(GONE) == 1 for card in missing)


def test_a_photograph_that_changed_is_not_shown(own: Benched) -> None:
    folder, data = own
    for path in data.rglob("good/*.png"):
        save(path, np.zeros((40, 40, 3), np.uint8))
    alarms = failures(study([read_results(folder)]), detectors=1, cards=4).blocks[0]
    assert isinstance(alarms, Gallery)
    assert all(card.pictures == () for card in alarms.cards)
    assert CHANGED in alarms.caption  # once for all, rather than on each card


def test_scores_that_were_cut_off_are_said(own: Benched) -> None:
    folder, _ = own
    path = next((folder / "cells").rglob("scores.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    [notice] = notices([read_results(folder)])
    assert f"(scores of {len(lines) - 3} of {len(lines)} images)" in notice
    assert any("measured images" in problem for problem in study([read_results(folder)]).problems)
