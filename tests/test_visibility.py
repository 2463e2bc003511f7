"""A defect that a backbone does not see is told from one that it sees, by hand-made features."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.conftest import features_of_maps

from vlmad.regions import window_cells
from vlmad.types import Features, Regions
from vlmad_synthesis.visibility import changes_in, seen

ANGLE = 0.3
"""Between neighbours, in radians."""


def turning(*angles: float) -> torch.Tensor:
    """Return embeddings of a row of patches, each turned by so much."""
    return torch.tensor([[np.cos(a), np.sin(a)] for a in angles]).T[None, :, None]


def features(*angles: float) -> Features:
    return features_of_maps({"patches": turning(*angles)}, size=(1, len(angles)))


GOOD = features(0, ANGLE, 2 * ANGLE, 3 * ANGLE)
MASK = np.array([[False, True, False, False]]).repeat(5, 1)


@pytest.mark.parametrize(("by", "is_seen"), [(0.0, False), (0.9, False), (1.1, True), (3.0, True)])
def test_a_change_is_seen_that_is_larger_than_neighbours_differ(by: float, is_seen: bool) -> None:
    changed = features(0, (1 + by) * ANGLE, 2 * ANGLE, 3 * ANGLE)
    expected = (1 - np.cos(by * ANGLE)) / (1 - np.cos(ANGLE))
    assert changes_in(GOOD, changed, [MASK]) == [pytest.approx(expected, abs=1e-4)]
    assert seen(GOOD, changed, [MASK]) == [is_seen]


def test_what_changes_beside_the_mask_does_not_count() -> None:
    changed = features(3, ANGLE, 3, 0)
    assert changes_in(GOOD, changed, [MASK]) == [pytest.approx(0, abs=1e-6)]


def test_one_level_is_enough_and_lengths_do_not_matter() -> None:
    still, moved = turning(0, ANGLE), turning(0, 3 * ANGLE)
    good = features_of_maps({"a": still, "b": still}, size=(1, 2))
    changed = features_of_maps({"a": 7 * still, "b": moved}, size=(1, 2))
    mask = np.array([[False, True]])
    assert seen(good, changed, [mask]) == [True]
    assert seen(good, features_of_maps({"a": 7 * still, "b": still}), [mask]) == [False]


def test_images_of_a_batch_are_judged_each_by_itself() -> None:
    both = torch.cat([turning(0, ANGLE), turning(0, ANGLE)])
    after = torch.cat([turning(0, ANGLE), turning(0, 3 * ANGLE)])
    good, changed = (features_of_maps({"a": each}, size=(1, 2)) for each in (both, after))
    marked, empty = np.array([[False, True]]), np.zeros((1, 2), bool)
    assert seen(good, changed, [marked, marked]) == [False, True]
    assert seen(good, changed, [marked, empty]) == [False, False]


def test_a_window_counts_where_the_mask_touches_it() -> None:
    cells = window_cells((4, 4), 2)
    angles = torch.arange(9) * ANGLE
    before = torch.stack([torch.cos(angles), torch.sin(angles)], -1)
    after = before.clone()
    after[0] = -after[0]
    good, changed = (
        dataclasses.replace(features(0, 1), regions=(Regions("w", e[None], cells),), grid=(4, 4))
        for e in (before, after)
    )
    inside, outside = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    inside[0, 0] = outside[7, 7] = True
    assert seen(good, changed, [inside]) == [True]
    assert seen(good, changed, [outside]) == [False]
