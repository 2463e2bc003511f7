"""Each reader knows its own layout and gives what is written there, and nothing more."""

from __future__ import annotations

import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from vlmad.errors import InputError
from vlmad_datasets import OpenDataset, open_dataset
from vlmad_datasets.survey import survey

REPOSITORY = Path(__file__).parents[2]
PHOTOGRAPHS = REPOSITORY.parent / "shared" / "data"


def facts(opened: OpenDataset) -> set[tuple[str, ...]]:
    """Return the facts of each image, with paths from the root."""
    root = opened.root if opened.root.is_dir() else opened.root.parent
    return {
        (
            str(sample.image.relative_to(root)),
            sample.split,
            sample.label,
            sample.defect,
            str(sample.mask.relative_to(root)) if sample.mask else "",
        )
        for sample in opened.samples
    }


# MVTec AD and its relatives


def test_mvtec_reads_splits_defects_and_masks(nuts: Path) -> None:
    opened = open_dataset(nuts)
    assert opened.name == "mvtec"
    assert opened.categories == ("metal_nut",)
    assert opened.class_name("metal_nut") == "metal nut"
    truth = "metal_nut/ground_truth"
    assert facts(opened) == {
        ("metal_nut/train/good/000.png", "train", "normal", "good", ""),
        ("metal_nut/train/good/001.png", "train", "normal", "good", ""),
        ("metal_nut/test/good/000.png", "test", "normal", "good", ""),
        ("metal_nut/test/bent/000.png", "test", "anomalous", "bent", f"{truth}/bent/000_mask.png"),
        (
            "metal_nut/test/scratch/000.PNG",
            "test",
            "anomalous",
            "scratch",
            f"{truth}/scratch/000_mask.png",
        ),
    }


def test_a_root_may_be_a_single_category_even_as_the_folder_that_one_is_in(
    nuts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nuts / "metal_nut")
    assert open_dataset(".").categories == ("metal_nut",)
    assert len(open_dataset(nuts / "metal_nut").samples) == 5


def test_links_to_categories_and_images_are_followed(nuts: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "wing_nut").symlink_to(nuts / "metal_nut")
    (nuts / "metal_nut/test/bent/link.png").symlink_to("000.png")
    opened = open_dataset(tmp_path / "links")
    assert opened.categories == ("wing_nut",)  # what the link is called
    assert len(opened.samples) == 6


def test_masks_are_found_whatever_spelling_the_file_system_gave_the_name(
    nuts: Path, draw, draw_mask
) -> None:
    composed = unicodedata.normalize("NFC", "Größe")
    draw(f"set/metal_nut/test/bent/{composed}.JPG", format="JPEG")
    decomposed = unicodedata.normalize("NFD", composed)
    draw_mask(f"set/metal_nut/ground_truth/bent/{decomposed}_MASK.PNG", format="PNG")
    assert survey(open_dataset(nuts)).problems == ()


def test_what_systems_leave_behind_is_no_image(nuts: Path) -> None:
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (nuts / "metal_nut/test/bent" / name).write_bytes(b"\0")
    assert len(open_dataset(nuts).samples) == 5


def test_masks_without_images_and_empty_folders_are_warnings(nuts: Path, draw_mask) -> None:
    draw_mask("set/metal_nut/ground_truth/bent/077_mask.png")
    (nuts / "metal_nut/test/empty").mkdir()
    (nuts / "papers").mkdir()
    (nuts / "metal_nut/ground_truth/rust").mkdir()
    assert {(p.path.name, p.what, p.severity) for p in open_dataset(nuts).problems} == {
        ("077_mask.png", "a mask that belongs to no image", "warning"),
        ("empty", "a folder without images", "warning"),
        ("rust", "masks, but there is no test/rust", "warning"),
        ("papers", "not laid out as a category, left out", "note"),
    }


def test_loco_has_several_masks_for_an_image_and_a_validation_split(
    tmp_path: Path, draw, draw_mask
) -> None:
    for name in ("train/good/000", "validation/good/000", "test/good/000"):
        draw(f"loco/box/{name}.png")
    draw("loco/box/test/logical_anomalies/000.png")
    draw_mask("loco/box/ground_truth/logical_anomalies/000/000.png")
    draw_mask("loco/box/ground_truth/logical_anomalies/000/001.png", value=7)
    opened = open_dataset(tmp_path / "loco")
    [sample] = opened.select(split="test")[1:]
    assert sample.mask == tmp_path / "loco/box/ground_truth/logical_anomalies/000"
    assert [s.split for s in opened.samples] == ["train", "validation", "test", "test"]
    found = survey(opened)
    assert found.problems == ()
    assert found.measured[-1].defective == 6


