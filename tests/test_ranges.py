"""One rule for a run says which values of more than 8 bits are black and white."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from vlmad.errors import OptionError
from vlmad_formats.reading import Reading
from vlmad_run.choosing import Choice
from vlmad_run.manifest import read_manifest

SAMPLES = Path(__file__).parents[1] / "examples" / "samples" / "cloth" / "test"


def twelve_bits(source: Path, target: Path) -> Path:
    """Store a photograph as 12 bits in a container of 16 that does not say so."""
    grey = np.asarray(Image.open(source).convert("L"), np.float64) / 255
    target.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(target, (grey * 4095).round().astype(np.uint16))
    return target


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Good and torn cloth in 12 of 16 bits, and two of the same in 8 bits of grey."""
    for kind in ("good", "hole"):
        for index in range(2):
            source = SAMPLES / kind / f"{index:03}.png"
            twelve_bits(source, tmp_path / "deep" / kind / f"{index}.tif")
            plain = tmp_path / "plain" / kind / f"{index}.png"
            plain.parent.mkdir(parents=True, exist_ok=True)
            Image.open(source).convert("L").save(plain)
    return tmp_path


def scores(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return [row["score"] for row in sorted(rows, key=lambda row: row["image"])]


def test_twelve_bits_in_sixteen_score_as_eight_bits_do(
    parts: Path, command: Callable[..., Any]
) -> None:
    assert command("run", "plain", "--out", "eight").status == 0
    ended = command("run", "deep", "--out", "twelve")
    assert ended.status == 0
    assert "0 is black, 4095 white" in ended.error
    assert scores(parts / "twelve") == pytest.approx(scores(parts / "eight"), abs=0.02)
    manifest = read_manifest(parts / "twelve")
    assert manifest is not None
    assert manifest.identity.reading == "auto:4095/1"
    dark = command("run", "deep", "--range", "16", "--out", "dark")
    assert dark.status == 0
    assert scores(parts / "dark") != pytest.approx(scores(parts / "eight"), abs=0.02)


@pytest.mark.slow
def test_a_fitted_detector_reads_by_the_rule_of_its_references(
    parts: Path, command: Callable[..., Any]
) -> None:
    assert command("fit", "deep/good", "--out", "cloth.safetensors").status == 0
    one = twelve_bits(SAMPLES / "hole" / "000.png", parts / "one" / "a.tif")
    bright = np.asarray(tifffile.imread(one)).astype(np.uint32) * 16  # as if of 16 bits
    tifffile.imwrite(parts / "one" / "b.tif", bright.astype(np.uint16))
    ended = command("run", "one", "--model", "cloth.safetensors", "--out", "out")
    assert ended.status == 0
    manifest = read_manifest(parts / "out")
    assert manifest is not None
    assert manifest.identity.reading == "auto:4095/1"
    assert "b.tif: its values end at" in ended.error
    assert command("run", "one", "--model", "cloth.safetensors", "--range", "16").status == 2


@pytest.mark.slow
def test_one_range_is_that_of_references_and_photographs_and_of_a_repetition(
    parts: Path, command: Callable[..., Any]
) -> None:
    words = ("run", "deep/hole", "--references", "deep/good", "--shots", "2")
    assert command(*words, "--out", "first").status == 0
    ended = command("run", "--manifest", "first/manifest.json", "--out", "again")
    assert ended.status == 0
    assert "scores agree" in ended.error
    assert scores(parts / "again") == scores(parts / "first")


def test_eight_bits_leave_nothing_to_decide(parts: Path, command: Callable[..., Any]) -> None:
    assert command("run", "plain/good", "--out", "out").status == 0
    manifest = read_manifest(parts / "out")
    assert manifest is not None
    assert manifest.identity.reading == "auto"


@pytest.mark.slow
def test_pages_and_limits_are_options_of_images(parts: Path, command: Callable[..., Any]) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
    tifffile.imwrite(parts / "two.tif", np.stack([ramp * 0 + 90, ramp]), photometric="minisblack")
    first = command("run", "two.tif", "--out", "first")
    second = command("run", "two.tif", "--set", "image.page=2", "--out", "second")
    assert "page 1 of 2" in first.error
    assert "page 2 of 2" in second.error
    assert scores(parts / "first") != scores(parts / "second")
    refused = command("run", "two.tif", "--set", "image.most_pixels=100", "--out", "none")
    assert refused.status == 1
    assert "48 pixels are more than 100" in refused.error
    assert "--set image.most_pixels=N allows more" in refused.error


def test_how_images_are_read_is_checked_before_anything_is_read() -> None:
    settings = ["image.page=2", "scorer.sigma=2"]
    choice = Choice(range="12", settings=settings)
    assert choice.reading() == Reading("12", 2)
    assert choice.options() == {"scorer": {"sigma": "2"}}
    with pytest.raises(OptionError, match="did you mean 'page'"):
        Choice(settings=["image.pag=2"]).reading()
    with pytest.raises(OptionError, match="range takes auto, full, a number of bits or LOW:HIGH"):
        Choice(range="wide").reading()
