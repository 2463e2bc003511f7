"""The sample images are what their script draws, with a mask for every defect."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLES = EXAMPLES / "samples"
sys.path.insert(0, str(EXAMPLES))
from draw_samples import PRODUCTS as DRAWN  # noqa: E402  (the scripts are no package)
from draw_samples import draw_piece, pieces  # noqa: E402

PRODUCTS = ("brushed_metal", "circuit", "cloth", "fasteners", "tile")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_defective_sample_has_a_mask_of_its_size_and_no_good_one_has(product: str) -> None:
    folder = SAMPLES / product
    defects = {path.name for path in (folder / "test").iterdir()} - {"good"}
    assert len(defects) >= 3
    assert len(list((folder / "train" / "good").iterdir())) >= 4
    assert len(list((folder / "test" / "good").iterdir())) >= 3
    masks = set()
    for defect in defects:
        for image in (folder / "test" / defect).iterdir():
            mask = folder / "ground_truth" / defect / f"{image.stem}_mask.png"
            values = pixels(mask)
            assert values.shape == pixels(image).shape[:2]
            assert set(np.unique(values)) == {0, 255}
            assert 0.0005 < (values > 0).mean() < 0.2
            masks.add(mask)
    assert masks == set((folder / "ground_truth").rglob("*.png"))


def test_samples_take_less_than_five_megabytes() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 5_000_000


@pytest.mark.slow
@pytest.mark.parametrize("product", DRAWN, ids=lambda product: product.__name__)
def test_the_script_draws_the_samples_that_are_here(product: ModuleType, tmp_path: Path) -> None:
    samples = SAMPLES / product.__name__.split(".")[-1]
    expected = [f"{folder}/{number:03d}.png" for folder, _, number in pieces(product)]
    for part in ("train", "test"):
        there = {path.relative_to(samples).as_posix() for path in (samples / part).rglob("*.png")}
        assert there == {name for name in expected if name.startswith(part)}
    for index, (folder, _, number) in enumerate(pieces(product)):
        if number == 0 and folder != "train/good":  # each image has a generator of its own
            draw_piece(product, index, tmp_path, seed=0)
    for path in (path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")):
        # libraries of other versions may round the last bit differently
        assert np.abs(pixels(tmp_path / path) - pixels(SAMPLES / path)).mean() < 0.5, path
