"""Maps with masks: checked, brought to one size, and the defective regions of a mask.

The size at which maps and masks are compared changes every pixel metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import ndimage

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float
    from numpy.typing import ArrayLike


Maps: TypeAlias = "Sequence[ArrayLike] | np.ndarray[Any, Any]"
"""A map for each image, height x width of numbers; their sizes may differ."""
Masks: TypeAlias = "Sequence[ArrayLike | None] | np.ndarray[Any, Any]"
"""A mask for each image, height x width of booleans, or None where nothing is known."""
Resolution: TypeAlias = "tuple[int, int] | None"
"""Height and width to evaluate at, or None for each mask's own."""
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class SaturatedRegion:
    """A defective region of which a part is enough."""

    mask: Bool[np.ndarray, "h w"]
    saturation: float
    """So many of its pixels count as all of it."""


@dataclass(frozen=True, slots=True)
class LabelledMap:
    """A map with where the image is really anomalous, at one size."""

    scores: Float[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "h w"]
    outside: Bool[np.ndarray, "h w"] | None = None
    """Pixels that count in no metric: what they show was not there when the mask was made."""
    regions: tuple[SaturatedRegion, ...] = ()
    """Which may overlap, the mask being all of them; by default what is connected in the mask."""

    @property
    def normal(self) -> Float[np.ndarray, " n"]:
        """The scores of normal pixels."""
        left_out = self.mask if self.outside is None else self.mask | self.outside
        normal: np.ndarray = self.scores[~left_out]
        return normal

    def weights(self) -> tuple[Float[np.ndarray, " p"], int]:
        """Return what each anomalous pixel, row by row, adds to the overlap, and the regions.

        The weights of the pixels above a threshold sum to the sum of the regions' overlaps.
        """
        if not self.regions:
            return region_weights(self.mask)
        weights = np.zeros(self.mask.shape)
        for region in self.regions:
            falling = np.argsort(-self.scores[region.mask])
            own = np.empty(len(falling))
            left = region.saturation - np.arange(len(falling))  # when those above were found
            own[falling] = np.clip(left, 0, 1) / region.saturation
            weights[region.mask] += own
        return weights[self.mask], len(self.regions)


def as_scores(values: ArrayLike, what: str = "scores") -> Float[np.ndarray, "*shape"]:
    """Return real finite numbers as float32 if that holds them without loss, else as float64.

    Raises:
        InputError: something is not a number, or not finite.
    """
    array = _as_array(values, what)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what} must be real numbers, not {array.dtype}")
    wide = np.float32 if np.can_cast(array.dtype, np.float32) else np.float64
    array = array.astype(wide, copy=False)
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise InputError(f"{what}: {bad} of {array.size} are not finite; score those images again")
    return array


def as_bools(values: ArrayLike, what: str) -> Bool[np.ndarray, "*shape"]:
    """Return an array of booleans as it is.

    Raises:
        InputError: it holds anything else; a mask of grey levels needs a threshold first.
    """
    array = _as_array(values, what)
    if array.dtype != np.bool_:
        raise InputError(f"{what} must be booleans, not {array.dtype}; compare with a threshold")
    return array


def _as_array(values: ArrayLike, what: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"{what} are not an array: their lengths differ") from error


def labelled_scores(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return labels (True is anomalous) and scores of images.

    Raises:
        InputError: they are empty, differ in length, or are not booleans and finite numbers.
    """
    if np.size(_as_array(labels, "labels")) == 0:
        raise InputError("no images to evaluate")
    truth, values = as_bools(labels, "labels"), as_scores(scores)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise InputError(f"labels {truth.shape} and scores {values.shape} must be lists as long")
    return truth, values


def labelled_maps(
    maps: Maps, masks: Masks, labels: Sequence[bool] | None, resolution: Resolution
) -> tuple[list[LabelledMap], int]:
    """Check the maps and masks of a category and bring each pair to one size.

    An image that `labels` calls normal and that has no mask gets one that is False everywhere.

    Returns:
        The maps whose masks are known, and of how many masks the defects fell between the pixels
        of the resolution; they count as normal.

    Raises:
        InputError: there are no images, not as many masks or labels as maps, labels that are
            not booleans, or a pair that cannot be used (see `at_resolution`).
    """
    if not len(maps):
        raise InputError("no maps to evaluate")
    if len(maps) != len(masks) or (labels is not None and len(labels) != len(maps)):
        count = "" if labels is None else f", {len(labels)} labels"
        raise InputError(f"{len(maps)} maps, {len(masks)} masks{count}: need one each")
    unknown = np.ones(len(maps), bool) if labels is None else as_bools(labels, "labels")
    images, vanished = [], 0
    for index, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        if mask is None and unknown[index]:
            continue
        known = np.zeros(np.shape(scores), dtype=bool) if mask is None else mask
        images.append(at_resolution(scores, known, resolution, f"image {index}"))
        vanished += bool(np.any(known)) and not images[-1].mask.any()
    return images, vanished


def at_resolution(
    scores: ArrayLike,
    mask: ArrayLike,
    resolution: Resolution,
    where: str = "the image",
    regions: Sequence[SaturatedRegion] = (),
) -> LabelledMap:
    """Bring a map and its mask to one size.

    With None, nothing is resized: the two must have one shape already.

    Args:
        scores: the map.
        mask: booleans.
        resolution: the size.
        where: names the image in errors.
        regions: of the mask; the share of each that is enough stays the same.

    Raises:
        InputError: see `as_scores` and `as_bools`; or they are no images, or differ in shape.
    """
    values, truth = as_scores(scores, f"map of {where}"), as_bools(mask, f"mask of {where}")
    if values.ndim != 2 or not values.size:
        raise InputError(f"map of {where} must be height x width, not {values.shape}")
    if resolution is not None and min(resolution) < 1:
        raise InputError(f"an evaluation resolution of {describe_resolution(resolution)}")
    if resolution is not None and truth.ndim == 2 and truth.size:
        values, truth = resize_map(values, resolution), resize_mask(truth, resolution)
        regions = [small for each in regions if (small := _resized(each, resolution)) is not None]
    if values.shape != truth.shape:
        raise InputError(
            f"map {values.shape} and mask {truth.shape} of {where} differ in size; "
            "choose an evaluation resolution"
        )
    return LabelledMap(values, truth, regions=tuple(regions))


def _resized(region: SaturatedRegion, size: tuple[int, int]) -> SaturatedRegion | None:
    mask = resize_mask(region.mask, size)
    share = region.saturation / region.mask.sum()
    return SaturatedRegion(mask, share * float(mask.sum())) if mask.any() else None


def describe_resolution(resolution: Resolution) -> str:
    """Say at which size metrics were computed.

    >>> describe_resolution((256, 256)), describe_resolution(None)
    ('256 x 256', "each mask's own")
    """
    return "each mask's own" if resolution is None else f"{resolution[0]} x {resolution[1]}"


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


def region_weights(mask: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, " p"], int]:
    """Return 1 / (area of its region) for every anomalous pixel, row by row, and the regions.

    Regions are connected through edges and corners (8-connected), as in MVTec's evaluation
    (Bergmann et al., IJCV 2021, section 5.2). A region's overlap is the share of it (0 to 1) that
    was found.
    """
    labels, count = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
    of_pixel = labels[mask]
    areas = np.bincount(of_pixel, minlength=count + 1)
    return 1.0 / areas[of_pixel], int(count)
