"""How displaced what a reference shows is in an image."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vlmad_memory.displacement import displacement

GRID = (9, 10)


def scene(seed: int = 0) -> Tensor:
    """Draw unit cells (rows, columns, width) of which no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*GRID, 32, generator=generator), dim=-1)


def found(reference: Tensor, image: Tensor) -> float:
    return float(displacement(reference.flatten(0, 1)[None], image.flatten(0, 1)[None], GRID))


def by_a_plain_loop(reference: Tensor, image: Tensor) -> float:
    """Return the same of every cell in turn."""
    places = list(product(range(GRID[0]), range(GRID[1])))

    def distance(one: tuple[int, int], other: tuple[int, int]) -> float:
        return 1 - float(reference[one] @ image[other])

    def within(shift: tuple[int, int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        moved = [(place, (place[0] + shift[0], place[1] + shift[1])) for place in places]
        return [(place, there) for place, there in moved if there in places]

    def mean(shift: tuple[int, int]) -> float:
        pairs = within(shift)
        return sum(distance(*pair) for pair in pairs) / len(pairs)

    shift = min(product(range(-6, 7), repeat=2), key=mean)
    shift = shift if mean(shift) <= 0.9 * mean((0, 0)) else (0, 0)
    logs = []
    for place, (row, column) in within(shift):
        near = [c for c in places if abs(c[0] - row) <= 2 and abs(c[1] - column) <= 2]
        there = min(distance(place, cell) for cell in near)
        anywhere = min(distance(place, cell) for cell in places)
        logs.append(math.log((there + 0.02) / (anywhere + 0.02)))
    return sum(logs) / len(logs)


@pytest.mark.parametrize("case", ["another", "shifted", "with parts exchanged"])
def test_it_is_what_a_plain_loop_gives(case: str) -> None:
    reference = scene()
    image = {
        "another": scene(1),
        "shifted": reference.roll((2, -3), (0, 1)) + 0.1 * scene(1),
        "with parts exchanged": reference.roll(5, 0) + 0.1 * scene(1),
    }[case]
    image = F.normalize(image, dim=-1)
    assert found(reference, image) == pytest.approx(by_a_plain_loop(reference, image), abs=1e-4)


def test_the_same_lies_where_it_belongs_and_so_does_the_same_shifted_as_a_whole() -> None:
    reference = scene()
    assert found(reference, reference) == pytest.approx(0, abs=1e-4)
    shifted = scene(1)
    shifted[2:] = reference[:-2]
    assert found(reference, shifted) < 0.1


def test_parts_that_change_their_places_are_displaced() -> None:
    reference = scene()
    exchanged = torch.cat([reference[:, 5:], reference[:, :5]], 1)
    exchanged[:2] = reference[:2]
    assert found(reference, exchanged) > 0.5


def test_a_texture_has_no_places() -> None:
    assert found(torch.ones(*GRID, 4) / 2, torch.ones(*GRID, 4) / 2) == pytest.approx(0, abs=1e-6)


def test_the_reference_that_fits_best_counts() -> None:
    kept = torch.stack([scene(seed).flatten(0, 1) for seed in range(12)])
    images = kept[[3, 11]]
    assert displacement(kept, images, GRID).tolist() == pytest.approx([0, 0], abs=1e-4)


def test_cells_that_do_not_count_change_nothing() -> None:
    reference, image = scene(), scene(1)
    seen = torch.ones(*GRID, 1)
    seen[:, 6:] = 0
    expected = found(reference * seen, image * seen)
    assert expected > 0
    assert found(reference * seen, torch.where(seen > 0, image, 0)) == expected
    assert found(reference * 0, image) == 0
    assert found(reference, image * 0) == 0
