"""What `vlmad train --synthesise` learns from: drawn defects that the backbone sees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from vlmad_train import visible_drawings
from vlmad_train.history import TrainingHistory
from vlmad_train.visible_drawings import ChosenDrawing, VisibleDrawings

from .conftest import SMALL, Ended

Command = Callable[..., Ended]
KINDS = '''
import numpy as np
from vlmad import hookimpl

class Faint:
    """One pixel, a little brighter or darker."""

    def __call__(self, image, rng):
        region = np.zeros(image.shape[:2], bool)
        top, left = (int(rng.integers(size)) for size in region.shape)
        region[top, left] = True
        image[top, left] += np.where(image[top, left] < 128, 13, -13).astype(np.uint8)
        return image, region

class Square:
    """A white square of half the image's width with a black one in it."""

    def __call__(self, image, rng):
        region = np.zeros(image.shape[:2], bool)
        top, left = (int(rng.integers(size // 2)) for size in region.shape)
        region[top : top + 24, left : left + 24] = True
        image[region] = 255
        image[top + 6 : top + 18, left + 6 : left + 18] = 0
        return image, region

class Shy(Square):
    """A square in bright images, one pixel in dark ones."""

    def __call__(self, image, rng):
        return Faint()(image, rng) if image.mean() < 110 else super().__call__(image, rng)

@hookimpl
def register_defects(register):
    for kind in (Faint, Square, Shy):
        register(kind.__name__.lower(), kind)
'''


@pytest.fixture
def good(tmp_path: Path, install: Callable[..., Path]) -> Path:
    """Three images of noise, the second of them dark, and a plugin that draws in them."""
    install("odd_kinds", KINDS)
    folder = tmp_path / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, least in enumerate((150, 20, 150)):
        pixels = rng.integers(least, least + 40, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


WORDS = ("--prompt", "learned", "--extractor", "dense", *SMALL, "--set", "backbone.image_size=80")
MORE = ("--batch-size", "2", "--epochs", "2", "--held-out", "none")


def drawings(out: str) -> VisibleDrawings:
    return VisibleDrawings.read(Path(f"{out}-training/drawings.json"))


def test_what_the_backbone_does_not_see_is_left_out_and_said(command: Command, good: Path) -> None:
    words = ("train", good, *WORDS, *MORE, "--synthesise", "shy", "--out", "s.safetensors")
    done = command(*words, "--keep-features")
    assert done.status == 0, done.error
    assert drawings("s").taken == [ChosenDrawing(kind="shy"), None, ChosenDrawing(kind="shy")]
    said = " ".join(done.error.split())
    assert "before: are the 3 drawn defects seen by the backbone, about" in said
    assert "of 3 defects 0 were drawn again until the backbone saw them, and 1 left out" in said
    kept = [load_file(path) for path in sorted(Path("s-training/features").iterdir())]
    assert [bool(each["mask"].any()) for each in kept] == [False, True, False, False, True]


def test_another_kind_is_drawn_where_one_is_never_seen(command: Command, good: Path) -> None:
    words = ("train", good, *WORDS, *MORE, "--synthesise", "faint,square", "--drawings", "2")
    done = command(*words, "--out", "a.safetensors")
    assert done.status == 0, done.error
    found = drawings("a")
    assert [each and each.kind for each in found.taken] == ["square"] * 6
    assert 0 < found.again < 6
    assert f"{found.again} were drawn again" in " ".join(done.error.split())
    begun = Path("b-training")
    begun.mkdir()
    shutil.copy("a-training/training.json", begun)
    found.model_copy(update={"taken": found.taken[:2]}).write(begun / "drawings.json")
    assert command(*words, "--out", "b.safetensors").status == 0
    assert drawings("b") == found
    assert Path("b.safetensors").read_bytes() == Path("a.safetensors").read_bytes()
    assert command(*words, "--disk", "0", "--out", "c.safetensors").status == 0
    assert drawings("c") == found
    losses = [
        [
            epoch.training.loss
            for epoch in TrainingHistory.read(Path(f"{out}-training/history.json")).epochs
        ]
        for out in "ac"
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_a_backbone_that_sees_no_defect_is_refused(command: Command, good: Path) -> None:
    done = command("train", good, *WORDS, *MORE, "--synthesise", "faint")
    assert done.status == 2
    assert "the backbone sees none of the 3 defects that were drawn" in done.error
    assert "--synthesise" in done.error


def test_without_regions_all_are_taken_and_that_is_said(
    command: Command, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = visible_drawings._features
    monkeypatch.setattr(
        visible_drawings, "_features", lambda *given: replace(usual(*given), regions=())
    )
    done = command("train", good, *WORDS, *MORE, "--synthesise", "faint")
    assert done.status == 0, done.error
    assert drawings("learned").taken == [ChosenDrawing(kind="faint")] * 3
    assert "drawings: all are taken, because without regions" in " ".join(done.error.split())
