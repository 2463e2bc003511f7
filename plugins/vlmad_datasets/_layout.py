"""Reading folders of images, and finding the mask that belongs to an image."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

from vlmad.datasets import GOOD, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._annotations import beside, is_for_many, is_label_file, spoken_of
from vlmad_datasets.sides import key_of
from vlmad_run.walking import (
    MASK_BESIDE,
    is_mask_folder,
    look_into,
    names_of_folders,
    walk,
    walk_photographs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from vlmad.datasets import Label, Split
    from vlmad_run.walking import Place

ANY_DEFECT = "defect"
"""The name of defects where a layout tells none apart."""
LABELS = ("annotations", "labels", "segmentationclass")
"""Folders of label files, and of masks as CVAT exports them."""


def images_in(folder: Path) -> list[Path]:
    """Return the image files right in a folder, sorted; none if there is no such folder."""
    return look_into(folder).named("image")


def images_and_masks_in(folder: Path) -> list[Path]:
    """Return the image files right in a folder, and the masks beside them, sorted."""
    return _images_and_masks(look_into(folder))


def _images_and_masks(place: Place) -> list[Path]:
    return sorted([*place.named("image"), *place.named("mask")])


def images_below(folder: Path) -> list[Path]:
    """Return the image files in a folder, then those in its own; folders of masks are left out."""
    return [file for place in walk_photographs(folder) for file in place.named("image")]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders right in a folder, sorted; links to folders count, hidden ones do not."""
    return [folder / name for name in names_of_folders(folder) if not name.startswith(".")]


def folders_named(folder: Path, *names: str) -> list[Path]:
    """Return the folders right in a folder that have one of these names, in any spelling."""
    keys = set(map(key_of, names))
    return [each for each in folders_in(folder) if key_of(each.name) in keys]


def name_of(folder: Path) -> str:
    """Return a folder's name, also of one given as ``.``; a link has a name of its own."""
    return os.path.basename(os.path.abspath(folder))


class Masks:
    """The masks below some folders, found by the names of images: NAME_mask.*, NAME.* or NAME/.

    A mask lies in folders that are named like the image's own, or in one above. Label files are
    masks, too; so are one that LabelMe wrote beside the image, and those for many images, which
    may also be given in place of a folder.
    """

    def __init__(self, *folders: Path) -> None:
        self._found: dict[tuple[str, ...], list[Path]] = defaultdict(list)
        self._claims: dict[Path, list[Path]] = defaultdict(list)
        self._unclear: dict[Path, list[Path]] = {}
        self._asides: dict[Path, list[Path]] = {}
        self._files: list[Path] = []
        self._many: dict[Path, bool] = {folder: False for folder in folders if folder.is_file()}
        """Label files for many images, and whether they speak of one that was asked for."""
        self._problems: list[Problem] = []
        for folder in folders:
            for place in walk(folder) if folder not in self._many else ():
                place.folders = [each for each in place.folders if each[1] != "hidden"]
                self._add(place, _keys(place.path.relative_to(folder).parts))

    def _add(self, place: Place, where: tuple[str, ...]) -> None:
        files = _images_and_masks(place)
        if files and where:
            self._found[where].append(place.path)
        labels = [file for file in place.named("ending") if is_label_file(file)]
        self._many |= {file: False for file in labels if is_for_many(file)}
        files += [file for file in labels if file not in self._many]
        for file in files:
            self._found[*where, key_of(file.stem)].append(file)
        self._files += files

    def of(self, image: Path, place: Sequence[str] = ()) -> Path | None:
        """Return the mask of an image, or None: there is none, or it cannot be told which.

        Args:
            image: its file.
            place: the folders that it lies in; those of masks have the same names, perhaps
                without the first.
        """
        where, stem = _keys(place), key_of(image.stem)
        for depth in range(len(where), -1, -1):
            for name in (f"{stem}_mask", stem, f"{stem}_json"):  # the last as LabelMe exports
                for start in (0, 1):
                    found = self._found.get((*where[start:depth], name))
                    if found:
                        return self._claim(image, found)
        return self._beside(image)

    def _beside(self, image: Path) -> Path | None:
        """Return a mask in the folder of its image, or what LabelMe wrote there."""
        if image.parent not in self._asides:
            self._asides[image.parent] = look_into(image.parent).named("mask")
        stem = key_of(image.stem)
        found = [mask for mask in self._asides[image.parent] if _owner(mask) == stem]
        return self._claim(image, found) if found else beside(image)

    def of_many(self, images: Sequence[Path]) -> dict[Path, Path]:
        """Return the label file for many that speaks of each image; not of all of them, mostly."""
        found: dict[Path, list[Path]] = defaultdict(list)
        for file in self._many:
            for alike in filter(None, spoken_of(file, images)):
                self._many[file] = True
                for image in alike:
                    found[image].append(file)
                if len(alike) > 1:
                    what = f"'{alike[0].name}' may be {_either(alike)}; give each a name of its own"
                    self._problems.append(Problem(file, what, "fatal"))
        self._unclear |= {image: files for image, files in found.items() if len(files) > 1}
        return {image: files[0] for image, files in found.items() if len(files) == 1}

    def _claim(self, image: Path, found: list[Path]) -> Path | None:
        for mask in found:
            self._claims[mask].append(image)
        if len(found) == 1:
            return found[0]
        self._unclear[image] = found
        return None

    def unused(self) -> list[Problem]:
        """Return a problem for each mask that no image has, and for each that several may have."""
        used = self._claims
        problems = self._problems + [
            Problem(mask, "a mask that belongs to no image")
            for mask in sorted(self._files)
            if mask not in used and mask.parent not in used
        ]
        what = "a label file that speaks of no image here"
        problems += (Problem(file, what) for file, used in self._many.items() if not used)
        for image, found in self._unclear.items():
            what = f"its mask may be {_either(found)}; keep one of them"
            problems.append(Problem(image, what, "fatal"))
        for mask, images in used.items():
            if len(images) > 1:
                what = f"it may be the mask of {_either(images)}; put each in a folder of its own"
                problems.append(Problem(mask, what, "fatal"))
        return problems


