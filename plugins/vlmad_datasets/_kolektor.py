"""Kolektor's surfaces, with a mask beside every image.

Tabernik et al., J. Intell. Manuf. 2020 (KolektorSDD); Božič et al., Comput. Ind. 2021 (SDD2).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import Contents, Dataset, Problem
from vlmad_datasets._beside import (
    owner_by,
    pairs,
    sample_by_mask,
    without_defective_references,
)
from vlmad_datasets._layout import folders_in, folders_named, images_and_masks_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Sample, Split

ITEM = re.compile(r"kos\d+", re.IGNORECASE)
OWNER, OWNER_2 = owner_by("_label"), owner_by("_gt")
COMMUTATOR, ITEMS = "electrical_commutator", "surface"
SPLITS: tuple[Split, ...] = ("train", "test")


class KolektorSdd(Dataset):
    """Fifty electrical commutators, kos01/Part0.jpg with the mask kos01/Part0_label.bmp.

    All are under test, as the data set has no split. An image is defective where its mask
    marks something, so the masks are read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are folders kos01, kos02 …, the first with masks."""
        return any(map(OWNER, images_and_masks_in(next(_items(root), root / "kos01"))))

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are items, but no masks."""
        items = any(map(images_and_masks_in, _items(root)))
        return "there are no masks such as kos01/Part0_label.bmp" if items else None

    def read(self) -> Contents:
        """Return the images, item by item."""
        problems: list[Problem] = []
        samples = [
            sample
            for item in _items(self.root)
            for image, mask in pairs(images_and_masks_in(item), OWNER, problems)
            for sample in sample_by_mask(image, mask, COMMUTATOR, "test", problems)
        ]
        return Contents(tuple(samples), tuple(problems))


class KolektorSdd2(Dataset):
    """Production items, train/10000.png with the mask train/10000_GT.png, and test.

    An image is defective where its mask marks something, so the masks are read. Defective ones
    in train are for supervised training and left out.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether masks NAME_GT are right in train or test."""
        folders = folders_named(root, *SPLITS)
        return any(OWNER_2(file) for folder in folders for file in images_and_masks_in(folder))

    def read(self) -> Contents:
        """Return train and test images, in this order."""
        problems: list[Problem] = []
        samples = list(self._samples(problems))
        return Contents(
            tuple(without_defective_references(samples, self.root, problems)), tuple(problems)
        )

    def _samples(self, problems: list[Problem]) -> Iterator[Sample]:
        for split in SPLITS:
            folders = folders_named(self.root, split)
            files = [file for each in folders for file in images_and_masks_in(each)]
            for image, mask in pairs(files, OWNER_2, problems):
                yield from sample_by_mask(image, mask, ITEMS, split, problems)


def _items(root: Path) -> Iterator[Path]:
    return (folder for folder in folders_in(root) if ITEM.fullmatch(folder.name))
