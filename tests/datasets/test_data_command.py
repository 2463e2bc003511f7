"""`vlmad data`, as its users meet it, and as its page shows it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from vlmad_datasets.description import DatasetDescription

from ..conftest import Done, vlmad  # noqa: TID252 (tests are no package)

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "datasets.md").read_text(encoding="utf-8")
IN_PYTHON, READER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def data(*words: str | Path, cwd: Path) -> Done:
    return vlmad("data", *words, cwd=cwd, COLUMNS="100")


def test_a_faultless_data_set_is_described_with_exit_status_0(nuts: Path) -> None:
    done = data(nuts, "--sheet", "sheet.png", cwd=nuts)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["metal_nut", "2", "1", "2", "2", "12", "x", "8", "4.2", "%"] in lines
    assert "no problems" in done.stdout
    assert done.stderr == "contact sheet: sheet.png\n"
    with Image.open(nuts / "sheet.png") as sheet:
        assert sheet.width > 300


def test_json_is_one_document_with_all_of_it(nuts: Path) -> None:
    done = data(nuts, "--json", cwd=nuts)
    found = DatasetDescription.parse(done.stdout, "output")
    assert (found.dataset, found.usable, found.problems) == ("mvtec", True, [])
    assert found.categories["metal_nut"].model_dump() == {
        "class_name": "metal nut",
        "train": 2,
        "validation": 0,
        "test": {"normal": 1, "anomalous": 2, "masks": 2},
        "defects": {"bent": 1, "scratch": 1},
        "image_sizes": [[12, 8]],
        "defective_pixels": 12 / 288,
        "masks": {"smallest": 6 / 96, "median": 6 / 96, "largest": 6 / 96},
    }


def test_warnings_end_with_exit_status_1_and_fatal_problems_with_2_and_one_line(
    nuts: Path,
) -> None:
    (nuts / "metal_nut/ground_truth/bent/000_mask.png").unlink()
    done = data(nuts, cwd=nuts)
    assert (done.returncode, done.stderr) == (1, "")
    assert "warning metal_nut/test/bent/000.png: anomalous, but has no mask" in done.stdout
    broken = nuts / "metal_nut/test/bent/000.png"
    broken.write_bytes(b"not an image")
    done = data(nuts, "--json", cwd=nuts)
    assert done.returncode == 2
    assert not DatasetDescription.parse(done.stdout, "output").usable
    line = f"vlmad: {broken}: not an image of a known format; 'vlmad data' lists all problems\n"
    assert done.stderr == line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["."], "no reader recognises .: it holds 5 images in 1 folder (set); set in it can"),
        (["none"], "none: no such file or folder"),
        (["set", "--category", "metal_nuts"], "no category 'metal_nuts'; did you mean 'metal_nut'"),
        (["set", "--dataset", "vista"], "no dataset is called 'vista'; did you mean 'visa'?"),
        (["set", "--set", "scorer.x=1"], "no kind 'scorer'; known: dataset"),
        (["set", "--set", "dataset.x=1"], "dataset 'mvtec' has no option 'x'"),
        (["set/metal_nut/train", "--dataset", "btad"], "has no train/good or test/good, nor have"),
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
    for words in (["--sheet", "sheet.png"], ["--json"]):
        done = data(nuts, *words, cwd=nuts)
        assert done.returncode == 1, done.stderr  # the mask belongs to no image now
        assert "\x1b" not in done.stdout


def test_a_reader_takes_its_options_from_the_command_line(tmp_path: Path, draw) -> None:
    draw("parts/fine/a.png")
    draw("parts/scrap/b.png")
    words = ("--set", "dataset.good=fine", "--set", "dataset.bad=scrap")
    done = data("parts", "--dataset", "folder", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note parts: category parts: no masks: image figures only" in done.stdout
    described = vlmad("describe", "dataset:folder", cwd=tmp_path).stdout
    assert "dataset.bad" in described
    assert "dataset.root" not in described


def test_the_output_on_the_page_is_the_commands(registry) -> None:
    shown = re.search(r"```\n\$ vlmad (.*?)\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    done = vlmad(*shown[1].split(), cwd=REPOSITORY, COLUMNS="80")  # as without a terminal
    assert [line.rstrip() for line in done.stdout.splitlines()] == shown[2].splitlines()
    for name in [*registry.names("dataset"), "fatal", "warning", "note"]:
        assert re.search(rf"^\| `?{name}`? \|", PAGE, re.MULTILINE), name


def test_the_lines_of_python_on_the_page_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    exec(IN_PYTHON, {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 9
    assert all(line.startswith("examples/samples/cloth/test/") for line in printed)


def test_the_reader_on_the_page_reads(tmp_path: Path, draw) -> None:
    names: dict[str, type] = {}
    exec(READER, names)
    draw("belt/1.jpg")
    draw("belt/rejects/2.jpg")
    (tmp_path / "belt/belt.ini").write_text("")
    belt = names["Belt"](tmp_path / "belt")
    assert belt.recognises(tmp_path / "belt")
    assert not belt.recognises(tmp_path)
    assert [sample.defect for sample in belt.read().samples] == ["good", "reject"]
