"""How far apart colours look: from sRGB to CIELAB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""From linear sRGB (IEC 61966-2-1), with D65 as its white."""
WHITE = TO_XYZ.sum(axis=1)
BEND = 6 / 29
"""Below its third power CIELAB's cube root is a straight line."""


def lab(pixels: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the CIELAB colours (L* from 0 to 100, a*, b*) of sRGB pixels.

    CIE 15:2004 under D65, 2 degree observer; the usual assumption about images that say nothing
    of their colour space.

    >>> lab(np.array([[255, 255, 255], [255, 0, 0]], np.uint8)).round(1).tolist()
    [[100.0, 0.0, 0.0], [53.2, 80.1, 67.2]]
    """
    encoded = pixels / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    ratio = linear @ TO_XYZ.T / WHITE
    bent = np.where(ratio > BEND**3, np.cbrt(ratio), ratio / (3 * BEND**2) + 4 / 29)
    x, y, z = bent.T
    colours: np.ndarray = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    return colours + 0.0  # no negative zeros


def difference(
    one: Float[np.ndarray, "n 3"], other: Float[np.ndarray, "m 3"]
) -> float:
    """Return the distance of the median colours of two sets of CIELAB colours.

    The median of each coordinate: noise averages out in it, and highlights and the masks' inexact
    edges, as long as they are fewer than half, hardly move it. The distance is the CIE's of 1976;
    about 2.3 is just noticeable (Mahy, Van Eycken and Oosterlinck 1994).
    """
    return float(np.linalg.norm(np.median(one, axis=0) - np.median(other, axis=0)))
