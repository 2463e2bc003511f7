"""A small real bench, so that what is reported can be compared with what was measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad.testing import backbones
from vlmad_report.looking.study import Study, study

from ..conftest import vlmad  # noqa: TID252 (tests are no package)

TWO_LAYERS = Path(backbones.__file__).with_name("two_layer.json")
SIZE = 40
FAINT, BRIGHT = 120, 250


Benched = tuple[Path, Path]
"""A bench's folder and the data set it was run on."""


@pytest.fixture(scope="session")
def benched(two_layer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Benched:
    """Two detectors on bolts (faint and bright squares, masks) and on nuts (no masks)."""
    place = tmp_path_factory.mktemp("report")
    data, folder = place / "parts", place / "bench"
    draw(data / "bolt", {"good": 4, "mark": 3, "spot": 3}, masks=True)
    draw(data / "nut", {"good": 3, "chip": 3}, masks=False)
    words = ["bench", data, "--detector", "winclip,clip", "--replicates", "20", "--out", folder]
    backbone = ["--backbone", f"openclip:{TWO_LAYERS}", "--weights", two_layer_file]
    done = vlmad(*words, *backbone, cwd=place, VLMAD_CACHE=str(place / "cache"))
    assert done.returncode == 0, done.stderr
    return folder, data


def draw(folder: Path, kinds: dict[str, int], masks: bool) -> None:
    """Write a category of MVTec AD's layout: noise, and noise with a faint or bright square."""
    rng = np.random.default_rng(len(folder.name))
    for kind, count in kinds.items():
        for index in range(count):
            pixels = rng.integers(60, 100, (SIZE, SIZE, 3)).astype(np.uint8)
            mask = np.zeros((SIZE, SIZE), np.uint8)
            if kind != "good":
                mask[2 + index : 8 + 3 * index, 3:9] = 255
                pixels[mask > 0] = FAINT if kind == "mark" else BRIGHT
            save(folder / "test" / kind / f"{index:03d}.png", pixels)
            if kind == "good":
                save(folder / "train" / kind / f"{index:03d}.png", pixels)
            elif masks:
                save(folder / "ground_truth" / kind / f"{index:03d}_mask.png", mask)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def results(benched: Benched) -> Results:
    """The bench, read."""
    return read_results(benched[0])


@pytest.fixture(scope="session")
def looked(results: Results) -> Study:
    """The bench, looked at."""
    return study([results])


@pytest.fixture
def own(benched: Benched, tmp_path: Path) -> Benched:
    """A copy of bench and data set to be damaged."""
    folder, data = tmp_path / "bench", tmp_path / "parts"
    shutil.copytree(benched[0], folder)
    shutil.copytree(benched[1], data)
    for path in folder.rglob("*.json*"):
        path.write_text(path.read_text().replace(str(benched[1]), str(data)))
    return folder, data
