"""The cookbook shows files that are there, and what it says to run works."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from vlmad.testing import check_part

from .conftest import Ended, noise

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import cookbook  # noqa: E402  (the scripts are no package)

TEXT = cookbook.PAGE.read_text(encoding="utf-8")
COMMANDS = re.findall(r"^vlmad .*$", TEXT, re.MULTILINE)
OWN = sorted((ROOT / "examples" / "cookbook").glob("*.py"))


def test_the_page_shows_the_files_as_they_are() -> None:
    """Written by ``python docs/cookbook.py``."""
    assert cookbook.filled(TEXT) == TEXT


def test_the_page_shows_every_file_of_its_own() -> None:
    shown = {path for _, path, _ in cookbook.SHOWN.findall(TEXT)}
    own = {f"examples/cookbook/{path.name}" for path in (ROOT / "examples/cookbook").glob("*.*")}
    assert own <= shown


@pytest.fixture
def plugins(install: Callable[..., Path], tmp_path: Path) -> Path:
    """All that the page shows, installed, and weights in the working folder."""
    for path in OWN:
        install(path.stem.replace("_", "-"), path.read_text(encoding="utf-8"))
    for package in sorted((ROOT / "examples").glob("third_party*/vlmad_*/")):
        site = install(package.name.replace("_", "-"), "")
        (site / f"{package.name}.py").unlink()
        shutil.copytree(package, site / package.name)
    shutil.copy(ROOT / "examples" / "cookbook" / "louder.toml", tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_commands_on_the_page_work(
    line: str, plugins: Path, command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROWS", "WIDTH", "TRIALS"):
        monkeypatch.setattr(f"vlmad_speed.encoding_ways.{name}", 8)
    for name in ("photos", "good"):
        noise(plugins / name, 2)
    done = command(*line.split()[1:])
    assert done.status == 0, done.error


@pytest.mark.slow
def test_the_network_of_the_page_keeps_its_promises(plugins: Path) -> None:
    check_part("backbone", "resnet", {"weights": plugins / "resnet18.pth", "device": "cpu"})


@pytest.mark.slow
def test_what_is_no_such_network_is_refused(plugins: Path, command: Callable[..., Ended]) -> None:
    noise(plugins / "photos", 1)
    (plugins / "broken.pth").write_bytes(b"no weights")
    torch.save({"conv1.weight": torch.zeros(1)}, plugins / "other.pth")
    for name in ("broken", "other"):
        words = ("--backbone", f"resnet:{name}.pth", "--references", "photos")
        done = command("run", "photos", *words)
        assert done.status == 2
        assert f"{name}.pth is no ResNet-18" in done.error
