"""Looking closer where references are one even texture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vlmad import load_detector
from vlmad_memory.one_texture import FEWEST, is_one_texture
from vlmad_run.closer_looks import look_closer
from vlmad_run.manifest import describe_run

CLOSER = ("b4-closer", "e5-closer")


def cells(seed: int = 0, count: int = FEWEST) -> Tensor:
    """Return cells of images in which every place is like any other."""
    return torch.randn(count, 20, 20, 12, generator=torch.Generator().manual_seed(seed))


def test_cells_that_vary_alike_everywhere_are_one_texture() -> None:
    assert is_one_texture(cells())
    assert is_one_texture(cells() * 1e-3 + 5)
    assert not is_one_texture(cells(count=FEWEST - 1))


def test_what_lies_at_the_same_place_in_all_is_no_texture() -> None:
    part = cells(1, 1) * 0.5
    assert not is_one_texture(cells() + part)
    edges = torch.zeros_like(part)
    edges[:, :3] = edges[:, :, -3:] = 4.0  # the border knows its place in any picture
    assert is_one_texture(cells() + edges)


def test_what_lies_anywhere_but_in_one_piece_is_no_texture() -> None:
    images = cells()
    for number, image in enumerate(images):
        image[3 + number : 10 + number, 4:11] += 2.0
    assert not is_one_texture(images)


def test_blank_images_and_small_grids_are_no_texture() -> None:
    assert not is_one_texture(torch.ones(FEWEST, 20, 20, 3))
    assert not is_one_texture(cells()[:, :8, :8])


def weave(folder: Path, seed: int) -> Path:
    """Draw an even, noisy texture of small stitches."""
    draw = np.random.default_rng(seed)
    stitches = np.kron(draw.normal(128, 30, (50, 50)), np.ones((2, 2)))
    grey = (stitches + draw.normal(0, 12, stitches.shape)).clip(0, 255).astype(np.uint8)
    path = folder / f"{seed}.png"
    Image.fromarray(grey).convert("RGB").save(path)
    return path


@pytest.mark.slow
def test_references_of_one_texture_are_looked_at_closer_and_manifests_say_so(
    tmp_path: Path,
) -> None:
    references = [weave(tmp_path, seed) for seed in range(FEWEST)]
    detector = load_detector("change").fit(references)
    closer, said = look_closer(detector)
    assert "480 instead of 320 pixels" in said[0]
    assert "--resize squash" in said[0]
    assert closer.memory is not None
    assert closer.memory["middle"].shape[:3] == (FEWEST, 30, 30)
    assert detector.assembly.parts["extractor"].options["levels"] is None
    levels = describe_run(closer, "object", []).options["extractor"]["levels"]
    assert levels == [*CLOSER]

    named = load_detector("change", options={"extractor": {"levels": ",".join(CLOSER)}})
    [one], [other] = (each.predict(references[0]) for each in (closer, named.fit(references)))
    assert one.score == other.score
    assert look_closer(closer) == (closer, ())
    for choice in (
        load_detector("change", resize="squash").fit(references),
        load_detector("change").fit(references[:-1]),
    ):
        assert look_closer(choice) == (choice, ())
