"""What lies outside of a region of interest is neither remembered nor scored, and is shown so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from vlmad.errors import InputError
from vlmad.images import Source
from vlmad.loading import load
from vlmad.resizing import parse_resizing
from vlmad.types import ImageBatch, Preprocessing, View
from vlmad_openclip.store import tensor_digest
from vlmad_run.region_of_interest import RegionOfInterest, read_region

from .conftest import SMALL, noise

GREY = Preprocessing((60, 60), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
GAUSSIAN = (*SMALL, "--extractor", "patches", "--scorer", "gaussian")
FIT = ("--quiet", "--keep-all", "--out", "nut.safetensors")
QUIET = ("--quiet", "--overlays", "none")


def drawn(width: int, height: int) -> Image.Image:
    """A bright shape without any symmetry on black."""
    rows, columns = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    inside = ((rows - 0.4) ** 2 + (columns - 0.3) ** 2 < 0.05) | (rows > 0.8)
    return Image.fromarray(inside.astype(np.uint8) * 255)


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (120, 120)])
@pytest.mark.parametrize("resize", ["squash", "pad", "tiles:2"])
@pytest.mark.parametrize("view", [View(), View(90, True), View(180), View(20)], ids=str)
def test_a_region_lies_where_the_same_shape_lies_in_the_pixels_that_a_model_gets(
    size: tuple[int, int], resize: str, view: View
) -> None:
    shape = drawn(*size)
    region = RegionOfInterest(np.asarray(shape.resize((size[0] * 2, size[1] * 2), 0)) > 127)
    source, resizing = Source("photo", shape.convert("RGB")).seen(view), parse_resizing(resize)
    [pieces] = load([source], resizing, [GREY], 1)
    batch = ImageBatch(tuple(pieces), resizing.of_each)
    bright = batch.pixels(GREY)[:, 0] > 0.5
    found = region(batch, GREY.size)
    assert (found == bright).float().mean() > 0.97
    assert 0.05 < float(found.float().mean()) < 0.6


def test_an_image_of_another_format_than_the_mask_is_refused_by_name() -> None:
    region = RegionOfInterest(np.asarray(drawn(40, 30)) > 127)
    batch = ImageBatch((Source("wide.png", Image.new("RGB", (80, 30))),))
    with pytest.raises(InputError, match=r"wide\.png is 80 x 30, the region of interest 40 x 30"):
        region(batch, (60, 60))


def test_a_mask_marks_what_is_bright_in_any_range_and_ignoring_is_the_reverse(
    tmp_path: Path,
) -> None:
    shape = drawn(40, 30)
    shape.save(tmp_path / "white.png")
    shape.point([level // 255 for level in range(256)]).save(tmp_path / "ones.png")
    shape.save(tmp_path / "lossy.jpg", quality=60)
    Image.fromarray(255 - np.asarray(shape)).save(tmp_path / "reverse.png")
    white = read_region(tmp_path / "white.png", ignored=False)
    assert white.sha256 == read_region(tmp_path / "ones.png", ignored=False).sha256
    assert white.sha256 == read_region(tmp_path / "reverse.png", ignored=True).sha256
    assert white.sha256 != read_region(tmp_path / "white.png", ignored=True).sha256
    lossy = read_region(tmp_path / "lossy.jpg", ignored=False)
    assert (lossy.mask == white.mask).mean() > 0.98
    for level, what in ((0, "nothing"), (255, "all")):
        Image.new("L", (9, 9), level).save(tmp_path / "flat.png")
        with pytest.raises(InputError, match=rf"flat\.png: the mask marks {what}"):
            read_region(tmp_path / "flat.png", ignored=False)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]


def test_a_region_of_interest_travels_in_the_fitted_file_and_shows_in_overlays(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    good = noise(tmp_path / "good", 4, seed=1)
    left = np.zeros((24, 32), np.uint8)
    left[:, :16] = 255
    Image.fromarray(left).save(tmp_path / "left.png")
    Image.fromarray(255 - left).save(tmp_path / "right.png")
    named = ("--references", good, "--roi", "left.png")
    assert command("run", photos, *GAUSSIAN, *named, "--quiet", "--out", "here").status == 0
    fit = ("fit", good, *GAUSSIAN, "--ignore", "right.png", *FIT)
    assert command(*fit).status == 0
    for name in ("left.png", "right.png"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    run = ("run", photos, "--model", "nut.safetensors", *QUIET)
    assert command(*run, "--out", "there").status == 0
    assert [row["score"] for row in rows(tmp_path / "there")] == [
        row["score"] for row in rows(tmp_path / "here")
    ]
    assert command("run", photos, *GAUSSIAN, "--references", good, *QUIET, "--out", "whole") == (
        0, "", "",
    )  # fmt: skip
    for row, whole in zip(rows(tmp_path / "here"), rows(tmp_path / "whole"), strict=True):
        assert row["score"] != whole["score"]
        stored = np.asarray(Image.open(tmp_path / "here" / row["map"]))
        assert not stored[:, 17:].any()
        assert stored[:, :15].any()
        overlay = np.asarray(Image.open(tmp_path / "here" / row["overlay"]).convert("L"))
        shown = overlay[28:, :256]  # eight times as large, under a caption
        assert shown[:, 144:].mean() < 0.6 * shown[:, :112].mean()
    (tmp_path / "moved-left.png").rename(tmp_path / "left.png")
    again = command("run", "--manifest", "here", *QUIET, "--out", "again")
    assert again.status == 0
    assert "scores agree: 6 compared, largest difference 0" in again.error
    Image.fromarray(255 - left).save(tmp_path / "left.png")
    changed = command("run", "--manifest", "here", *QUIET, "--out", "third")
    assert changed.status == 2
    assert "left.png, which is not known to be the file it was" in changed.error


def test_what_looks_at_whole_images_is_refused_with_a_region_of_interest(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    drawn(32, 24).save(tmp_path / "mask.png")
    for words, message in (
        (("--roi", "mask.png", "--scorer", "harmonic"), "scorer 'harmonic' looks at whole images"),
        (("--roi", "mask.png", "--ignore", "mask.png"), "give one --roi or --ignore"),
        (("--roi", "none.png"), "none.png: No such file"),
    ):
        ended = command("run", photos, *SMALL, *words, "--references", photos)
        assert ended.status == 2
        assert message in ended.error
        assert len(ended.error.splitlines()) == 1


def test_a_region_that_is_no_mask_is_refused_though_its_digest_is_right(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    drawn(32, 24).save(tmp_path / "mask.png")
    fit = ("fit", photos, *GAUSSIAN, "--roi", "mask.png", *FIT)
    assert command(*fit).status == 0
    with safe_open(tmp_path / "nut.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(file.metadata()["vlmad"])
    whole = tensors["inside"]
    for forged, message in (
        (whole.float(), "'inside' is no mask"),
        (whole.flatten(), "'inside' is no mask"),
        (torch.zeros_like(whole), "'inside' is no mask"),
        (~whole, "was fitted with something else: inside_sha256"),
    ):
        tensors["inside"] = forged.contiguous()
        document["tensors"] = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
        save_file(tensors, tmp_path / "odd.safetensors", {"vlmad": json.dumps(document)})
        ended = command("run", photos, "--model", "odd.safetensors")
        assert ended.status == 2
        assert message in ended.error
