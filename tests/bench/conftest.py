"""Small data sets and a small backbone, so that a whole bench takes seconds."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad.testing import TWO_LAYERS

from ..conftest import Done, vlmad  # noqa: TID252 (tests are no package)

SIZE = 40
Bench = Callable[..., Done]


def draw_category(
    folder: Path, normal: int, anomalous: int, train: int = 3, masks: bool = True, size: int = SIZE
) -> None:
    """Write a category of MVTec AD's layout: noise, and noise with a bright square."""
    rng = np.random.default_rng(len(folder.name))
    for split, kind, count in (
        ("train", "good", train),
        ("test", "good", normal),
        ("test", "spot", anomalous),
    ):
        for index in range(count):
            pixels = rng.integers(60, 120, (size, size, 3)).astype(np.uint8)
            mask = np.zeros((size, size), np.uint8)
            if kind == "spot":
                mask[2 + index : 8 + index, 3:9] = 255
                pixels[mask > 0] = 250
            name = f"{index:03d}"
            _save(folder / split / kind / f"{name}.png", pixels)
            if kind == "spot" and masks:
                _save(folder / "ground_truth" / kind / f"{name}_mask.png", mask)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def two_categories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category with masks and one without."""
    folder = tmp_path_factory.mktemp("sets") / "parts"
    draw_category(folder / "bolt", normal=4, anomalous=4)
    draw_category(folder / "nut", normal=3, anomalous=3, train=1, masks=False)
    return folder


@pytest.fixture(scope="session")
def small(two_layer_file: Path) -> list[str]:
    """The options that choose a backbone of two layers."""
    return ["--backbone", f"openclip:{TWO_LAYERS}", "--set", f"backbone.weights={two_layer_file}"]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a bench is run in: a cache of its own, one thread, wide lines."""
    cache = tmp_path_factory.mktemp("cache")
    own = {"COLUMNS": "140", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "VLMAD_CACHE": str(cache)}
    return {**os.environ, **own}


@pytest.fixture(scope="session")
def run_vlmad(environment: dict[str, str]) -> Bench:
    """A function that runs vlmad in this process."""

    def run(*words: str | Path, cwd: Path, **more: str) -> Done:
        own = {name: environment[name] for name in ("COLUMNS", "VLMAD_CACHE")}
        return vlmad(*words, cwd=cwd, **{**own, **more})

    return run


@pytest.fixture(scope="session")
def run_bench(run_vlmad: Bench) -> Bench:
    """A function that runs `vlmad bench`."""
    return functools.partial(run_vlmad, "bench")
