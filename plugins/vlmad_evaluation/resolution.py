"""The size at which maps and masks are compared: it changes every pixel metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import ndimage

from vlmad.errors import InputError
from vlmad_evaluation.labelled_maps import LabelledMap, as_bools, as_scores, labelled_map

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy.typing import ArrayLike

Resolution: TypeAlias = "tuple[int, int] | None"
"""Height and width to evaluate at, or None for each mask's own."""


def describe_resolution(resolution: Resolution) -> str:
    """Say at which size metrics were computed.

    >>> describe_resolution((256, 256)), describe_resolution(None)
    ('256 x 256', "each mask's own")
    """
    return "each mask's own" if resolution is None else f"{resolution[0]} x {resolution[1]}"


def at_resolution(
    scores: ArrayLike, mask: ArrayLike, resolution: Resolution, where: str = "the image"
) -> LabelledMap:
    """Bring a map and its mask to one size.

    With None, nothing is resized: the two must have one shape already.

    Raises:
        InputError: the map or the mask cannot be used (see `labelled_map`).
    """
    if resolution is None:
        return labelled_map(scores, mask, where)
    if min(resolution) < 1:
        raise InputError(f"an evaluation resolution of {describe_resolution(resolution)}")
    values, truth = as_scores(scores, f"map of {where}"), as_bools(mask, f"mask of {where}")
    if values.ndim != 2 or truth.ndim != 2 or not values.size or not truth.size:
        raise InputError(f"map {values.shape} and mask {truth.shape} of {where} are no images")
    resized = resize_map(values, resolution), resize_mask(truth, resolution)
    return labelled_map(*resized, where)


def resize_map(scores: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """Resize bilinearly between pixel centres, without smoothing when it becomes smaller.

    The values are those of torch's `interpolate(mode="bilinear", align_corners=False)`, which
    published evaluations use.
    """
    if scores.shape == size:
        return scores
    factors = [new / old for new, old in zip(size, scores.shape, strict=True)]
    resized: np.ndarray = ndimage.zoom(scores, factors, order=1, mode="nearest", grid_mode=True)
    return resized


def resize_mask(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Take for each new pixel the old one below its centre, so that nothing is blended.

    A defect narrower than the step between pixel centres can vanish.
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