def check_chosen(root: Path, **chosen: str | None) -> None:
    """Refuse the value of an option that names no folder, nor, of labels or masks, a label file.

    Raises:
        InputError: it is not there.
    """
    for option, name in chosen.items():
        path = root / (name or "")
        is_file = option in ("labels", "masks") and is_label_file(path) and path.is_file()
        if name and not (path.is_dir() or is_file):
            raise InputError(f"{path}: no such folder; name it with --set dataset.{option}")


def label_places(root: Path, *others: Path) -> list[Path]:
    """Return the folders of masks and label files of usual names, and files for many images.

    Args:
        root: where all of these may be.
        others: where there may be folders of masks.
    """
    folders = [each for place in (root, *others) for each in folders_in(place)]
    masks = [each for each in folders if is_mask_folder(each.name)]
    labels = [each for each in folders_named(root, *LABELS) if each not in masks]
    return [*masks, *labels, *filter(is_for_many, look_into(root).named("ending"))]


def _owner(mask: Path) -> str | None:
    found = MASK_BESIDE.fullmatch(mask.stem)
    return key_of(found[1]) if found else None


def _keys(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(key_of, names))


def _either(paths: Sequence[Path]) -> str:
    together = len({path.parent for path in paths}) == 1
    return " or ".join(path.name if together else str(path) for path in sorted(paths))


def samples_below(
    folder: Path, category: str, defect: str | None, split: Split, masks: Masks | None = None
) -> Iterator[Sample]:
    """Yield a sample for each image in a folder and in its own.

    Args:
        folder: it may be missing.
        category: what the images show.
        defect: what is wrong with them; None of normal images.
        split: what they are for.
        masks: where theirs are looked for.
    """
    for image in images_below(folder):
        place = image.relative_to(folder).parts[:-1]
        mask = masks.of(image, place) if masks else None
        yield labelled(image, category, split, defect, mask)


def labelled(
    image: Path, category: str, split: Split, defect: str | None = None, mask: Path | None = None
) -> Sample:
    """Return the sample of an image: anomalous if it has a defect."""
    label: Label = "normal" if defect is None else "anomalous"
    return Sample(image, label, category, split, defect or GOOD, mask)
