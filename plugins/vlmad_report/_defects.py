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

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

    from vlmad.datasets import Sample
    from vlmad_formats.reading import Reading

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""From linear sRGB (IEC 61966-2-1), with D65 as its white."""
BEND = 6 / 29
"""Below its third power CIELAB's cube root is a straight line."""


@dataclass(frozen=True, slots=True)
class DefectFacts:
    """The defective pixels of one image, all regions of its mask together."""

    contrast: float
    """The difference in colour from what is around it, in CIELAB units."""
    share: float
    """Of the image's pixels, above 0 and up to 1."""


def defect_of(sample: Sample, reading: Reading) -> DefectFacts | str:
    """Return the defect of an anomalous image, or why nothing can be known of it."""
    try:
        mask = mask_of(sample)
        if mask is None:
            return "no mask"
        if not mask.any():
            return "an empty mask"
        image = np.asarray(decode(sample.image, reading=reading))
    except VlmadError as error:
        return str(error)
    if image.shape[:2] != mask.shape:
        return f"{sample.mask}: not of the size of its image"
    if mask.all():
        return "a mask that covers the whole image, so that nothing is around the defect"
    return DefectFacts(contrast(image, mask), float(mask.mean()))


def contrast(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> float:
    """Return how far the median colour of a defect is from that around it, in CIELAB units.

    The distance is the CIE's of 1976; about 2.3 is just noticeable (Mahy, Van Eycken and
    Oosterlinck 1994). Medians: noise averages out in them, and highlights and the inexact edges
    of masks, as long as they are fewer than half, hardly move them.
    """
    inside, around = (np.median(lab(image[each]), axis=0) for each in (mask, ring(mask)))
    return float(np.linalg.norm(inside - around))


def lab(pixels: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the CIELAB colours (CIE 15:2004, D65, 2 degree observer) of sRGB pixels.

    >>> lab(np.array([[255, 255, 255], [255, 0, 0]], np.uint8)).round(1).tolist()
    [[100.0, 0.0, 0.0], [53.2, 80.1, 67.2]]
    """
    encoded = pixels / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    ratio = linear @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    x, y, z = np.where(ratio > BEND**3, np.cbrt(ratio), ratio / (3 * BEND**2) + 4 / 29).T
    colours: np.ndarray = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    return colours + 0.0  # no negative zeros


def ring(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the pixels nearest to a mask, as many as it has, or all others if they are fewer.

    Pixels of one distance belong to it together, so that it has no direction.
    """
    wanted = min(int(mask.sum()), int((~mask).sum()))
    # rarely wider than this, and distances are dear: most of the image is left out
    margin = math.ceil(math.sqrt(wanted)) + 1
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = tuple(slice(max(0, p[0] - margin), p[-1] + margin + 1) for p in (rows, columns))
    around = np.zeros_like(mask)
    for place, within in ((window, float(margin)), ((slice(None), slice(None)), math.inf)):
        distances = ndimage.distance_transform_edt(~mask[place])
        near = np.sort(distances[(distances > 0) & (distances <= within)])
        if len(near) >= wanted:
            around[place] = (distances > 0) & (distances <= near[wanted - 1])
            break
    return around
