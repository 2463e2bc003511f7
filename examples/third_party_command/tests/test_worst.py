"""The command keeps its promises and names the photograph with the spot, and the spot."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlmad.testing import parametrize_parts


@parametrize_parts("vlmad-worst")
def test_part_keeps_its_promises(check: Callable[[], None]) -> None:
    check()


def worst(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vlmad", "worst", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good photographs, and three of which the last has a dark spot."""
    rng = np.random.default_rng(0)
    for place in ("good", "photos"):
        (tmp_path / place).mkdir()
        for number in range(3):
            pixels = rng.normal(150, 5, (96, 128, 3))
            if (place, number) == ("photos", 2):
                pixels[60:80, 20:40] = 20
            path = tmp_path / place / f"{number}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return tmp_path


def test_the_photograph_with_the_spot_comes_first(folder: Path) -> None:
    done = worst("photos", "--references", "good", "--count", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    first, _second = done.stdout.splitlines()
    found = re.search(r"photos/2\.png  column (\d+), row (\d+)", first)
    assert found, done.stdout
    assert 10 <= int(found[1]) <= 50
    assert 50 <= int(found[2]) <= 90


def test_a_photograph_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "photos" / "1.png").write_bytes(b"")
    done = worst("photos", "--references", "good", cwd=folder)
    assert done.returncode == 1
    assert "photos/1.png: " in done.stderr
    assert len(done.stdout.splitlines()) == 2
