"""Small benches whose folders sections are made of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vlmad.cli import app

from ...bench.conftest import TWO_LAYERS, draw_category  # noqa: TID252 (tests are no package)

Copied = Callable[[str], Path]


@pytest.fixture(scope="session")
def benches(two_layer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of benches: `both` of two detectors, `one` and `two` of one window size each.

    The data set has a category with masks and one without, which only `both` measures.
    """
    folder = tmp_path_factory.mktemp("benches")
    data = folder / "parts"
    draw_category(data / "metal nut", normal=4, anomalous=4)
    draw_category(data / "bolt", normal=3, anomalous=3, train=2, masks=False)
    small = ["--backbone", f"openclip:{TWO_LAYERS}", "--weights", str(two_layer_file)]
    few = ["--category", "metal nut", "--detector", "winclip", "--seeds", "1"]
    for name, words in {
        "both": ["--detector", "winclip,clip", "--seeds", "2"],
        "one": [*few, "--set", "extractor.scales=1"],
        "two": [*few, "--set", "extractor.scales=2"],
    }.items():
        common = ["bench", str(data), *small, "--shots", "0,1", "--replicates", "50", "--quiet"]
        out = ["--out", str(folder / name)]
        assert app([*common, *words, *out], standalone_mode=False) in (0, None)
    return folder


@pytest.fixture
def copied(benches: Path, tmp_path: Path) -> Copied:
    """A function that copies the folder of a bench, for tests that change it."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(benches / name, tmp_path / name))

    return copy