def test_ad_2_keeps_its_public_test_images_and_their_masks_together(
    tmp_path: Path, draw, draw_mask
) -> None:
    for name in ("train/good/0", "validation/good/0", "test_public/good/0", "test_private/0"):
        draw(f"ad2/can/{name}.png")
    draw("ad2/can/test_public/bad/0.png")
    draw_mask("ad2/can/test_public/ground_truth/bad/0_mask.png")
    opened = open_dataset(tmp_path / "ad2")
    assert facts(opened) == {
        ("can/train/good/0.png", "train", "normal", "good", ""),
        ("can/validation/good/0.png", "validation", "normal", "good", ""),
        ("can/test_public/good/0.png", "test", "normal", "good", ""),
        (
            "can/test_public/bad/0.png",
            "test",
            "anomalous",
            "bad",
            "can/test_public/ground_truth/bad/0_mask.png",
        ),
    }
    [problem] = survey(opened).problems
    assert (problem.path.name, problem.severity) == ("test_private", "note")


def test_mpdd_is_recognised_by_its_categories(nuts: Path) -> None:
    (nuts / "metal_nut").rename(nuts / "metal_plate")
    opened = open_dataset(nuts)
    assert opened.name == "mpdd"
    assert opened.class_name("metal_plate") == "metal plate"
    assert len(opened.samples) == 5
    assert len(open_dataset(nuts, "mvtec").samples) == 5


def test_btad_has_ok_and_ko_and_masks_of_another_format(tmp_path: Path, draw, draw_mask) -> None:
    for name in ("train/ok/0001", "test/ok/0002", "test/ko/0003"):
        draw(f"btad/02/{name}.bmp")
    draw_mask("btad/02/ground_truth/ko/0003.png")
    opened = open_dataset(tmp_path / "btad")
    assert opened.name == "btad"
    assert opened.class_name("02") == "object"
    assert facts(opened) == {
        ("02/train/ok/0001.bmp", "train", "normal", "good", ""),
        ("02/test/ok/0002.bmp", "test", "normal", "good", ""),
        ("02/test/ko/0003.bmp", "test", "anomalous", "ko", "02/ground_truth/ko/0003.png"),
    }
    assert survey(opened).problems == ()


def test_the_samples_that_come_with_the_project_have_no_problems() -> None:
    opened = open_dataset(REPOSITORY / "examples" / "samples")
    assert survey(opened).problems == ()
    assert opened.categories == ("brushed_metal", "circuit", "cloth", "fasteners", "tile")


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="photographs beside the repository absent")
def test_real_photographs_with_masks_are_read_without_a_problem() -> None:
    opened = open_dataset(PHOTOGRAPHS)
    found = survey(opened)
    assert opened.name == "mvtec"
    folders = {path.name for path in PHOTOGRAPHS.iterdir() if (path / "train").is_dir()}
    assert set(opened.categories) == folders
    found.refuse()
    files = [p for p in PHOTOGRAPHS.rglob("*") if p.suffix in (".png", ".jpg")]
    places = Counter("ground_truth" in path.parts for path in files)
    assert len(found.measured) == places[False]
    assert sum(measured.defective is not None for measured in found.measured) == places[True]


# VisA


@pytest.fixture
def visa(tmp_path: Path, draw, draw_mask) -> Path:
    for number in ("0000", "0001"):
        draw(f"visa/pcb1/Data/Images/Normal/{number}.JPG", format="JPEG")
    draw("visa/pcb1/Data/Images/Anomaly/000.JPG", format="JPEG")
    draw_mask("visa/pcb1/Data/Masks/Anomaly/000.png", value=3)
    anomaly = "pcb1/Data/Images/Anomaly/000.JPG"
    annotations = f'image,label,mask\n{anomaly},"bent,melt",pcb1/Data/Masks/Anomaly/000.png\n'
    (tmp_path / "visa/pcb1/image_anno.csv").write_text(annotations)
    return tmp_path / "visa"


def split_visa(root: Path, *more: str) -> Path:
    rows = [
        "object,split,label,image,mask",
        "pcb1,train,normal,pcb1/Data/Images/Normal/0001.JPG,",
        "pcb1,test,normal,pcb1/Data/Images/Normal/0000.JPG,",
        "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/000.JPG,pcb1/Data/Masks/Anomaly/000.png",
        *more,
    ]
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return root


def test_visa_follows_its_split_file_and_names_defects_by_its_annotations(visa: Path) -> None:
    opened = open_dataset(split_visa(visa))
    anomaly = "pcb1/Data/Images/Anomaly/000.JPG"
    mask = "pcb1/Data/Masks/Anomaly/000.png"
    assert opened.name == "visa"
    assert facts(opened) == {
        ("pcb1/Data/Images/Normal/0001.JPG", "train", "normal", "good", ""),
        ("pcb1/Data/Images/Normal/0000.JPG", "test", "normal", "good", ""),
        (anomaly, "test", "anomalous", "bent + melt", mask),
    }
    found = survey(opened)
    assert found.problems == ()
    assert found.measured[-1].defective == 6  # masks are small numbers, not 255


