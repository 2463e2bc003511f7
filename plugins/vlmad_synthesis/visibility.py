"""Whether a backbone sees a defect: what it cannot see teaches nothing.

The rule: a defect is seen if it changes the embedding of a patch or window that its mask touches
by at least as much as neighbours in the good image differ on average, both as 1 - cosine, in any
of the layers or sizes. Light, a small move, noise and JPEG seldom change as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float

    from vlmad.types import Features, Regions

LEAST = 1.0
"""Change of a patch, as a multiple of the difference of neighbours."""


def seen(
    good: Features,
    changed: Features,
    masks: Sequence[Bool[np.ndarray, "H W"]],
    least: float = LEAST,
) -> list[bool]:
    """Return, for each image, whether its defect is seen; an empty mask has none to be seen.

    Args:
        good: of the images before the defect was drawn, on any device.
        changed: of the same after.
        masks: over the whole images, at any size.
        least: change that is seen, as a multiple of the difference of neighbours.
    """
    return [change >= least for change in changes_in(good, changed, masks)]


def changes_in(
    good: Features, changed: Features, masks: Sequence[Bool[np.ndarray, "H W"]]
) -> list[float]:
    """Return the largest change in each mask, as a multiple of the difference of neighbours."""
    levels = list(zip(good.regions, changed.regions, strict=True))
    return [
        max(_change(a, b, image, _on_grid(mask, a.grid or good.grid)) for a, b in levels)
        for image, mask in enumerate(masks)
    ]


def _change(good: Regions, changed: Regions, image: int, marked: Bool[np.ndarray, "r c"]) -> float:
    before, after = (_unit(each, image) for each in (good, changed))
    usual = 1 - (before[1:] * before[:-1]).sum(-1)
    boxes = good.cells.cpu().numpy()
    touched = [marked[top:bottom, left:right].any() for top, left, bottom, right in boxes]
    by = 1 - (before * after).sum(-1)[np.array(touched)]
    return float(by.max(initial=0) / max(usual.mean() if len(usual) else 1, 1e-6))


def _unit(regions: Regions, image: int) -> Float[np.ndarray, "r d"]:
    """Return the embeddings of one image as unit vectors, row by row as they lie in it."""
    rows = regions.embeddings[image].detach().float().cpu().numpy()
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True).clip(1e-12)
    unit: Float[np.ndarray, "r d"] = rows / lengths
    return unit


def _on_grid(mask: Bool[np.ndarray, "H W"], grid: tuple[int, int]) -> Bool[np.ndarray, "r c"]:
    """Return which cells of a grid hold anything that is marked."""
    marked = np.zeros(grid, bool)
    rows, columns = np.nonzero(mask)
    marked[rows * grid[0] // mask.shape[0], columns * grid[1] // mask.shape[1]] = True
    return marked
