"""DAGM 2007's textures.

Weakly Supervised Learning for Industrial Optical Inspection, competition at the DAGM symposium
2007, by the Heidelberg Collaboratory for Image Processing and Robert Bosch GmbH.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import Contents, Dataset, Problem
from vlmad_datasets._beside import (
    ANY_DEFECT,
    labelled,
    owner_by,
    pairs,
    without_defective_references,
)
from vlmad_datasets._layout import folders_in, folders_named, images_in, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Sample, Split

TEXTURE = re.compile(r"class\d+", re.IGNORECASE)
OWNER = owner_by("_label")
MASKS = "label"
SPLITS: tuple[Split, ...] = ("train", "test")


class Dagm(Dataset):
    """Textures Class1 to Class10: Train/0576.PNG, its mask Train/Label/0576_label.PNG, and Test.

    An image with a mask is defective. Defective ones in Train are for supervised training and
    left out. The root may also be a single class.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is a class with Train/Label or Test/Label."""
        return any(True for _ in cls._textures(root))

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are classes, but no folders of masks."""
        classes = [folder for folder in folders_in(root) if TEXTURE.fullmatch(folder.name)]
        found = any(folders_named(folder, *SPLITS) for folder in classes)
        return "there are no masks in folders Train/Label and Test/Label" if found else None

    def read(self) -> Contents:
        """Return the images of all classes, those of Train before those of Test."""
        problems: list[Problem] = []
        samples = [
            sample
            for texture in self._textures(self.root)
            for split in SPLITS
            for sample in self._samples(texture, split, problems)
        ]
        return Contents(
            tuple(without_defective_references(samples, self.root, problems)), tuple(problems)
        )

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        return "textured surface" if TEXTURE.fullmatch(category) else super().class_name(category)

    @classmethod
    def _textures(cls, root: Path) -> Iterator[Path]:
        classes = (folder for folder in folders_in(root) if TEXTURE.fullmatch(folder.name))
        for folder in (root, *classes):
            if any(folders_named(split, MASKS) for split in folders_named(folder, *SPLITS)):
                yield folder

    def _samples(self, texture: Path, split: Split, problems: list[Problem]) -> Iterator[Sample]:
        for folder in folders_named(texture, split):
            masks = [mask for each in folders_named(folder, MASKS) for mask in images_in(each)]
            if not masks:
                what = "no masks in a folder Label, so its defects are unknown, left out"
                problems.append(Problem(folder, what))
                continue
            for image, mask in pairs((*images_in(folder), *masks), OWNER, problems):
                defect = ANY_DEFECT if mask else None
                yield labelled(image, name_of(texture), split, defect, mask)
