"""What is odd about masks that can be read: warnings, since figures can be had from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad.datasets import Problem
from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_datasets._annotations import LABEL_SUFFIXES, drawing_of, is_shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmad.datasets import Sample
    from vlmad_datasets.masks import Mask

ALIKE, THUMBNAIL = 8, (64, 64)
"""Small pictures whose grey levels differ by less, on average, show the same."""


def doubts(sample: Sample, path: Path, mask: Mask) -> Iterator[Problem]:
    """Yield a warning for each thing that is odd about a sample's mask.

    Args:
        sample: the image and its label.
        path: the file of its mask.
        mask: what that holds.

    Raises:
        InputError: a file cannot be read.
    """
    is_drawn, marked = path.suffix.lower() in LABEL_SUFFIXES, int(mask.marked.sum())
    place = sample.image if is_drawn and is_shared(path) else path
    if sample.anomalous and not marked:
        yield Problem(place, "the mask of an anomalous image marks nothing")
    if not sample.anomalous and marked:
        yield Problem(place, f"the mask of a normal image marks {marked} pixels")
    if is_drawn:
        kinds = {each.coarse for each in drawing_of(path, sample.image).shapes if each.coarse}
        if kinds:
            drawn = " and ".join(sorted(kinds))
            yield Problem(place, f"its defects are drawn as {drawn}; pixel figures need outlines")
    if mask.notes and path.is_file() and _shows_the_same(sample.image, path):
        yield Problem(path, "looks like its photograph, not like a mask; take its mask instead")
    else:
        yield from (Problem(place, note) for note in mask.notes)


def _shows_the_same(one: Path, other: Path) -> bool:
    try:
        small = [decode(path).convert("L").resize(THUMBNAIL) for path in (one, other)]
    except InputError:  # a problem of its own
        return False
    differences = np.subtract(*(np.asarray(each, np.float32) for each in small))
    return bool(np.abs(differences).mean() < ALIKE)
