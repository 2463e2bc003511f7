"""`vlmad synthesise`: a data set that other commands read, and a sheet to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Ended, noise

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_datasets import open_dataset
from vlmad_datasets.masks import mask_of
from vlmad_synthesis._synthetic_folder import SyntheticFolder, plan
from vlmad_synthesis.good_images import find_good

Command = Callable[..., Ended]
KINDS = ("--kinds", "cutpaste,hole")
DOCS = Path(__file__).parents[1] / "docs" / "synthesis.md"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder of six good images."""
    return noise(tmp_path / "parts", 6)


def test_the_folder_is_a_data_set_with_exact_masks(good: Path, command: Command) -> None:
    done = command("synthesise", good, *KINDS, "--each", 3, "--out", "drawn")
    assert done.status == 0, done.error
    assert done.out == "6 defective and 6 good pictures, 3 references: drawn\n"
    opened = open_dataset("drawn")
    assert opened.categories == ("parts",)
    assert len(opened.select(split="train")) == 3
    made = SyntheticFolder.read(Path("drawn/synthesis.json"))
    facts = {picture.file: picture for picture in made.pictures}
    tested = opened.select(split="test")
    assert len(tested) == len(facts) == 12
    for sample in tested:
        fact = facts[sample.image.relative_to("drawn").as_posix()]
        mask = mask_of(sample)
        assert mask is not None
        assert fact.kind == sample.defect
        assert fact.marked == pytest.approx(mask.mean())
        if fact.disturbed is None:
            before, after = (np.asarray(decode(Path(p))) for p in (fact.made_of, sample.image))
            assert (before == after)[~mask].all()
            assert (before != after).any() == sample.anomalous


def test_references_are_not_drawn_in(good: Path) -> None:
    referred, planned = plan({"parts": sorted(good.iterdir())}, ["hole", "dent"], 5, seed=0)
    assert len(referred) == 3
    assert {path for _, path in referred}.isdisjoint(each.made_of for each in planned)
    assert sum(each.kind == "good" for each in planned) == len(planned) / 2


def test_no_two_good_pictures_are_the_same(good: Path) -> None:
    _, planned = plan({"parts": sorted(good.iterdir())}, ["hole"], 20, seed=0)
    plain = [each.made_of for each in planned if each.kind == "good" and not each.disturbed]
    assert len(plain) == len(set(plain)) == 3


def test_one_image_alone_cannot_be_divided(good: Path) -> None:
    with pytest.raises(InputError, match="category 'parts' has one good image; two are needed"):
        plan({"parts": [good / "0000.png"]}, ["hole"], 1, seed=0)


def test_the_same_seed_writes_the_same_and_another_does_not(good: Path, command: Command) -> None:
    for seed, out in ((3, "one"), (3, "same"), (4, "other")):
        assert command("synthesise", good, *KINDS, "--seed", seed, "--out", out).status == 0
    one, same, other = (
        [path.read_bytes() for path in sorted(Path(out).rglob("*.png"))]
        for out in ("one", "same", "other")
    )
    assert one == same
    assert one != other


def test_a_sheet_has_a_row_for_each_kind(good: Path, command: Command) -> None:
    done = command("synthesise", good, *KINDS, "--preview", "--out", "sheets")
    assert (done.status, done.out) == (0, "sheet: sheets/preview.png\n")
    assert [path.name for path in Path("sheets").iterdir()] == ["preview.png"]
    two = decode(Path("sheets/preview.png"))
    command("synthesise", good, "--kinds", "hole", "--preview", "--out", "sheets")
    one = decode(Path("sheets/preview.png"))
    assert two.height / one.height == 3 / 2  # the last row shows what is no defect


def test_a_sheet_shows_every_category(tmp_path: Path, command: Command) -> None:
    for name, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "set" / name / "train" / "good"
        folder.mkdir(parents=True)
        for index in range(5):
            Image.new("RGB", (40, 40), (level + index,) * 3).save(folder / f"{index}.png")
    command("synthesise", "set", "--kinds", "hole", "--preview", "--out", "sheets")
    sheet = np.asarray(decode(Path("sheets/preview.png")))
    whole, _, other, _ = (sheet[22:212, left : left + 190] for left in range(6, 790, 196))
    assert np.median(whole) < 60
    assert np.median(other) > 180


def test_only_good_images_for_training_are_drawn_in(tmp_path: Path) -> None:
    for place in ("train/good", "test/good", "test/cut"):
        (tmp_path / "nuts" / place).parent.mkdir(parents=True, exist_ok=True)
        noise(tmp_path / "nuts" / place, 2)
    assert find_good(tmp_path / "nuts") == {
        "nuts": [tmp_path / "nuts/train/good" / f"{i:04d}.png" for i in range(2)]
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kinds", "cutpast"), "no defect is called 'cutpast'; did you mean 'cutpaste'?"),
        (("--kinds", ""), "no defect is called ''"),
        ((*KINDS, "--set", "defect.radios=1"), "no option 'radios' of cutpaste, hole; did you"),
        ((*KINDS, "--set", "hole.radius=1"), "'hole.radius=1': no kind 'hole'"),
        ((*KINDS, "--set", "defect.radius=a"), "defect 'hole': option 'radius' takes"),
        ((*KINDS, "--category", "nut"), "is no data set, so that it has no categories"),
        ((*KINDS, "--out", "parts"), "parts exists and holds something; choose another --out"),
    ],
)
def test_what_cannot_be_done_is_said(
    good: Path, command: Command, words: tuple[str, ...], message: str
) -> None:
    done = command("synthesise", good, *words)
    assert done.status == 2
    assert message in done.error
    assert not Path("vlmad-runs").exists()


def test_the_kind_of_the_documentation_is_drawn(
    good: Path, command: Command, install: Callable[..., Path]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    install("splotch", next(block for block in blocks if "class Splotch" in block))
    words = ("--kinds", "splotch", "--set", "defect.side=6", "--each", 1, "--out", "drawn")
    done = command("synthesise", good, *words)
    assert done.status == 0, done.error
    mask = np.asarray(decode(Path("drawn/parts/ground_truth/splotch/000_mask.png")))[..., 0]
    assert (mask > 0).sum() == 36
