"""How unlike the most similar cell of the references each cell is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vlmad.errors import WeightsError
from vlmad_memory.kept_cells import differences, refuse_kept, surroundings

from .conftest import features_of_maps


def drawn(count: int, width: int = 5, side: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, width, side, side, generator=torch.Generator().manual_seed(seed))


def by_hand(cells: Tensor) -> Tensor:
    """Return the mean over the 3 x 3 cells around each of (b, d, h, w), as rows."""
    framed = torch.nn.functional.pad(cells, (1, 1, 1, 1))
    height, width = cells.shape[2:]
    moved = [
        framed[:, :, y : y + height, x : x + width].flatten(2) for y in range(3) for x in range(3)
    ]
    return (torch.stack(moved).sum(0) / 9).transpose(1, 2)


def test_a_difference_is_the_root_mean_square_to_the_most_similar_surroundings() -> None:
    references, images = drawn(3), drawn(2, seed=1)
    kept = surroundings(own := features_of_maps({"one": references}), own.regions[0])
    torch.testing.assert_close(kept, by_hand(references))
    features = features_of_maps({"one": images})
    values, nearest = differences(features, features.regions[0], kept)
    squared = (by_hand(images)[:, :, None] - kept.flatten(0, 1)).square().mean(-1)
    torch.testing.assert_close(values, squared.amin(-1).sqrt())
    assert torch.equal(nearest, squared.argmin(-1))


def test_what_lies_outside_is_like_nothing_and_nothing_is_like_it() -> None:
    inside = torch.zeros(2, 48, 48, dtype=torch.bool)
    inside[:, :24] = True
    features = replace(features_of_maps({"one": drawn(2)}, (48, 48)), inside=inside)
    kept = surroundings(features, features.regions[0])
    assert not kept.unflatten(1, (6, 6))[:, 3:].any()
    images = features_of_maps({"one": torch.zeros(1, 5, 6, 6)}, (48, 48))
    _, nearest = differences(images, images.regions[0], kept)
    assert bool((nearest % 36 < 18).all())


def test_features_that_are_zero_everywhere_differ_in_nothing() -> None:
    features = features_of_maps({"one": torch.zeros(1, 5, 6, 6)})
    kept = surroundings(features, features.regions[0])
    assert not differences(features, features.regions[0], kept)[0].any()


def test_kept_cells_of_another_grid_are_told_from_ones_own() -> None:
    features = features_of_maps({"one": drawn(1)})
    with pytest.raises(WeightsError, match="another grid or width; fit it anew"):
        differences(features, features.regions[0], torch.zeros(1, 25, 5))


@pytest.mark.parametrize(
    "kept", [torch.zeros(3, 4), torch.zeros(1, 2, 3).double(), torch.full((1, 2, 3), torch.nan)]
)
def test_what_are_no_kept_cells_is_refused(kept: Tensor) -> None:
    assert refuse_kept(kept)
    assert refuse_kept(torch.zeros(1, 2, 3)) is None
