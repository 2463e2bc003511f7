"""MVTec AD's layout, and those that differ from it in a word.

Bergmann et al., CVPR 2019 (AD); Bergmann et al., IJCV 2022 (LOCO); Heckler-Kram et al., 2025,
arXiv 2503.21622 (AD 2); Jezek et al., ICUMT 2021 (MPDD); Mishra et al., ISIE 2021 (BTAD).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vlmad.datasets import Contents, Dataset, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._layout import Masks, folders_in, images_in, name_of, samples_in

if TYPE_CHECKING:
    from vlmad.datasets import Split

MPDD_CATEGORIES = frozenset(
    {"bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes"}
)
TEST_FOLDERS = ("test", "test_public")
UNLABELLED = ("test_private", "test_private_mixed")
"""Folders of AD 2 whose labels are not published."""
GROUND_TRUTH = "ground_truth"


class Mvtec(Dataset):
    """A folder for each category: train/good, test/DEFECT, ground_truth/DEFECT.

    The root may also be a single category. Masks are NAME_mask.png, NAME.png, or, as in LOCO,
    a folder NAME of several, which are merged. AD 2's test_public, with its ground_truth
    inside, takes the place of test; its unlabelled test folders are left out.
    """

    good: ClassVar[str] = "good"

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is a category, and the categories are not those of MPDD."""
        names = {name_of(folder) for folder in cls._categories(root)}
        return bool(names) and not names <= MPDD_CATEGORIES

    def read(self) -> Contents:
        """Return the samples of all categories, by name."""
        samples: list[Sample] = []
        problems: list[Problem] = []
        categories = self._categories(self.root)
        if not categories:
            places = f"train/{self.good} or test/{self.good}"
            raise InputError(f"{self.root} has no {places}, nor have its folders")
        for folder in categories:
            self._read_split(folder / "train", "train", samples)
            self._read_split(folder / "validation", "validation", samples)
            self._read_test(folder, samples, problems)
        if categories != [self.root]:
            for folder in sorted(set(folders_in(self.root)) - set(categories)):
                what = "not laid out as a category, left out"
                problems.append(Problem(folder, what, "note"))
        return Contents(tuple(samples), tuple(problems))

    @classmethod
    def _categories(cls, root: Path) -> list[Path]:
        if cls._is_category(root):
            return [root]
        return [folder for folder in folders_in(root) if cls._is_category(folder)]

    @classmethod
    def _is_category(cls, folder: Path) -> bool:
        return any((folder / split / cls.good).is_dir() for split in ("train", *TEST_FOLDERS))

    def _read_split(self, folder: Path, split: Split, samples: list[Sample]) -> None:
        for kind in folders_in(folder):
            samples += samples_in(kind, name_of(folder.parent), self._defect(kind), split)

    def _read_test(self, folder: Path, samples: list[Sample], problems: list[Problem]) -> None:
        places = [folder / name for name in TEST_FOLDERS]
        test = next(filter(Path.is_dir, places), places[0])
        inside = test / GROUND_TRUTH
        truth = inside if inside.is_dir() else folder / GROUND_TRUTH
        for kind in folders_in(test):
            if kind == inside:
                continue
            masks = Masks(truth / kind.name)
            samples += samples_in(kind, name_of(folder), self._defect(kind), "test", masks)
            problems += masks.unused()
            if not images_in(kind):
                problems.append(Problem(kind, "a folder without images"))
        for kind in folders_in(truth):
            if not (test / kind.name).is_dir():
                problems.append(Problem(kind, f"masks, but there is no {test.name}/{kind.name}"))
        for place in (folder / name for name in UNLABELLED):
            if place.is_dir():
                problems.append(Problem(place, "no labels are known, left out", "note"))

    def _defect(self, kind: Path) -> str | None:
        return None if kind.name == self.good else kind.name


class Mpdd(Mvtec):
    """Painted metal parts in MVTec AD's layout; recognised by the names of its categories."""

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether all categories are those of MPDD."""
        names = {name_of(folder) for folder in cls._categories(root)}
        return bool(names) and names <= MPDD_CATEGORIES


class Btad(Mvtec):
    """A folder for each product: train/ok, test/ok, test/ko, ground_truth/ko.

    The categories have only numbers, so prompts speak of an object.
    """

    good: ClassVar[str] = "ok"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is a product with a folder `ok`."""
        return bool(cls._categories(root))

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        return "object" if category.isdigit() else super().class_name(category)
