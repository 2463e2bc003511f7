"""What becomes of normal images that are named: how many are taken."""

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

from vlmad_openclip.store import tensor_digest
from vlmad_run import references

from .conftest import SMALL, noise

PATCHES = (*SMALL, "--extractor", "patches", "--scorer", "nearest")
QUIET = ("--quiet", "--overlays", "none")


def scores(out: Path) -> list[tuple[str, float]]:
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]
    return [(Path(line["image"]).name, line["score"]) for line in lines]


def remembered(out: Path) -> list[str]:
    manifest = json.loads((out / "manifest.json").read_text())
    return [Path(each["path"]).name for each in manifest["references"]]


def test_a_folder_of_references_is_taken_whole_by_what_has_nothing_else(
    photos: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = noise(tmp_path / "good", 7, seed=1)
    words = ("run", photos, *PATCHES, *QUIET, "--references", good, "--out")
    assert command(*words, "whole").status == 0
    assert remembered(tmp_path / "whole") == sorted(path.name for path in good.iterdir())
    monkeypatch.setattr(references, "MOST_WHOLE", 5)
    loud = [word for word in words if word != "--quiet"]
    ended = command(*loud, "limited")
    assert len(remembered(tmp_path / "limited")) == 5
    assert "5 of 7 references are drawn; --shots takes another number" in ended.error


@pytest.mark.parametrize(
    "detector",
    [
        ("--detector", "winclip"),
        ("--prompt", "learned", "--extractor", "window"),
        ("--scorer", "harmonic"),
    ],
    ids=" ".join,
)
def test_scorers_of_text_draw_four_references_of_a_folder_as_ever(
    detector: tuple[str, ...],
    photos: Path,
    command: Callable[..., Any],
    tmp_path: Path,
    learned_file: Path,
) -> None:
    good = noise(tmp_path / "good", 7, seed=1)
    learned = ("--set", f"prompts.file={learned_file}") if "learned" in detector else ()
    words = ("run", photos, *SMALL, *detector, *learned, *QUIET, "--references", good, "--out")
    assert command(*words, "usual").status == 0
    assert command(*words, "four", "--shots", "4").status == 0
    assert len(remembered(tmp_path / "usual")) == 4
    assert remembered(tmp_path / "usual") == remembered(tmp_path / "four")
    assert scores(tmp_path / "usual") == scores(tmp_path / "four")


# adding to a fitted detector


def stored(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["vlmad"])


GAUSSIAN = (*SMALL, "--extractor", "patches", "--scorer", "gaussian")
EACH = (*GAUSSIAN, "--set", "scorer.positions=each")
SUBSPACE = (*SMALL, "--extractor", "patches", "--scorer", "subspace")
HARMONIC = (*SMALL, "--scorer", "harmonic")


@pytest.fixture
def goods(tmp_path: Path) -> tuple[Path, Path]:
    return noise(tmp_path / "good", 3, seed=1), noise(tmp_path / "more", 2, seed=2)


@pytest.mark.parametrize(
    ("detector", "same_bits"),
    [(HARMONIC, True), (EACH, True), (GAUSSIAN, False), (SUBSPACE, False)],
    ids=["harmonic", "each position", "gaussian", "subspace"],
)
def test_adding_references_gives_what_fitting_all_at_once_gives(
    detector: tuple[str, ...],
    same_bits: bool,
    goods: tuple[Path, Path],
    command: Callable[..., Any],
    tmp_path: Path,
) -> None:
    named = (*detector, "--class-name", "metal nut", "--quiet", "--keep-all", "--out")
    assert command("fit", goods[0], *named, "few.safetensors").status == 0
    words = ("fit", goods[1], "--add-to", "few.safetensors", "--quiet", "--out", "all.safetensors")
    ended = command(*words)
    assert ended.status == 0, ended.error
    assert command("fit", *goods, *named, "once.safetensors").status == 0
    added, document = stored(tmp_path / "all.safetensors")
    once, expected = stored(tmp_path / "once.safetensors")
    assert document["manifest"]["identity"] == expected["manifest"]["identity"]
    assert document["manifest"]["references"] == expected["manifest"]["references"]
    assert added.keys() == once.keys()
    for name, tensor in added.items():
        if same_bits:
            assert tensor_digest(tensor) == tensor_digest(once[name])
        else:  # sums of 64 bits, rounded in another order
            torch.testing.assert_close(tensor, once[name], rtol=1e-12, atol=1e-12)


def test_a_reference_that_is_remembered_already_is_refused_by_name(
    goods: tuple[Path, Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    fitted = ("fit", goods[0], *HARMONIC, "--keep-all", "--quiet", "--out", "few.safetensors")
    assert command(*fitted).status == 0
    (goods[1] / "copy.png").write_bytes((goods[0] / "0001.png").read_bytes())
    ended = command("fit", goods[1], "--add-to", "few.safetensors", "--out", "all.safetensors")
    assert ended.status == 2
    assert f"copy.png is a reference already, as {goods[0]}/0001.png; leave it out" in ended.error
    ended = command("fit", goods[1], "--add-to", "few.safetensors", "--scorer", "nearest")
    assert ended.status == 2
    assert "--add-to brings its own parts: leave out --scorer" in ended.error
    assert not (tmp_path / "all.safetensors").exists()


def test_references_are_read_anew_where_more_of_them_are_remembered_otherwise(
    goods: tuple[Path, Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    few = noise(tmp_path / "few", 1, seed=3)
    assert command("fit", few, *GAUSSIAN, "--quiet", "--out", "few.safetensors").status == 0
    _, document = stored(tmp_path / "few.safetensors")
    assert len(document["manifest"]["views"]) == 7
    add = ("fit", goods[0], "--add-to", "few.safetensors", "--out")
    ended = command(*add, "all.safetensors")
    assert ended.status == 0, ended.error
    assert "remembers 7 turned or mirrored copies of each of 1 references" in ended.error
    assert "of each of 4 it would be 0: all references were read anew" in ended.error
    once = ("fit", few, goods[0], *GAUSSIAN, "--keep-all", "--quiet", "--out", "once.safetensors")
    assert command(*once).status == 0
    added, expected = (stored(tmp_path / f"{name}.safetensors") for name in ("all", "once"))
    assert added[1]["tensors"] == expected[1]["tensors"]
    assert added[1]["manifest"]["views"] == []
    (few / "0000.png").unlink()
    ended = command(*add, "third.safetensors")
    assert ended.status == 2
    assert "and those are not there any more; fit all at once" in ended.error
    assert not (tmp_path / "third.safetensors").exists()


def coloured(folder: Path, colour: tuple[int, int, int], count: int, seed: int) -> Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        values = np.full((24, 32, 3), colour) + rng.integers(-20, 21, (24, 32, 3))
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{colour[0]}-{seed}-{index}.png")
    return folder


def test_good_parts_of_two_colours_are_both_good(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    red, blue, green = (200, 60, 60), (60, 60, 200), (90, 230, 90)
    for colour in (red, blue):
        coloured(tmp_path / "good", colour, 4, seed=1)
    for colour in (red, blue, green):
        coloured(tmp_path / "photos", colour, 2, seed=2)
    run = ("run", "photos", *PATCHES, *QUIET, "--references", "good", "--out", "out")
    assert command(*run).status == 0
    found = {name.split("-")[0]: score for name, score in scores(tmp_path / "out")}
    assert max(found["200"], found["60"]) < 0.5 * found["90"]
