"""The backbone keeps its promises and answers waves of its own length and direction most."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor
from vlmad import ImageBatch, Level
from vlmad.images import as_source
from vlmad.testing import UsualAttention, parametrize_parts

from vlmad_gabor.backbone import GaborBackbone


@parametrize_parts("vlmad-gabor")
def test_part_keeps_its_promises(check: Callable[[], None]) -> None:
    check()


def answered(image: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Return the mean answer of each level to each direction."""
    backbone, batch = GaborBackbone(directions=4), ImageBatch((as_source(image, 0),))
    levels = [Level(name) for name in backbone.spec.levels]
    visual = backbone.encode(batch, levels, UsualAttention())
    return {level.name: visual[level].mean((0, 1, 2)) for level in levels}


def stripes(length: int) -> NDArray[np.uint8]:
    """Return upright stripes."""
    wave = 127 + 100 * np.sin(2 * np.pi * np.arange(224) / length)
    return np.repeat(np.repeat(wave[None, :, None], 224, 0), 3, 2).astype(np.uint8)


@pytest.mark.parametrize("length", [4, 8, 16])
def test_stripes_are_answered_by_their_length_and_direction(length: int) -> None:
    upright, lying = answered(stripes(length)), answered(stripes(length).transpose(1, 0, 2))
    assert max(upright, key=lambda name: float(upright[name].max())) == f"waves-{length}"
    assert upright[f"waves-{length}"].argmax() == 0
    assert lying[f"waves-{length}"].argmax() == 2


def test_a_surface_of_one_colour_has_no_waves() -> None:
    grey = answered(np.full((64, 64, 3), 200, np.uint8))
    assert max(float(level.max()) for level in grey.values()) < 1e-4


def test_another_number_of_directions_is_another_model() -> None:
    assert GaborBackbone(4).weights_hash != GaborBackbone(6).weights_hash
