"""What image and mask say of a defect, whatever any detector says: its contrast and its size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from vlmad.errors import VlmadError
from vlmad.images import decode
from vlmad_datasets.masks import mask_of
from vlmad_report.looking.colours import difference, lab

if TYPE_CHECKING:
    from jaxtyping import Bool, UInt8

    from vlmad import Sample


@dataclass(frozen=True, slots=True)
class Defect:
    """The defective pixels of one image, all regions of its mask together."""

    contrast: float
    """The difference in colour from what is around it, in CIELAB units."""
    share: float
    """Of the image's pixels, above 0 and up to 1."""


def defect_of(sample: Sample) -> Defect | str:
    """Return the defect of an anomalous image, or why nothing can be said of it."""
    try:
        mask = mask_of(sample)
        if mask is None:
            return "no mask"
        if not mask.any():
            return "an empty mask"
        image = np.asarray(decode(sample.image))
    except VlmadError as error:
        return str(error)
    if image.shape[:2] != mask.shape:
        return f"{sample.mask}: not of the size of its image"
    if mask.all():
        return "a mask that covers the whole image, so that nothing is around the defect"
    return Defect(contrast(image, mask), float(mask.mean()))


def contrast(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> float:
    """Return how far the median colour of a defect is from that around it, in CIELAB units.

    Around it are the pixels nearest to it, as many as it has (see `ring`). The defect and the
    rest of the image may neither be empty.
    """
    around = ring(mask)
    return difference(lab(image[mask]), lab(image[around]))


def ring(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the pixels nearest to a mask, as many as it has, or all others if they are fewer.

    Pixels of one distance belong to it together, so that it has no direction.
    """
    wanted = min(int(mask.sum()), int((~mask).sum()))
    # a ring is rarely wider than this, and distances are dear: most of the image is left out
    margin = math.ceil(math.sqrt(wanted)) + 1
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = tuple(
        slice(max(0, places[0] - margin), places[-1] + margin + 1) for places in (rows, columns)
    )
    around = np.zeros_like(mask)
    inside = _nearest(mask[window], wanted, margin)
    if inside is None:
        inside, window = _nearest(mask, wanted, math.inf), (slice(None), slice(None))
    assert inside is not None
    around[window] = inside
    return around


def _nearest(
    mask: Bool[np.ndarray, "h w"], wanted: int, within: float
) -> Bool[np.ndarray, "h w"] | None:
    """Return the pixels nearest to a mask, or None if fewer than wanted are so near."""
    distances = ndimage.distance_transform_edt(~mask)
    near = np.sort(distances[(distances > 0) & (distances <= within)])
    if len(near) < wanted:
        return None
    nearest: np.ndarray = (distances > 0) & (distances <= near[wanted - 1])
    return nearest
