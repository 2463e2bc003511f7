"""The defective regions of a mask, and how much each of their pixels weighs in AUPRO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def region_weights(mask: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, " p"], int]:
    """Return 1 / (area of its region) for every anomalous pixel, row by row, and the regions.

    Regions are connected through edges and corners (8-connected), as in MVTec's evaluation
    (Bergmann et al., IJCV 2021, section 5.2). The weights of the pixels above a threshold sum to
    the sum of the regions' overlaps, each the share of a region (0 to 1) that was found.
    """
    labels, count = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
    of_pixel = labels[mask]
    areas = np.bincount(of_pixel, minlength=count + 1)
    return 1.0 / areas[of_pixel], int(count)
