"""Small data sets, drawn into a test's own folder."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

from vlmad.registry import Registry

SIZE = (12, 8)


@pytest.fixture(autouse=True)
def _search_for_plugins_once(
    request: pytest.FixtureRequest, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "install" not in request.fixturenames:
        monkeypatch.setattr(Registry, "discover", lambda: registry)


class Draw(Protocol):
    def __call__(self, name: str, size: tuple[int, int] = SIZE, **save: Any) -> Path: ...


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """A function that writes an image of its own into the test's folder."""
    numbers = itertools.count(1)

    def write(name: str, size: tuple[int, int] = SIZE, **save: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(next(numbers)).integers(0, 256, (*size[::-1], 3))
        Image.fromarray(noise.astype(np.uint8)).save(path, **save)
        return path

    return write


@pytest.fixture
def draw_mask(tmp_path: Path) -> Draw:
    """A function that writes a mask whose 3 x 2 pixels at (1, 1) are set."""

    def write(name: str, size: tuple[int, int] = SIZE, value: int = 255, **save: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        marked = np.zeros(size[::-1], np.uint8)
        marked[1:3, 1:4] = value
        Image.fromarray(marked).save(path, **save)
        return path

    return write


@pytest.fixture
def nuts(tmp_path: Path, draw: Draw, draw_mask: Draw) -> Path:
    """One category of MVTec AD's layout without a fault: the folder that holds it."""
    for name in ("train/good/000", "train/good/001", "test/good/000", "test/bent/000"):
        draw(f"set/metal_nut/{name}.png")
    draw("set/metal_nut/test/scratch/000.PNG", format="PNG")
    draw_mask("set/metal_nut/ground_truth/bent/000_mask.png")
    draw_mask("set/metal_nut/ground_truth/scratch/000_mask.png")
    return tmp_path / "set"