def test_visa_needs_no_annotations(visa: Path) -> None:
    (visa / "pcb1/image_anno.csv").write_text("nonsense\n")
    opened = open_dataset(split_visa(visa))
    assert opened.samples[-1].defect == "anomaly"
    assert [p.path.name for p in opened.problems] == ["image_anno.csv"]
    (visa / "pcb1/image_anno.csv").unlink()
    assert open_dataset(visa).problems == ()


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("pcb1,test,anomaluos,a.JPG,", "label 'anomaluos' is neither side; did"),
        ("pcb1,tset,normal,a.JPG,", "no split is called 'tset'; did you mean 'test'?"),
        ("pcb1,test,normal,../../secret.JPG,", "'../../secret.JPG' is no path inside of"),
        ("pcb1,test,normal,/etc/secret.JPG,", "'/etc/secret.JPG' is no path inside of"),
        ("pcb1,test,normal,,", "no image"),
        ("pcb1,test,normal", "3 fields, but 5 columns"),
    ],
)
def test_nonsense_in_a_split_file_is_a_problem(visa: Path, row: str, what: str) -> None:
    opened = open_dataset(split_visa(visa, row))
    [problem] = opened.problems
    assert problem.what.startswith(f"line 5: {what}")
    assert problem.severity == "fatal"
    assert len(opened.samples) == 3


def test_visa_takes_another_split_file(visa: Path) -> None:
    split_visa(visa)
    (visa / "mine.csv").write_text(
        "object,split,label,image,mask\npcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,\n"
    )
    assert len(open_dataset(visa, options={"split": "mine.csv"}).samples) == 1
    with pytest.raises(InputError, match=r"none.csv: no such file"):
        open_dataset(visa, options={"split": "none.csv"})


# folders


def test_a_good_and_a_bad_folder_are_enough(tmp_path: Path, draw) -> None:
    draw("parts/good/a.png")
    draw("parts/bad/b.png")
    opened = open_dataset(tmp_path / "parts")
    assert opened.name == "folder"
    assert opened.categories == ("parts",)
    assert facts(opened) == {
        ("good/a.png", "test", "normal", "good", ""),
        ("bad/b.png", "test", "anomalous", "bad", ""),
    }
    assert {problem.severity for problem in survey(opened).problems} == {"note"}


def test_folders_by_other_names_with_masks_references_and_defects(
    tmp_path: Path, draw, draw_mask
) -> None:
    draw("parts/fine/a.png")
    draw("parts/refs/r.png")
    draw("parts/scrap/b.png")
    draw("parts/scrap/dent/b.png")
    draw_mask("parts/truth/b.png")
    dent = draw_mask("parts/truth/dent/b.png")
    opened = open_dataset(
        tmp_path / "parts",
        "folder",
        {"good": "fine", "bad": "scrap", "train": "refs", "masks": "truth", "category": "valve"},
    )
    assert facts(opened) == {
        ("refs/r.png", "train", "normal", "good", ""),
        ("fine/a.png", "test", "normal", "good", ""),
        ("scrap/b.png", "test", "anomalous", "scrap", "truth/b.png"),
        ("scrap/dent/b.png", "test", "anomalous", "dent", "truth/dent/b.png"),
    }
    assert opened.categories == ("valve",)
    assert opened.problems == ()
    dent.rename(dent.with_name("c.png"))
    (tmp_path / "parts/scrap/b.png").unlink()  # else its mask might be the other's
    whats = {
        (p.path.name, p.what)
        for p in open_dataset(
            tmp_path / "parts", "folder", {"good": "fine", "bad": "scrap", "masks": "truth"}
        ).problems
    }
    assert whats == {("c.png", "a mask that belongs to no image")}


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, draw) -> None:
    draw("parts/good/a.png")
    with pytest.raises(InputError, match=r"parts/bad: no such folder; name it with --set"):
        open_dataset(tmp_path / "parts", "folder")


def test_no_layout_is_taken_for_another(nuts: Path, visa: Path, tmp_path: Path) -> None:
    assert open_dataset(nuts).name == "mvtec"
    assert open_dataset(split_visa(visa)).name == "visa"
    shutil.copytree(nuts / "metal_nut/test", tmp_path / "both" / "bad")
    (tmp_path / "both" / "good").mkdir()
    assert open_dataset(tmp_path / "both").name == "folder"
