"""MVTec AD's layout, and those that differ from it in a word.

Bergmann et al., CVPR 2019 (AD); Bergmann et al., IJCV 2022 (LOCO); Heckler-Kram et al., 2025,
arXiv 2503.21622 (AD 2); Jezek et al., ICUMT 2021 (MPDD); Mishra et al., ISIE 2021 (BTAD).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vlmad import Contents, Dataset, Problem, Sample
from vlmad.datasets import GOOD
from vlmad.errors import InputError
from vlmad_datasets._layout import Masks, folders_in, images_in, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Label, Split

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
            raise InputError(
                f"{self.root} has no train/{self.good} or test/{self.good}, nor have its folders"
            )
        for folder in categories:
            _read_category(folder, self.good, samples, problems)
        if categories != [self.root]:
            problems += _strangers(self.root, categories)
        return Contents(tuple(samples), tuple(problems))

    @classmethod
    def _categories(cls, root: Path) -> list[Path]:
        if cls._is_category(root):
            return [root]
        return [folder for folder in folders_in(root) if cls._is_category(folder)]

    @classmethod
    def _is_category(cls, folder: Path) -> bool:
        return any((folder / split / cls.good).is_dir() for split in ("train", *TEST_FOLDERS))


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


def _read_category(folder: Path, good: str, samples: list[Sample], problems: list[Problem]) -> None:
    category = name_of(folder)
    public = (folder / name for name in TEST_FOLDERS if (folder / name).is_dir())
    test = next(public, folder / TEST_FOLDERS[0])
    inside = test / GROUND_TRUTH
    truth = inside if inside.is_dir() else folder / GROUND_TRUTH
    for kind in _kinds(folder / "train"):
        samples += _samples(kind, category, "train", good)
    for kind in _kinds(folder / "validation"):
        samples += _samples(kind, category, "validation", good)
    for kind in _kinds(test):
        masks = Masks(truth / kind.name)
        samples += _samples(kind, category, "test", good, masks)
        problems += masks.unused()
        if not images_in(kind):
            problems.append(Problem(kind, "a folder without images"))
    for kind in folders_in(truth):
        if not (test / kind.name).is_dir():
            problems.append(Problem(kind, f"masks, but there is no {test.name}/{kind.name}"))
    for name in UNLABELLED:
        if (folder / name).is_dir():
            problems.append(Problem(folder / name, "no labels are known, left out", "note"))


def _kinds(split: Path) -> list[Path]:
    return [folder for folder in folders_in(split) if folder.name != GROUND_TRUTH]


def _samples(
    folder: Path, category: str, split: Split, good: str, masks: Masks | None = None
) -> Iterator[Sample]:
    """Yield the samples of one folder, whose name is that of the defect."""
    is_good = folder.name == good
    label: Label = "normal" if is_good else "anomalous"
    defect = GOOD if is_good else folder.name
    for image in images_in(folder):
        mask = None if masks is None else masks.of(image)
        yield Sample(image, label, category, split, defect, mask)


def _strangers(root: Path, categories: list[Path]) -> Iterator[Problem]:
    for folder in folders_in(root):
        if folder not in categories:
            yield Problem(folder, "not laid out as a category, left out", "note")
