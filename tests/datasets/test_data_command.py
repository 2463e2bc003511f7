"""`vlmad data`, as its users meet it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from ..conftest import Done, vlmad  # noqa: TID252 (tests are no package)


def data(*words: str | Path, cwd: Path) -> Done:
    return vlmad("data", *words, cwd=cwd, COLUMNS="100")


def test_a_faultless_data_set_is_described_with_exit_status_0(nuts: Path) -> None:
    done = data(nuts, "--sheet", "sheet.png", cwd=nuts)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["metal_nut", "2", "1", "2", "2", "12", "x", "8", "4.2", "%"] in lines
    assert ["metal_nut", "bent", "1", "6.2", "%", "to", "6.2", "%"] in lines
    assert "no problems" in done.stdout
    assert done.stderr == ""
    with Image.open(nuts / "sheet.png") as sheet:
        assert sheet.width > 300


def test_json_has_all_of_it_and_nothing_else_on_standard_output(nuts: Path) -> None:
    done = data(nuts, "--json", "--sheet", "sheet.png", cwd=nuts)
    found = json.loads(done.stdout)
    assert (found["dataset"], found["usable"], found["problems"]) == ("mvtec", True, [])
    assert found["categories"]["metal_nut"] == {
        "class_name": "metal nut",
        "train": 2,
        "validation": 0,
        "test": {"normal": 1, "anomalous": 2, "masks": 2},
        "defects": {
            "bent": {"images": 1, "smallest": 6 / 96, "largest": 6 / 96},
            "scratch": {"images": 1, "smallest": 6 / 96, "largest": 6 / 96},
        },
        "image_sizes": [[12, 8]],
        "defective_pixels": 12 / 288,
    }


def test_warnings_are_listed_by_file_with_exit_status_1(nuts: Path) -> None:
    (nuts / "metal_nut/ground_truth/bent/000_mask.png").unlink()
    done = data(nuts, cwd=nuts)
    assert done.returncode == 1
    assert "warning metal_nut/test/bent/000.png: anomalous, but has no mask" in done.stdout
    assert done.stderr == ""


def test_fatal_problems_are_listed_and_end_with_one_line_and_exit_status_2(nuts: Path) -> None:
    broken = nuts / "metal_nut/test/bent/000.png"
    broken.write_bytes(b"not an image")
    done = data(nuts, "--json", cwd=nuts)
    assert done.returncode == 2
    assert json.loads(done.stdout)["usable"] is False
    assert done.stderr == (
        f"vlmad: {broken}: not an image of a known format; 'vlmad data' lists all problems\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["."], "no reader recognises .; name one with --dataset: mvtec, "),
        (["none"], "none: no such file or folder"),
        (["set", "--category", "metal_nuts"], "no category 'metal_nuts'; did you mean 'metal_nut'"),
        (["set", "--dataset", "vista"], "no dataset is called 'vista'; did you mean 'visa'?"),
        (["set", "--set", "scorer.x=1"], "no kind 'scorer'; known: dataset"),
        (["set", "--set", "dataset.x=1"], "dataset 'mvtec' has no option 'x'"),
        (["set", "--dataset", "btad"], "set has no train/ok or test/ok, nor have its folders"),
        (["set", "--dataset", "table"], "vlmad: set: is a folder"),
        (["set", "--sheet", "set/metal_nut"], "cannot write set/metal_nut: Is a directory"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    nuts: Path, words: list[str], message: str
) -> None:
    done = data(*words, cwd=nuts.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_names_that_no_terminal_should_see_are_shown_harmlessly(nuts: Path) -> None:
    category = nuts / "metal_nut"
    (category / "test/bent").rename(category / "test/[red]\x1b[31m\n")
    category.rename(nuts / os.fsdecode(b"nut\xff"))
    for words in ([], ["--json"], ["--sheet", "sheet.png"]):
        done = data(nuts, *words, cwd=nuts)
        assert done.returncode == 1, done.stderr  # the mask belongs to no image now
        assert "\x1b" not in done.stdout
        assert done.stderr == ""


def test_a_reader_takes_its_options_from_the_command_line(tmp_path: Path, draw) -> None:
    draw("parts/fine/a.png")
    draw("parts/scrap/b.png")
    words = ("--set", "dataset.good=fine", "--set", "dataset.bad=scrap")
    done = data("parts", "--dataset", "folder", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note parts: category parts: no masks: image figures only" in done.stdout


def test_describe_shows_a_readers_options_without_the_root() -> None:
    done = vlmad("describe", "dataset:table", cwd=Path())
    assert "dataset.category" in done.stdout
    assert "dataset.root" not in done.stdout
