"""Masks that are told from images by their names, and paths that a file of a data set names."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import GOOD, Problem, Sample
from vlmad.errors import InputError, first_line
from vlmad_datasets.masks import read_mask
from vlmad_datasets.sides import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vlmad.datasets import Label, Split

ANY_DEFECT = "defect"
"""The name of defects where a layout tells none apart."""


def pairs(
    files: Iterable[Path], owner: Callable[[Path], str | None], problems: list[Problem]
) -> Iterator[tuple[Path, Path | None]]:
    """Yield each image with its mask, both out of the same files.

    Args:
        files: images and masks.
        owner: returns of a mask the name, without ending, of the image it belongs to; of an
            image None.
        problems: takes images with several masks, and masks without an image.
    """
    images: list[Path] = []
    masks: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        name = owner(file)
        (images if name is None else masks[key_of(name)]).append(file)
    stems = {key_of(image.stem) for image in images}
    for image in images:
        found = masks.get(key_of(image.stem), [])
        if len(found) > 1:
            both = " and ".join(mask.name for mask in found)
            problems.append(Problem(image, f"has several masks: {both}", "fatal"))
        yield image, found[0] if found else None
    for name in masks.keys() - stems:
        problems += (Problem(mask, "a mask that belongs to no image") for mask in masks[name])


def owner_by(ending: str) -> Callable[[Path], str | None]:
    """Return the owner of masks that are called as their images are, and an ending, in any case."""

    def owner(file: Path) -> str | None:
        is_mask = file.stem.casefold().endswith(ending)
        return file.stem[: -len(ending)] if is_mask else None

    return owner


def labelled(
    image: Path, category: str, split: Split, defect: str | None = None, mask: Path | None = None
) -> Sample:
    """Return the sample of an image: anomalous if it has a defect."""
    label: Label = "normal" if defect is None else "anomalous"
    return Sample(image, label, category, split, defect or GOOD, mask)


def sample_by_mask(
    image: Path, mask: Path | None, category: str, split: Split, problems: list[Problem]
) -> Iterator[Sample]:
    """Yield the sample of an image whose label is whether its mask marks anything.

    The mask is read, as the label stands nowhere else; without a mask there is no sample.
    """
    if mask is None:
        what = "no mask beside it, so its label is unknown, left out"
        problems.append(Problem(image, what))
        return
    try:
        marked = read_mask(mask).marked.any()
    except InputError as error:
        problems.append(Problem(mask, first_line(error).removeprefix(f"{mask}: "), "fatal"))
        return
    yield labelled(image, category, split, *((ANY_DEFECT, mask) if marked else ()))


def without_defective_references(
    samples: Iterable[Sample], folder: Path, problems: list[Problem]
) -> list[Sample]:
    """Return the samples without the anomalous ones for training, which are counted in a note."""
    samples = list(samples)
    kept = [sample for sample in samples if not (sample.anomalous and sample.split == "train")]
    left = len(samples) - len(kept)
    if left:
        what = f"{left} defective images for supervised training, left out"
        problems.append(Problem(folder, what, "note"))
    return kept


def inside(folder: Path, name: str) -> Path:
    """Return the path that a file names from a folder; a backslash separates like a slash.

    Raises:
        InputError: it is empty, or leaves the folder.
    """
    path = folder / name.replace("\\", "/")
    if not name or not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        raise InputError(f"'{name}' is no path inside of the data set")
    return path
