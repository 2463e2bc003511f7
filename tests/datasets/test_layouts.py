"""Each layout of the field, drawn small from its public description, is read by its own reader."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad.registry import Registry
from vlmad_datasets import OpenDataset, open_dataset
from vlmad_datasets.description import DatasetDescription
from vlmad_datasets.survey import survey

from ..conftest import vlmad  # noqa: TID252 (tests are no package)

MARKED = 6
"""How many pixels a drawn mask marks, if it marks any."""
Facts = set[tuple[str, str, str, str]]


class Drawn(NamedTuple):
    """A layout: its files, and what its reader must make of them.

    Files are images; a mask that marks something ends in ``*``, an empty one in ``-``.
    """

    files: str
    facts: str
    """Of each image that is read: its path, split, defect, and mask if it has one."""
    texts: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    class_name: str = "set"
    notes: int = 0


def view(path: str, kind: str = "OK", mask: str | None = None) -> dict[str, Any]:
    return {"image_path": path, "mask_path": mask, "category": "usb_adaptor", "anomaly_class": kind}


def listed(path: str, specie: str = "good", mask: str = "") -> dict[str, Any]:
    return {
        "img_path": path,
        "mask_path": mask,
        "cls_name": "metal_nut",
        "specie_name": specie,
        "anomaly": int(specie != "good"),
    }


OK, NG = "OK/S0001/usb_0001_OK_C1_2023.jpg", "NG/HS/S0002/usb_0002_NG_HS_C1_2023.jpg"
HIDDEN = NG.replace("C1", "C2")  # the same bad part from a side where nothing is wrong
REAL_IAD = {
    "meta": {"prefix": "usb_adaptor/", "normal_class": "OK", "pre_transform": {}},
    "train": [view(OK)],
    "test": [view(OK.replace("0001", "0003")), view(NG, "HS", NG[:-3] + "png"), view(HIDDEN)],
}
META = {
    "train": {"metal_nut": [listed("nut/0.png")]},
    "test": {"metal_nut": [listed("nut\\1.png"), listed("nut/2.png", "bent", "nut/2_gt.png")]},
}
VISA = """object,split,label,image,mask
pcb1,train,normal,pcb1/Data/Images/Normal/1.JPG,
pcb1,test,anomaly,pcb1/Data/Images/Anomaly/0.JPG,pcb1/Data/Masks/Anomaly/0.png
"""
LAYOUTS = {
    "mvtec": Drawn(
        "metal_nut/train/good/0.png metal_nut/test/bent/1.png"
        " metal_nut/ground_truth/bent/1_mask.png*",
        """metal_nut/train/good/0.png train good
        metal_nut/test/bent/1.png test bent metal_nut/ground_truth/bent/1_mask.png""",
        class_name="metal nut",
    ),
    "ad2": Drawn(
        "can/train/good/0_regular.png can/validation/good/1_regular.png can/test_private/0.png"
        " can/test_public/good/2_regular.png can/test_public/bad/3_shift_1.png"
        " can/test_public/ground_truth/bad/3_shift_1_mask.png*",
        """can/train/good/0_regular.png train good
        can/validation/good/1_regular.png validation good
        can/test_public/good/2_regular.png test good
        can/test_public/bad/3_shift_1.png test bad \
        can/test_public/ground_truth/bad/3_shift_1_mask.png""",
        class_name="can",
        notes=1,
    ),
    "mpdd": Drawn(
        "tubes/train/good/0.png tubes/test/bad/1.png tubes/ground_truth/bad/1_mask.png*",
        """tubes/train/good/0.png train good
        tubes/test/bad/1.png test bad tubes/ground_truth/bad/1_mask.png""",
        class_name="tubes",
    ),
    "dtd": Drawn(
        "Woven_001/train/good/0.png Woven_001/test/bad/1.png"
        " Woven_001/ground_truth/bad/1_mask.png*",
        """Woven_001/train/good/0.png train good
        Woven_001/test/bad/1.png test bad Woven_001/ground_truth/bad/1_mask.png""",
        class_name="woven texture",
    ),
    "btad": Drawn(
        "01/train/ok/0.bmp 01/test/ko/1.bmp 01/ground_truth/ko/1.png*",
        "01/train/ok/0.bmp train good\n01/test/ko/1.bmp test ko 01/ground_truth/ko/1.png",
        class_name="object",
    ),
    "visa": Drawn(
        "pcb1/Data/Images/Normal/1.JPG pcb1/Data/Images/Anomaly/0.JPG"
        " pcb1/Data/Masks/Anomaly/0.png*",
        """pcb1/Data/Images/Normal/1.JPG train good
        pcb1/Data/Images/Anomaly/0.JPG test anomaly pcb1/Data/Masks/Anomaly/0.png""",
        {"split_csv/1cls.csv": VISA},
        class_name="pcb1",
    ),
    "folder": Drawn(
        "good/0.png bad/1.png masks/1.png*",
        "good/0.png test good\nbad/1.png test bad masks/1.png",
        class_name="set",
    ),
    "real_iad": Drawn(
        f"realiad_512/usb_adaptor/{OK} realiad_512/usb_adaptor/{OK.replace('0001', '0003')}"
        f" realiad_512/usb_adaptor/{NG} realiad_512/usb_adaptor/{NG[:-3]}png*"
        f" realiad_512/usb_adaptor/{HIDDEN}",
        f"""realiad_512/usb_adaptor/{OK} train good
        realiad_512/usb_adaptor/{OK.replace("0001", "0003")} test good
        realiad_512/usb_adaptor/{NG} test scratch realiad_512/usb_adaptor/{NG[:-3]}png
        realiad_512/usb_adaptor/{HIDDEN} test good""",
        {
            "realiad_jsons/realiad_jsons/usb_adaptor.json": REAL_IAD,
            "realiad_jsons/realiad_jsons/mint.json": {
                **REAL_IAD,
                "meta": {"prefix": "mint/", "normal_class": "OK"},
            },
            "realiad_jsons/realiad_jsons_sv/usb_adaptor.json": {**REAL_IAD, "test": []},
        },
        class_name="usb adaptor",
        notes=1,
    ),
    "ksdd": Drawn(
        "kos01/Part0.jpg kos01/Part0_label.bmp- kos01/Part5.jpg kos01/Part5_label.bmp*"
        " kos02/Part0.jpg kos02/Part0_label.bmp-",
        """kos01/Part0.jpg test good kos01/Part0_label.bmp
        kos01/Part5.jpg test defect kos01/Part5_label.bmp
        kos02/Part0.jpg test good kos02/Part0_label.bmp""",
        class_name="electrical commutator",
    ),
    "ksdd2": Drawn(
        "train/10.png train/10_GT.png- train/11.png train/11_GT.png*"
        " test/20.png test/20_GT.png- test/21.png test/21_GT.png*",
        """train/10.png train good train/10_GT.png
        test/20.png test good test/20_GT.png
        test/21.png test defect test/21_GT.png""",
        class_name="surface",
        notes=1,
    ),
    "dagm": Drawn(
        "Class1/Train/0001.PNG Class1/Train/0002.PNG Class1/Train/Label/0002_label.PNG*"
        " Class1/Test/0003.PNG Class1/Test/0004.PNG Class1/Test/Label/0004_label.PNG*",
        """Class1/Train/0001.PNG train good
        Class1/Test/0003.PNG test good
        Class1/Test/0004.PNG test defect Class1/Test/Label/0004_label.PNG""",
        {"Class1/Train/Label/Labels.txt": "1\n"},
        class_name="textured surface",
        notes=1,
    ),
    "mtd": Drawn(
        "MT_Free/Imgs/exp1.jpg MT_Free/Imgs/exp1.png-"
        " MT_Crack/Imgs/exp2.jpg MT_Crack/Imgs/exp2.png*",
        """MT_Free/Imgs/exp1.jpg test good MT_Free/Imgs/exp1.png
        MT_Crack/Imgs/exp2.jpg test crack MT_Crack/Imgs/exp2.png""",
        class_name="magnetic tile",
    ),
    "meta": Drawn(
        "nut/0.png nut/1.png nut/2.png nut/2_gt.png*",
        "nut/0.png train good\nnut/1.png test good\nnut/2.png test bent nut/2_gt.png",
        {"meta.json": META},
        class_name="metal nut",
    ),
}
Draw = Callable[[str], Path]


@pytest.fixture
def lay_out(tmp_path: Path) -> Draw:
    """A function that draws a layout into a folder, and returns the folder."""

    def write(name: str) -> Path:
        layout, root = LAYOUTS[name], tmp_path / "set"
        for number, file in enumerate(layout.files.split()):
            path = root / file.rstrip("*-")
            path.parent.mkdir(parents=True, exist_ok=True)
            if file[-1] in "*-":
                pixels = np.zeros((8, 12), np.uint8)
                pixels[1:3, 1:4] = 255 * (file[-1] == "*")
            else:
                pixels = np.random.default_rng(number).integers(0, 256, (8, 12, 3), np.uint8)
            Image.fromarray(pixels).save(path)
        for file, text in layout.texts.items():
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if isinstance(text, str) else json.dumps(text))
        return root

    return write


def facts(opened: OpenDataset) -> Facts:
    def place(path: Path | None) -> str:
        return path.relative_to(opened.root).as_posix() if path else ""

    return {(place(s.image), s.split, s.defect, place(s.mask)) for s in opened.samples}


def expected(layout: Drawn) -> Facts:
    rows = ((*line.split(), "")[:4] for line in layout.facts.splitlines())
    return {(image, split, defect, mask) for image, split, defect, mask in rows}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_by_its_own_reader_alone(
    name: str, lay_out: Draw, registry: Registry
) -> None:
    root = lay_out(name)
    readers = registry.of_kind("dataset")
    assert [found.name for found in readers if found.resolve().recognises(root)] == [name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_as_it_is_described(name: str, lay_out: Draw) -> None:
    opened = open_dataset(lay_out(name))
    layout = LAYOUTS[name]
    assert facts(opened) == expected(layout)
    assert all(sample.anomalous == (sample.defect != "good") for sample in opened.samples)
    assert opened.class_name(opened.categories[0]) == layout.class_name
    found = survey(opened)
    severities = [problem.severity for problem in opened.problems]
    assert severities == ["note"] * layout.notes
    assert not found.of("fatal")
    for measured in found.measured:
        if measured.sample.mask:
            assert measured.defective == (MARKED if measured.sample.anomalous else 0)


@pytest.mark.parametrize("name", ["ksdd", "ksdd2", "dagm", "mtd"])
def test_names_may_be_in_another_case(name: str, lay_out: Draw) -> None:
    root = lay_out(name)
    for path in sorted(root.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.swapcase()))
    opened = open_dataset(root)
    assert opened.name == name
    assert len(opened.samples) == len(expected(LAYOUTS[name]))


def test_real_iad_has_other_splits_and_sizes(lay_out: Draw) -> None:
    root = lay_out("real_iad")
    single = open_dataset(root, options={"split": "realiad_jsons/realiad_jsons_sv"})
    assert [sample.split for sample in single.samples] == ["train"]
    (root / "realiad_256/usb_adaptor").mkdir(parents=True)
    remedy = r"realiad_256 or realiad_512; choose with --set dataset.images=FOLDER"
    with pytest.raises(InputError, match=remedy):
        open_dataset(root)
    assert len(open_dataset(root, options={"images": "realiad_512"}).samples) == 4
    with pytest.raises(InputError, match=r"x: no JSON files; choose with --set dataset\.split: "):
        open_dataset(root, options={"split": "x", "images": "realiad_512"})


def test_real_iad_may_have_its_lists_one_folder_higher(lay_out: Draw) -> None:
    root = lay_out("real_iad")
    (root / "realiad_jsons").rename(root / "unpacked")
    (root / "unpacked/realiad_jsons").rename(root / "realiad_jsons")
    assert len(open_dataset(root).samples) == 4


def test_a_meta_file_may_be_named_itself(lay_out: Draw) -> None:
    root = lay_out("meta")
    opened = open_dataset(root / "meta.json")
    assert (opened.name, len(opened.samples)) == ("meta", 3)
    (root / "meta.json").rename(root / "mine.json")
    assert open_dataset(root / "mine.json").samples == opened.samples


def test_folders_that_follow_a_layout_need_no_meta_file(lay_out: Draw) -> None:
    root = lay_out("mvtec")
    (root / "meta.json").write_text(json.dumps(META))
    assert open_dataset(root).name == "mvtec"


def test_ad_2_can_be_tested_in_one_lighting(lay_out: Draw) -> None:
    root = lay_out("ad2")
    shifted = open_dataset(root, options={"lighting": "Shift_1"})
    assert [sample.defect for sample in shifted.select(split="test")] == ["bad"]
    assert len(shifted.samples) == 3
    with pytest.raises(InputError, match=r"lighting 'dark'; known: regular, shift_1$"):
        open_dataset(root, options={"lighting": "dark"})


def test_a_meta_file_beside_any_layout_changes_nothing(lay_out: Draw, registry: Registry) -> None:
    for name in ("ad2", "mpdd", "dtd"):
        root = lay_out(name)
        (root / "meta.json").write_text(json.dumps(META))
        assert open_dataset(root, registry=registry).name == name
        shutil.rmtree(root)


@pytest.mark.parametrize("path", ["../out.png", "/etc/out.png", "nut/../../out.png", ""])
def test_a_list_may_not_lead_out_of_its_folder(path: str, lay_out: Draw) -> None:
    root = lay_out("meta")
    listing = {"train": {}, "test": {"nut": [listed("nut/0.png"), listed(path)]}}
    (root / "meta.json").write_text(json.dumps(listing))
    opened = open_dataset(root)
    [problem] = opened.problems
    assert problem.what == f"test.nut.1: '{path}' is no path inside of the data set"
    assert (problem.severity, len(opened.samples)) == ("fatal", 1)


NESTED = "[" * 500 + "]" * 500


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("real_iad", "realiad_jsons/realiad_jsons/usb_adaptor.json", text)
        for text in ("", "{", NESTED, '{"meta": ' + NESTED + "}", '{"meta": {"prefix": "../"}}')
    ]
    + [
        ("meta", "meta.json", '"img_path" "cls_name"' + text)
        for text in ("", NESTED, "\ud800", ': {"test": 3}')
    ]
    + [("meta", "meta.json", '{"img_path": 0, "cls_name": 0, "test": ' + NESTED + "}")],
)
def test_a_list_that_makes_no_sense_is_refused_by_its_name(
    name: str, file: str, text: str, lay_out: Draw
) -> None:
    root = lay_out(name)
    (root / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=file):
        open_dataset(root)


@pytest.mark.parametrize("name", LAYOUTS)
def test_whatever_lies_among_the_files_is_no_obstacle(
    name: str, lay_out: Draw, registry: Registry
) -> None:
    root = lay_out(name)
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        (folder / os.fsdecode(b"\xff\xfe")).mkdir()
        (folder / "gone.png").symlink_to("nowhere")
        (folder / "around").symlink_to(".")
        os.mkfifo(folder / "pipe.png")
    opened = open_dataset(root, name, registry=registry)
    assert expected(LAYOUTS[name]) <= facts(opened)
    survey(opened)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_described_by_the_command(name: str, lay_out: Draw) -> None:
    root = lay_out(name)
    done = vlmad("data", root, "--json", cwd=root)
    assert done.returncode in (0, 1), done.stderr  # warnings: so few images lack a side
    found = DatasetDescription.parse(done.stdout, "output")
    assert (found.dataset, found.usable) == (name, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["real_iad", "ksdd", "ksdd2", "dagm", "mtd", "meta"])
def test_a_bench_measures_a_layout(
    name: str, lay_out: Draw, two_layer_file: Path, cache: Path, tmp_path: Path
) -> None:
    from vlmad.testing import TWO_LAYERS  # imports torch, which the others do without

    root = lay_out(name)
    weights = f"backbone.weights={two_layer_file}"
    words = ["--detector", "clip", "--backbone", f"openclip:{TWO_LAYERS}", "--set", weights]
    done = vlmad("bench", root, *words, "--replicates", "100", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert open_dataset(root).categories[0] in done.stdout


def test_two_masks_of_one_image_are_a_problem_with_both_names(lay_out: Draw) -> None:
    root = lay_out("ksdd")
    mask = root / "kos01/Part5_label.bmp"
    mask.with_suffix(".png").write_bytes(mask.read_bytes())
    [problem] = open_dataset(root).problems
    assert str(problem).endswith(
        "Part5.jpg: has several masks: Part5_label.bmp and Part5_label.png"
    )
    assert problem.severity == "fatal"


def test_what_lacks_its_mask_or_its_image_is_named(lay_out: Draw) -> None:
    root = lay_out("ksdd")
    (root / "kos01/Part5_label.bmp").rename(root / "kos01/Part6_label.bmp")
    (root / "kos01/Part0_label.bmp").write_bytes(b"BM")
    opened = open_dataset(root)
    assert len(opened.samples) == 1
    assert {(p.path.name, p.severity) for p in opened.problems} == {
        ("Part5.jpg", "warning"),
        ("Part6_label.bmp", "warning"),
        ("Part0_label.bmp", "fatal"),
    }


def test_a_class_of_dagm_without_masks_is_not_taken_for_faultless(lay_out: Draw) -> None:
    root = lay_out("dagm")
    (root / "Class1/Test/Label").rename(root / "Class1/Test/Labels")
    opened = open_dataset(root)
    assert {sample.split for sample in opened.samples} == {"train"}
    assert any("its defects are unknown" in problem.what for problem in opened.problems)
