"""Which cells show the object rather than the table it lies on (AnomalyDINO)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

MIDDLE, ENOUGH = 0.2, 0.35
"""Where the middle of an image begins, and the share of it that an object covers at least."""


def foreground(
    cells: Float[Tensor, "b gh gw d"], threshold: float, counting: Bool[Tensor, "b gh gw"]
) -> Bool[Tensor, "b gh gw"]:
    """Return where the first principal component of an image's own cells is above a threshold.

    Where it is so in hardly any of the middle, its negative is taken. What is found is grown by
    a cell, then holes of a cell are closed.

    Args:
        cells: of one level, as the backbone gives them.
        threshold: in the cells' own measure.
        counting: which cells are looked at.
    """
    flat, mask = cells.flatten(1, 2).double(), counting.flatten(1)[..., None].double()
    centred = (flat - (flat * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)) * mask
    _, directions = torch.linalg.eigh(centred.mT @ centred)
    component = directions[..., -1]
    largest = component.gather(1, component.abs().argmax(1, keepdim=True))
    values = (centred @ (component * largest.sign())[..., None])[..., 0].float()
    values = values.unflatten(1, cells.shape[1:3])
    middle = _middle(values > threshold).sum(1) / _middle(counting).sum(1).clamp_min(1)
    values = torch.where((middle > ENOUGH)[:, None, None], values, -values)
    found = _grown(_grown(((values > threshold) & counting).float()))
    shrunk: Bool[Tensor, "b gh gw"] = -_grown(-found) > 0
    return shrunk


def _middle(mask: Bool[Tensor, "b gh gw"]) -> Bool[Tensor, "b n"]:
    rows, columns = (
        slice(int(MIDDLE * side), max(int((1 - MIDDLE) * side), int(MIDDLE * side) + 1))
        for side in mask.shape[1:]
    )
    return mask[:, rows, columns].flatten(1)


def _grown(mask: Float[Tensor, "b gh gw"]) -> Float[Tensor, "b gh gw"]:
    return F.max_pool2d(mask[:, None], 3, 1, 1)[:, 0]
