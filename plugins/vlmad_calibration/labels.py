"""What the data set that images lie in calls them: its defects are no good images.

A folder that is named as a whole may hold both, as `test` of the MVTec AD layout does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, VlmadError
from vlmad_datasets import open_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmad.datasets import Label
    from vlmad_datasets import OpenDataset


def part_by_label(
    named: Iterable[str], images: Sequence[Path], label: Label
) -> tuple[list[Path], list[Path]]:
    """Return the images that may be meant by a label, and those that a data set calls otherwise.

    Args:
        named: the folders, files and patterns that the images were named by. Of folders that
            are a data set, or lie directly in one, its labels count.
        images: what was found there.
        label: what they are said to be.

    Raises:
        InputError: the data set calls all of them otherwise.
    """
    others = {path for name in named for path in _called_otherwise(Path(name), label)}
    kept = [image for image in images if os.path.abspath(image) not in others]
    if images and not kept:
        raise InputError(
            f"none of the {len(images)} images in {' and '.join(map(str, named))} is {label} by "
            "the data set that they lie in"
        )
    return kept, [image for image in images if os.path.abspath(image) in others]


def _called_otherwise(folder: Path, label: Label) -> set[str]:
    found = _dataset_of(folder) if folder.is_dir() else None
    samples = found.samples if found else ()
    return {os.path.abspath(each.image) for each in samples if each.label != label}


def _dataset_of(folder: Path) -> OpenDataset | None:
    for place in (folder, Path(os.path.abspath(folder)).parent):
        try:
            return open_dataset(place)
        except VlmadError:
            continue  # a folder of images is none, and need not be
    return None
