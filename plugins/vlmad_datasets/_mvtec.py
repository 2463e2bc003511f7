"""MVTec AD's layout, and those that differ from it in a word.

Bergmann et al., CVPR 2019 (AD); Bergmann et al., IJCV 2022 (LOCO); Heckler-Kram et al., 2025,
arXiv 2503.21622 (AD 2); Jezek et al., ICUMT 2021 (MPDD); Mishra et al., ISIE 2021 (BTAD); Aota
et al., WACV 2023 (DTD-Synthetic).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import GOOD, Contents, Dataset, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._layout import (
    Masks,
    folders_in,
    folders_named,
    images_below,
    images_in,
    labelled,
    name_of,
    samples_below,
)
from vlmad_datasets.sides import key_of, side_of
from vlmad_run.walking import is_mask_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vlmad.datasets import Split

MPDD_CATEGORY = re.compile(r"bracket_(black|brown|white)|connector|metal_plate|tubes")
DTD_CATEGORY = re.compile(
    r"(woven|stratified|blotchy|marbled|perforated|mesh|fibrous|matted)_\d{3}", re.IGNORECASE
)
PUBLIC = "test_public"
TEST_FOLDERS = ("test", PUBLIC)
UNLABELLED = ("test_private", "test_private_mixed")
"""Folders of AD 2 whose labels are not published."""
OK = "ok"


class Mvtec(Dataset):
    """A folder for each category: train/good, test/DEFECT, ground_truth/DEFECT.

    The root may also be a single category. Masks are NAME_mask.png, NAME.png, or, as in LOCO,
    a folder NAME of several, which are merged. AD 2's test_public, with its ground_truth
    inside, takes the place of test; its unlabelled test folders are left out. Names count in
    any spelling, and good by any usual name; images lie at any depth.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are categories, all of the data set and not all of another."""
        categories = cls._recognised(root)
        if not categories or not all(map(cls.is_own, categories)):
            return False
        return not any(all(map(other.is_own, categories)) for other in cls.__subclasses__())

    @staticmethod
    def is_own(category: Path) -> bool:
        """Tell the data set's categories from those of others in this layout."""
        return True

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are images for training, but none in a folder good."""
        if cls is not Mvtec:  # nothing tells yet which of the data sets in this layout it is
            return None
        splits = (each for f in (root, *folders_in(root)) for each in folders_named(f, "train"))
        found = next(filter(images_in, splits), None)
        return f"the images in {found} are not in a folder good" if found else None

    def read(self) -> Contents:
        """Return the samples of all categories, by name."""
        samples: list[Sample] = []
        problems: list[Problem] = []
        categories = self._categories(self.root)
        if not categories:
            places = f"train/{GOOD} or test/{GOOD}"
            raise InputError(f"{self.root} has no {places}, nor have its folders")
        for folder in categories:
            self._read_split(folder, "train", samples)
            self._read_split(folder, "validation", samples)
            self._read_test(folder, samples, problems)
        if categories != [self.root]:
            for folder in sorted(set(folders_in(self.root)) - set(categories)):
                what = "not laid out as a category, left out"
                problems.append(Problem(folder, what, "note"))
        return Contents(tuple(samples), tuple(problems))

    @classmethod
    def _recognised(cls, root: Path) -> list[Path]:
        """Return the categories, none where good and bad lie side by side: that is no split."""
        sides = {side_of(folder.name) for folder in folders_in(root)}
        return [] if sides >= {"normal", "anomalous"} else cls._categories(root)

    @classmethod
    def _categories(cls, root: Path) -> list[Path]:
        if _normal_folders(root):
            return [root]
        return [folder for folder in folders_in(root) if _normal_folders(folder)]

    def _read_split(self, folder: Path, split: Split, samples: list[Sample]) -> None:
        for place in folders_named(folder, split):
            samples += (labelled(each, name_of(folder), split) for each in images_in(place))
            for kind in folders_in(place):
                samples += samples_below(kind, name_of(folder), _defect(kind), split)

    def _read_test(self, folder: Path, samples: list[Sample], problems: list[Problem]) -> None:
        tests = next(filter(None, (folders_named(folder, name) for name in TEST_FOLDERS)), [])
        inside = [each for test in tests for each in _mask_folders(test)]
        truths = [kind for truth in inside or _mask_folders(folder)
                  for kind in folders_in(truth)]  # fmt: skip
        tested = [kind for test in tests for kind in folders_in(test) if kind not in inside]
        for kinds in _by_name(tested):
            masks = Masks(*(each for each in truths if key_of(each.name) == key_of(kinds[0].name)))
            for kind in kinds:
                samples += samples_below(kind, name_of(folder), _defect(kinds[0]), "test", masks)
                if not images_below(kind):
                    problems.append(Problem(kind, "a folder without images"))
            problems += masks.unused()
        keys = {key_of(kind.name) for kind in tested}
        name = tests[0].name if tests else TEST_FOLDERS[0]
        for kind in truths:
            if key_of(kind.name) not in keys:
                problems.append(Problem(kind, f"masks, but there is no {name}/{kind.name}"))
        for place in folders_named(folder, *UNLABELLED):
            problems.append(Problem(place, "no labels are known, left out", "note"))


def _normal_folders(category: Path) -> list[Path]:
    """Return the folders of good images of a category; none if it is no category."""
    splits = folders_named(category, "train", *TEST_FOLDERS)
    return [each for split in splits for each in folders_in(split) if _defect(each) is None]


def _mask_folders(folder: Path) -> list[Path]:
    return [each for each in folders_in(folder) if is_mask_folder(each.name)]


def _defect(kind: Path) -> str | None:
    return None if side_of(kind.name) == "normal" else kind.name


def _by_name(folders: Iterable[Path]) -> Iterable[list[Path]]:
    """Return folders together whose names differ in their spelling only."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        found[key_of(folder.name)].append(folder)
    return found.values()


