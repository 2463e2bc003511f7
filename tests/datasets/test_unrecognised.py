"""A folder that follows no layout is refused with what it holds, and with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad.registry import Registry
from vlmad_datasets import open_dataset

NAMES = "name a reader with --dataset: mvtec, ad2, mpdd, "
TWO = "--dataset folder --set dataset.good=FOLDER --set dataset.bad=FOLDER"


def lay_out(root: Path, files: str) -> Path:
    root.mkdir(parents=True)
    for name in files.split():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".png", ".jpg"):
            Image.new("L", (4, 4)).save(path)
        else:
            path.write_text("{}")
    return root


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("", "it holds no images; name the folder that holds the data set"),
        ("mvtec.tar.xz readme.txt", "it holds no images; unpack mvtec.tar.xz"),
        ("a.heic b.HEIC", "no images, and 2 in formats that are not read; convert them to PNG"),
        ("0.png 1.png", f"it holds 2 images; list the images in a table, or {NAMES}"),
        (
            "a/0.png b/0.png c/0.png d/0.png",
            f"4 images in 4 folders (a, b, c …); tell which is good and which bad ({TWO}), list",
        ),
        (
            "1cls/candle/train/good/0.png",
            "1 image in 1 folder (1cls); 1cls in it can be read ('mvtec'): name it",
        ),
        (
            "x/good/0.png x/bad/0.png y/ok/0.png y/ng/0.png",
            "x, y in it can be read ('folder'): name",
        ),
        ("good/0.png crack/1.png", "name it with --dataset folder --set 'dataset.bad=crack'"),
        ("good/0.png crack/1.png dent/2.png", "put those of defects into one folder bad"),
        ("nut/train/0.png nut/test/1.png", "like 'mvtec', but the images in "),
        ("kos01/Part0.jpg kos02/Part0.jpg", "like 'ksdd', but there are no masks such as kos01/"),
        ("pcb1/Data/Images/Normal/0.JPG", "like 'visa', but there is no split_csv/1cls.csv"),
        ("Class1/Train/0.PNG Class1/Test/1.PNG", "like 'dagm', but there are no masks such"),
        ("mint/OK/S0001/0.jpg mint/NG/HS/S0002/1.jpg", "like 'real_iad', but there is no folder"),
        ("OK/S0001/0.jpg NG/HS/S0002/1.jpg NG/HS/S0002/1.png", "like 'real_iad', but there is no"),
        ("MT_Free/0.jpg MT_Crack/1.jpg", "like 'mtd', but there are no masks such as MT_Crack"),
        ("meta.json x/0.png", "like 'meta', but meta.json does not list images"),
    ],
)
def test_the_message_says_what_is_there_and_how_to_go_on(
    files: str, message: str, tmp_path: Path, registry: Registry
) -> None:
    root = lay_out(tmp_path / "some" / "where" / "data", files)
    with pytest.raises(InputError) as caught:
        open_dataset(root, registry=registry)
    assert str(caught.value).startswith(f"no reader recognises {root}: it holds ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("below", ["test", "test/bent"])
def test_a_folder_too_deep_names_the_one_above(
    below: str, tmp_path: Path, registry: Registry
) -> None:
    nut = lay_out(tmp_path / "nut", "train/good/0.png test/bent/1.png")
    with pytest.raises(InputError, match=f"; {nut} above it can be read \\('mvtec'\\): name that$"):
        open_dataset(nut / below, registry=registry)


@pytest.mark.parametrize(
    ("name", "message"),
    [("set.ZIP", "unpack it, and name the folder"), ("photo.png", f"in a table, or {NAMES}")],
)
def test_a_file_that_is_no_table_is_refused(
    name: str, message: str, tmp_path: Path, registry: Registry
) -> None:
    root = lay_out(tmp_path / "data", name)
    with pytest.raises(InputError, match=message):
        open_dataset(root / name, registry=registry)


def test_names_that_are_no_text_are_no_obstacle(tmp_path: Path, registry: Registry) -> None:
    root = lay_out(tmp_path / "some" / "where" / "data", "a/0.png")
    os.mkdir(os.fsencode(root) + b"/\xff\xfe")
    (root / "dangling").symlink_to("nowhere")
    (root / "circle").symlink_to(".")
    with pytest.raises(InputError, match="it holds 1 image in 3 folders"):
        open_dataset(root, registry=registry)
