"""A command that is repeated with the same result succeeds; one that is refused wrote nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vlmad_run.fitted import load_fitted

from .conftest import SMALL

COMMANDS = {
    "fit": (("fit", "photos", *SMALL, "--quiet"), "fitted.safetensors"),
    "calibrate": (("calibrate", "--good", "photos", *SMALL), "threshold.json"),
}


@pytest.mark.parametrize(("words", "name"), COMMANDS.values(), ids=COMMANDS)
def test_the_same_command_with_the_same_result_succeeds_again(
    words: tuple[str, ...], name: str, photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    first = command(*words)
    assert first.status == 0, first.error
    stored = (tmp_path / name).read_bytes()
    again = command(*words)
    assert (again.status, again.out) == (0, first.out)
    assert (tmp_path / name).read_bytes() == stored
    other = command(*words, "--class-name", "nut")
    assert other.status == 2
    assert f"{name} exists; " in other.error
    for path in photos.iterdir():
        Image.effect_noise((32, 24), 90).convert("RGB").save(path)
    changed = command(*words)
    assert changed.status == 2
    assert f"{name} exists and is another" in changed.error
    assert (tmp_path / name).read_bytes() == stored
    assert {path.name for path in tmp_path.iterdir()} <= {"photos", name}


@pytest.mark.slow
def test_a_fit_that_was_killed_at_any_moment_succeeds_when_it_is_repeated(
    photos: Path, signalled: Callable[..., Any], command: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("fit", "photos", *SMALL, "--quiet", "--out", "out/nut.safetensors")
    for moment in (1, 2):  # as the file is opened, and as it is renamed
        killed = signalled("SIGKILL", tmp_path / "out", moment, *words)
        killed.communicate()
        assert killed.returncode == -9
        done = command(*words)
        assert done.status == 0, done.error
        assert load_fitted(tmp_path / "out" / "nut.safetensors", {}).references
        again = command(*words)
        assert again.status == 0, again.error
        (tmp_path / "out" / "nut.safetensors").unlink()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_calibration_that_cannot_be_printed_says_that_its_file_is_whole(
    words: tuple[str, ...], photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("calibrate", "--good", "photos", *SMALL, *words)
    start = [sys.executable, "-m", "vlmad", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(start, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "threshold.json is written, but standard output is not: No space left" in done.stderr
    again = command(*words)
    assert again.status == 0, again.error


REFUSED = {
    "a layer beyond the model": (
        ("--extractor", "window", "--set", "extractor.patch_layer=99"),
        "has layers 1 to",
    ),
    "no references": (("--scorer", "needs-references"), "needs normal images"),
    "a name that is too long": (
        ("--prompt", "compositional", "--class-name", "x " * 90),
        "is longer than the 77 tokens",
    ),
}

NEEDS = """
import torch
from vlmad import Prediction, Scorer, hookimpl

class Needs(Scorer):
    references = "required"

    def __call__(self, features, text, memory):
        count = len(features)
        return Prediction(torch.zeros(count), torch.zeros(count, *features.image_size))

@hookimpl
def register_scorers(register):
    register("needs-references", Needs, "compares with references alone")
"""


@pytest.mark.parametrize(("words", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_the_parts_refuse_is_refused_before_a_folder_is_made(
    words: tuple[str, ...],
    reason: str,
    photos: Path,
    command: Callable[..., Any],
    tmp_path: Path,
    install: Callable[..., Path],
) -> None:
    install("needs-references", NEEDS)
    before = sorted(path.name for path in tmp_path.iterdir())
    for out in ((), ("--out", "out")):
        ended = command("run", "photos", *words, *out)
        assert ended.status == 2, ended.out
        assert reason in ended.error
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_bench_whose_parts_refuse_leaves_no_folder(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    for split, kind in (("train", "good"), ("test", "good"), ("test", "bad")):
        folder = tmp_path / "set" / "nut" / split / kind
        folder.mkdir(parents=True)
        Image.effect_noise((32, 24), 60).convert("RGB").save(folder / "000.png")
    words = ("--set", "extractor.patch_layer=99", "--out", "out")
    for name in ("bench", "grid"):
        ended = command(name, "set", *words)
        assert ended.status == 2, ended.out
        assert "has layers 1 to" in ended.error
        assert not (tmp_path / "out").exists()
