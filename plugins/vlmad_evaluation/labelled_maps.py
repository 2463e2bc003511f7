"""What is refused of labels, scores, maps and masks, before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Bool, Float
    from numpy.typing import ArrayLike


Maps: TypeAlias = "Sequence[ArrayLike] | np.ndarray[Any, Any]"
"""A map for each image, height x width of numbers; their sizes may differ."""
Masks: TypeAlias = "Sequence[ArrayLike | None] | np.ndarray[Any, Any]"
"""A mask for each image, height x width of booleans, or None where nothing is known."""


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
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
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


@dataclass(frozen=True, slots=True)
class LabelledMap:
    """A map with where the image is really anomalous, at one size."""

    scores: Float[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "h w"]


def labelled_map(scores: ArrayLike, mask: ArrayLike, where: str) -> LabelledMap:
    """Check a map and its mask; `where` names the image in errors.

    Raises:
        InputError: see `as_scores` and `as_bools`; or they differ in shape.
    """
    values, truth = as_scores(scores, f"map of {where}"), as_bools(mask, f"mask of {where}")
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"map of {where} must be height x width, not {values.shape}")
    if values.shape != truth.shape:
        raise InputError(
            f"map {values.shape} and mask {truth.shape} of {where} differ in size; "
            "choose an evaluation resolution"
        )
    return LabelledMap(values, truth)


def paired(
    maps: Maps,
    masks: Masks,
    labels: Sequence[bool] | None = None,
) -> Iterator[tuple[str, ArrayLike, ArrayLike | None]]:
    """Yield for each image its name in errors, map and mask.

    An image that `labels` calls normal and that has no mask gets one that is False everywhere.

    Raises:
        InputError: there are no images, not as many masks or labels as maps, or labels that are
            not booleans.
    """
    if not len(maps):
        raise InputError("no maps to evaluate")
    if len(maps) != len(masks) or (labels is not None and len(labels) != len(maps)):
        count = "" if labels is None else f", {len(labels)} labels"
        raise InputError(f"{len(maps)} maps, {len(masks)} masks{count}: need one each")
    truth = None if labels is None else as_bools(labels, "labels")
    for index, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        if mask is None and truth is not None and not truth[index]:
            mask = np.zeros(np.shape(scores), dtype=bool)
        yield f"image {index}", scores, mask
