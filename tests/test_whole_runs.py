"""Whole runs of what single tests look at in parts: odd photographs, and detectors in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vlmad.testing import backbones

Command = Callable[..., Any]
WIDE = (96, 60)


@pytest.fixture(scope="module")
def model(two_layer_file: Path) -> list[str]:
    """Options that choose WinCLIP on a backbone of two layers."""
    file = Path(backbones.__file__).with_name("two_layer.json")
    return ["--backbone", f"openclip:{file}", "--weights", str(two_layer_file)]


def photograph(size: tuple[int, int] = WIDE) -> Image.Image:
    """Return a picture that looks different from each side, its upper left corner red."""
    ramp = np.linspace(40, 200, size[0] * size[1]).reshape(size[::-1]).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp[:, ::-1], ramp], -1))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, size[0] // 4, size[1] // 4), "red")
    pen.ellipse((size[0] // 2, size[1] // 2, size[0] * 0.7, size[1] * 0.9), "white")
    return image


def write_odd(folder: Path) -> dict[str, tuple[int, int]]:
    """Write images that cameras and programs make, and return the upright size of each."""
    image = photograph()
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.rotate(90, expand=True).save(folder / "turned.jpg", exif=turned, quality=95)
    with Image.open(folder / "turned.jpg") as stored:
        assert stored.size == WIDE[::-1]
        stored.rotate(-90, expand=True).save(folder / "upright.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    Image.fromarray(grey * 257).save(folder / "sixteen.png")
    image.convert("L").save(folder / "eight.png")
    palette = image.quantize(32)
    palette.save(folder / "palette.png", transparency=0)
    clear = image.copy()
    clear.putalpha(Image.new("L", WIDE, 128))
    clear.save(folder / "alpha.png")
    return {path.name: WIDE for path in folder.iterdir()}


def run(command: Command, *words: str | Path) -> dict[str, dict[str, Any]]:
    done = command("run", *words, "--out", "done", "--json")
    assert done.status == 0, done.error
    rows = [json.loads(line) for line in done.out.splitlines()]
    return {Path(row["image"]).name: row for row in rows}


def map_of(row: dict[str, Any]) -> np.ndarray:
    with Image.open(Path("done", row["map"])) as image:
        share = np.asarray(image).astype(float) / 65535
    return np.asarray(row["map_low"] + share * (row["map_high"] - row["map_low"]))


def test_odd_photographs_go_through_a_whole_run_upright_and_in_their_own_size(
    command: Command, tmp_path: Path, model: list[str]
) -> None:
    (tmp_path / "odd").mkdir()
    sizes = write_odd(tmp_path / "odd")
    rows = run(command, "odd", *model)
    assert rows.keys() == sizes.keys()
    pictures = {}
    for name, row in rows.items():
        assert map_of(row).shape == sizes[name][::-1]
        with Image.open(tmp_path / "done" / row["overlay"]) as picture:
            pictures[name] = np.asarray(picture.convert("RGB")).astype(int)
    assert map_of(rows["turned.jpg"]) == pytest.approx(map_of(rows["upright.png"]), abs=1e-4)
    assert map_of(rows["sixteen.png"]) == pytest.approx(map_of(rows["eight.png"]), abs=1e-4)
    turned, upright = (pictures[name][40:] for name in ("turned.jpg", "upright.png"))
    assert np.abs(turned - upright).mean() < 1
    corner = pictures["turned.jpg"][45:50, 10:15].mean((0, 1))
    assert corner[0] > 150 > 100 > corner[1]


@pytest.mark.slow
def test_forty_megapixels_go_through_a_whole_run_in_their_own_size(
    command: Command, tmp_path: Path, model: list[str]
) -> None:
    photograph((8000, 5000)).save(tmp_path / "large.jpg")
    [row] = run(command, "large.jpg", *model).values()
    with Image.open(tmp_path / "done" / row["map"]) as image:
        assert (image.size, image.mode) == ((8000, 5000), "I;16")
        low, high = image.getextrema()
    assert (low, high) == (0, 65535)
    with Image.open(tmp_path / "done" / row["overlay"]) as picture:
        picture.load()
        assert picture.width < 2000


@pytest.mark.parametrize("kind", ["learned", "compositional"])
def test_prompts_that_are_a_file_go_along_in_a_fitted_detector(
    command: Command,
    tmp_path: Path,
    photos: Path,
    model: list[str],
    learned_file: Path,
    kind: str,
) -> None:
    if kind == "learned":
        file = tmp_path / "learned.safetensors"
        file.write_bytes(learned_file.read_bytes())
    else:
        file = tmp_path / "states.toml"
        file.write_text(
            'normal_states = ["clean {}"]\nanomalous_states = ["torn {}"]\ntemplates = ["a {}."]\n'
        )
    chosen = [*model, "--prompt", kind, "--set", f"prompts.file={file}"]
    named = ("--references", photos / "0000.png", "--references", photos / "0001.png")
    plain = run(command, photos, *chosen, *named, "--class-name", "metal_nut")
    done = command("fit", *chosen, *named, "--class-name", "metal nut", "--quiet")
    assert done.status == 0, done.error
    file.unlink()
    (tmp_path / "done").rename(tmp_path / "before")
    fitted = run(command, photos, "--fitted", "fitted.safetensors", "--weights", model[3])
    assert [row["score"] for row in fitted.values()] == pytest.approx(
        [row["score"] for row in plain.values()], abs=1e-5
    )
    one, other = (
        json.loads((tmp_path / name / "manifest.json").read_text())["identity"]
        for name in ("before", "done")
    )
    assert one == other
    assert one["class_name"] == "metal nut"
    assert len(one["references_sha256"]) == 2
