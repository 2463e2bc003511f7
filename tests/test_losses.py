"""Losses by hand, and where probabilities are 0 or 1."""

from __future__ import annotations

import math

import pytest
import torch

from vlmad_train.losses import (
    anomalous_map_loss,
    dice_loss,
    focal_loss,
    image_loss,
    side_maps,
    two_sided_map_loss,
)


def maps_of(anomalous: list[list[float]]) -> torch.Tensor:
    probability = torch.tensor([anomalous])
    return torch.stack([1 - probability, probability], dim=1)


MAPS = maps_of([[0.25, 0.5]])
MASKS = torch.tensor([[[False, True]]])


def test_focal_loss_weighs_each_pixel_by_how_wrong_it_is() -> None:
    by_hand = (-(0.25**2) * math.log(0.75) - 0.5**2 * math.log(0.5)) / 2
    assert float(focal_loss(MAPS, MASKS)) == pytest.approx(by_hand, abs=1e-4)
    by_hand = -(math.log(0.75) + math.log(0.5)) / 2
    assert float(focal_loss(MAPS, MASKS, gamma=0)) == pytest.approx(by_hand, abs=1e-4)


def test_dice_loss_is_a_mean_over_images() -> None:
    one = 1 - (2 * 0.5 + 1) / (0.75 + 1 + 1)
    assert float(dice_loss(MAPS[:, 1], MASKS)) == pytest.approx(one)
    both = torch.cat([MAPS[:, 1], torch.zeros(1, 1, 2)])
    masks = torch.cat([MASKS, torch.zeros(1, 1, 2, dtype=torch.bool)])
    assert float(dice_loss(both, masks)) == pytest.approx(one / 2)


def test_the_loss_of_two_sides_has_one_term_more() -> None:
    normal = 1 - (2 * 0.75 + 1) / (1.25 + 1 + 1)
    more = two_sided_map_loss(MAPS, MASKS) - anomalous_map_loss(MAPS, MASKS)
    assert float(more) == pytest.approx(normal)


def test_grey_values_of_a_mask_count_above_one_half() -> None:
    grey = torch.tensor([[[0.5, 0.51]]])
    assert torch.equal(anomalous_map_loss(MAPS, grey), anomalous_map_loss(MAPS, MASKS))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_and_wrong_or_right_the_losses_and_their_gradients_stay_finite(
    gamma: float,
) -> None:
    sides = torch.eye(2).requires_grad_()
    patches = torch.eye(2).repeat(1, 2, 1)  # one right and one wrong of either side, at 1e-4
    maps = side_maps(patches, sides, (2, 2), (2, 2), temperature=1e-4)
    assert set(maps.flatten().tolist()) == {0, 1}
    loss = focal_loss(maps, torch.tensor([[[0, 1], [1, 0]]]), gamma) + two_sided_map_loss(
        maps, torch.tensor([[[0, 1], [1, 0]]])
    )
    loss = loss + image_loss(patches[0], sides, torch.tensor([0, 0, 1, 1]), temperature=1e-4)
    loss.backward()
    assert torch.isfinite(loss)
    assert sides.grad is not None
    assert torch.isfinite(sides.grad).all()


def test_a_label_may_be_the_share_that_is_defective() -> None:
    image, sides = torch.tensor([[3.0, 4.0]]), torch.eye(2)
    low, high = (float(image_loss(image, sides, torch.tensor([label]))) for label in (0, 1))
    share = float(image_loss(image, sides, torch.tensor([0.25])))
    assert share == pytest.approx(0.75 * low + 0.25 * high)
