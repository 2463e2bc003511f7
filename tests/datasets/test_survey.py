"""What is wrong with a data set is known before anything runs on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from vlmad import Problem
from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_datasets.survey import Survey, survey


def problems(root: Path) -> dict[str, str]:
    """Return what is wrong, by file, of a data set with one problem for each file."""
    found = survey(open_dataset(root)).problems
    assert len({problem.path for problem in found}) == len(found)
    return {str(problem.path.relative_to(root)): problem.what for problem in found}


def severities(root: Path) -> list[str]:
    return [problem.severity for problem in survey(open_dataset(root)).problems]


def test_a_faultless_data_set_has_no_problems_and_is_not_refused(nuts: Path) -> None:
    found = survey(open_dataset(nuts))
    assert found.problems == ()
    found.refuse()


def test_sizes_and_defective_pixels_are_measured(nuts: Path) -> None:
    found = survey(open_dataset(nuts))
    assert {measured.size for measured in found.measured} == {(12, 8)}
    marked = {m.sample.defect: m.defective for m in found.measured if m.sample.anomalous}
    assert marked == {"bent": 6, "scratch": 6}


def test_a_missing_mask_is_a_warning(nuts: Path) -> None:
    (nuts / "metal_nut/ground_truth/bent/000_mask.png").unlink()
    assert problems(nuts) == {"metal_nut/test/bent/000.png": "anomalous, but has no mask"}
    assert severities(nuts) == ["warning"]


def test_a_category_without_any_mask_is_noted_once(nuts: Path) -> None:
    shutil.rmtree(nuts / "metal_nut/ground_truth")
    assert problems(nuts) == {".": "category metal_nut: no masks: image figures only"}
    assert severities(nuts) == ["note"]


def test_a_mask_of_another_size_is_fatal(nuts: Path) -> None:
    mask = nuts / "metal_nut/ground_truth/bent/000_mask.png"
    Image.new("L", (10, 8), 255).save(mask)
    what = "the mask has 10 x 8 pixels, its image 12 x 8"
    assert problems(nuts) == {"metal_nut/ground_truth/bent/000_mask.png": what}
    assert severities(nuts) == ["fatal"]


@pytest.mark.parametrize("place", ["test/bent/000.png", "ground_truth/bent/000_mask.png"])
@pytest.mark.parametrize(
    ("content", "what"), [(b"", "the file is empty"), (b"GIF?", "not an image of a known format")]
)
def test_unreadable_files_are_fatal(nuts: Path, place: str, content: bytes, what: str) -> None:
    (nuts / "metal_nut" / place).write_bytes(content)
    assert problems(nuts)[f"metal_nut/{place}"] == what
    assert "fatal" in severities(nuts)


def test_a_dangling_link_is_fatal(nuts: Path) -> None:
    (nuts / "metal_nut/test/bent/000.png").unlink()
    (nuts / "metal_nut/test/bent/000.png").symlink_to("nowhere.png")
    assert problems(nuts) == {"metal_nut/test/bent/000.png": "no such file"}


def test_an_empty_mask_of_an_anomalous_image_is_a_warning(nuts: Path) -> None:
    mask = nuts / "metal_nut/ground_truth/bent/000_mask.png"
    Image.new("L", (12, 8)).save(mask)
    what = "the mask of an anomalous image marks nothing"
    assert problems(nuts) == {"metal_nut/ground_truth/bent/000_mask.png": what}


def test_a_marking_mask_of_a_normal_image_is_a_warning(nuts: Path, draw_mask) -> None:
    draw_mask("set/metal_nut/ground_truth/good/000_mask.png")
    what = "the mask of a normal image marks 6 pixels"
    assert problems(nuts) == {"metal_nut/ground_truth/good/000_mask.png": what}


def test_the_same_image_in_two_splits_is_found_by_its_content(nuts: Path) -> None:
    train, test = nuts / "metal_nut/train/good/000.png", nuts / "metal_nut/test/good/copy.png"
    shutil.copy(train, test)
    found = problems(nuts)
    assert found == {
        "metal_nut/test/good/copy.png": f"the same image as {train}, but in split test "
        "rather than train"
    }
    assert severities(nuts) == ["warning"]


def test_the_same_image_on_both_sides_is_found(nuts: Path) -> None:
    good, bad = nuts / "metal_nut/test/good/000.png", nuts / "metal_nut/test/bent/000.png"
    shutil.copy(good, bad)
    [what] = problems(nuts).values()
    assert what.startswith("the same image as ")
    assert what.endswith("but labelled normal rather than anomalous")


def test_a_category_without_test_images_is_fatal(nuts: Path) -> None:
    shutil.rmtree(nuts / "metal_nut/test")
    shutil.rmtree(nuts / "metal_nut/ground_truth")
    assert problems(nuts) == {".": "category metal_nut: no test images"}
    assert severities(nuts) == ["fatal"]


@pytest.mark.parametrize(("side", "others"), [("normal", ["bent", "scratch"])])
def test_a_category_of_one_side_only_is_a_warning(
    nuts: Path, side: str, others: list[str]
) -> None:
    shutil.rmtree(nuts / "metal_nut/test/good")
    assert problems(nuts) == {
        ".": "category metal_nut: no normal test images: AUROC is undefined"
    }
    assert severities(nuts) == ["warning"]


def test_no_references_are_only_noted(nuts: Path) -> None:
    shutil.rmtree(nuts / "metal_nut/train")
    (nuts / "metal_nut/train/good").mkdir(parents=True)
    [what] = problems(nuts).values()
    assert what == "category metal_nut: no train images, so no references: zero-shot only"
    assert severities(nuts) == ["note"]


def test_an_anomalous_train_image_is_a_warning(nuts: Path, draw) -> None:
    draw("set/metal_nut/train/bent/000.png")
    assert problems(nuts) == {
        "metal_nut/train/bent/000.png": "an anomalous image in the train split"
    }


def test_a_turned_photograph_with_a_mask_is_noted(nuts: Path, draw) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    draw("set/metal_nut/test/bent/000.png", exif=exif)
    assert severities(nuts) == ["note"]
    [what] = problems(nuts).values()
    assert what == "the photograph is stored turned; see that its mask fits"


def test_the_gravest_problems_come_first_and_refuse_the_data_set(nuts: Path) -> None:
    first, second = nuts / "metal_nut/test/bent/000.png", nuts / "metal_nut/train/good/001.png"
    (nuts / "metal_nut/ground_truth/scratch/000_mask.png").unlink()
    first.write_bytes(b"")
    second.write_bytes(b"")
    found = survey(open_dataset(nuts))
    assert [p.severity for p in found.problems] == ["fatal", "fatal", "warning"]
    with pytest.raises(InputError, match=r": the file is empty \(and 1 more\); 'vlmad"):
        found.refuse()


def test_warnings_alone_do_not_refuse_a_data_set(tmp_path: Path) -> None:
    Survey((), (Problem(tmp_path, "odd"), Problem(tmp_path, "well", "note"))).refuse()


def test_only_the_asked_categories_are_looked_at_and_progress_is_told(
    nuts: Path, draw
) -> None:
    for name in ("train/good/0.png", "test/good/0.png", "test/bad/0.png"):
        draw(f"set/cap/{name}")
    (nuts / "metal_nut/test/good/000.png").write_bytes(b"")
    told: list[tuple[int, int]] = []
    found = survey(open_dataset(nuts), ["cap"], progress=lambda *done: told.append(done))
    assert {measured.sample.category for measured in found.measured} == {"cap"}
    assert not found.of("fatal")
    assert told == [(1, 3), (2, 3), (3, 3)]