class MvtecAd2(Mvtec):
    """MVTec AD 2: the public test images and their masks in test_public, in several lightings.

    Args:
        lighting: only images under test whose names end so: regular, overexposed, underexposed,
            shift_1 …; all by default.
    """

    def __init__(self, root: Path, lighting: str | None = None) -> None:
        super().__init__(root)
        self.lighting = lighting

    @staticmethod
    def is_own(category: Path) -> bool:
        """Return whether there is a folder test_public."""
        return bool(folders_named(category, PUBLIC))

    def read(self) -> Contents:
        """Return the samples of all categories, by name."""
        contents = super().read()
        if self.lighting is None:
            return contents
        tested = [each for each in contents.samples if each.split == "test"]
        ending = f"_{key_of(self.lighting)}"
        kept = [each for each in tested if key_of(each.image.stem).endswith(ending)]
        if not kept:
            known = ", ".join(sorted({each.image.stem.partition("_")[2] for each in tested}))
            raise InputError(f"no test image has the lighting '{self.lighting}'; known: {known}")
        others = (each for each in contents.samples if each.split != "test")
        return Contents((*others, *kept), contents.problems)


class Mpdd(Mvtec):
    """Painted metal parts in MVTec AD's layout; recognised by the names of its categories."""

    @staticmethod
    def is_own(category: Path) -> bool:
        """Return whether it is one of MPDD's six."""
        return bool(MPDD_CATEGORY.fullmatch(name_of(category)))


class DtdSynthetic(Mvtec):
    """Textures of DTD with drawn defects in MVTec AD's layout; recognised by names as Woven_001."""

    @staticmethod
    def is_own(category: Path) -> bool:
        """Return whether it is called as those of DTD-Synthetic are."""
        return bool(DTD_CATEGORY.fullmatch(name_of(category)))

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        kind, _, number = category.rpartition("_")
        return f"{kind.casefold()} texture" if kind and number.isdigit() else category


class Btad(Mvtec):
    """A folder for each product: train/ok, test/ok, test/ko, ground_truth/ko.

    The categories have only numbers, so prompts speak of an object.
    """

    @staticmethod
    def is_own(category: Path) -> bool:
        """Return whether its good images lie in folders `ok`."""
        return {key_of(folder.name) for folder in _normal_folders(category)} == {OK}

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        return "object" if category.isdigit() else super().class_name(category)
