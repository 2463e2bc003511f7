"""Layouts with a mask for each image, which its name tells from it.

Tabernik et al., J. Intell. Manuf. 2020 (KolektorSDD); Božič et al., Comput. Ind. 2021 (SDD2);
Weakly Supervised Learning for Industrial Optical Inspection, competition at the DAGM symposium
2007, by the Heidelberg Collaboratory for Image Processing and Robert Bosch GmbH (DAGM); Huang et
al., The Visual Computer 2020 (magnetic tiles).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from vlmad.datasets import Contents, Dataset, Problem
from vlmad.errors import InputError, first_line
from vlmad_datasets._layout import (
    ANY_DEFECT,
    folders_in,
    folders_named,
    images_and_masks_in,
    images_in,
    labelled,
    name_of,
)
from vlmad_datasets.masks import read_mask
from vlmad_datasets.sides import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmad.datasets import Sample, Split


class LaidOut(NamedTuple):
    """A folder of images, and what the names of folders say of them: split, category, kind."""

    folder: Path
    named: dict[str, str]


class Pairs(Dataset):
    """The base of these layouts, which differ in names and in what tells the defective images.

    All images are under test where a data set has no split. Defective ones for training are for
    supervised methods and left out.
    """

    folders: ClassVar[Sequence[str]]
    """Patterns of the folders to those of images; a first one that is optional ends in ``?``."""
    masks = r"(.+)_label\.\w+"
    """The pattern of a mask's name, which begins with that of its image."""
    mask_folder = ""
    """Where masks are, from their images."""
    category = ""
    """The name of the only one, if folders do not name it."""
    resembling: ClassVar[Sequence[str]] = ()
    """Patterns of folders that are those of no other layout."""
    example = ""
    """A mask."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are folders of the layout with masks."""
        return any(cls._masks(place.folder) for place in _matching(root, cls.folders))

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are folders of the layout, but no masks."""
        found = cls.resembling and any(_matching(root, cls.resembling))
        return f"there are no masks such as {cls.example}" if found else None

    def read(self) -> Contents:
        """Return the images, those for training first."""
        problems: list[Problem] = []
        places = sorted(_matching(self.root, self.folders), key=_is_tested)
        found = [each for place in places for each in self._samples(place, problems)]
        kept = [sample for sample in found if not (sample.anomalous and sample.split == "train")]
        if len(kept) < len(found):
            what = f"{len(found) - len(kept)} defective images for supervised training, left out"
            problems.append(Problem(self.root, what, "note"))
        return Contents(tuple(kept), tuple(problems))

    def defect(self, mask: Path | None, kind: str) -> str | None:
        """Return what is wrong with an image, None if nothing is; by default where masks mark."""
        if mask is None:
            raise InputError("no mask beside it, so its label is unknown, left out")
        return ANY_DEFECT if read_mask(mask).marked.any() else None

    def _samples(self, place: LaidOut, problems: list[Problem]) -> Iterator[Sample]:
        if self.mask_folder and not self._masks(place.folder):
            what = f"no masks in a folder {self.mask_folder}, so its defects are unknown, left out"
            problems.append(Problem(place.folder, what))
            return
        category = self.category or place.named.get("category") or name_of(self.root)
        split: Split = "test" if _is_tested(place) else "train"
        for image, mask in self._pairs(place.folder, problems):
            try:
                defect = self.defect(mask, place.named.get("kind", ""))
            except InputError as error:
                what = first_line(error).removeprefix(f"{mask}: ")
                problems.append(Problem(mask or image, what, "fatal" if mask else "warning"))
                continue
            yield labelled(image, category, split, defect, mask)

    def _pairs(self, folder: Path, problems: list[Problem]) -> Iterator[tuple[Path, Path | None]]:
        """Yield each image with its mask; images with several, and masks without, are problems."""
        masks = self._masks(folder)
        files = {mask for found in masks.values() for mask in found}
        for image in (file for file in images_in(folder) if file not in files):
            found = masks.pop(key_of(image.stem), [])
            if len(found) > 1:
                both = " and ".join(mask.name for mask in found)
                problems.append(Problem(image, f"has several masks: {both}", "fatal"))
            yield image, found[0] if found else None
        unused = (mask for found in masks.values() for mask in found)
        problems += (Problem(mask, "a mask that belongs to no image") for mask in unused)

    @classmethod
    def _masks(cls, folder: Path) -> dict[str, list[Path]]:
        """Return the masks of a folder of images, by the names of these."""
        masks: dict[str, list[Path]] = defaultdict(list)
        for place in folders_named(folder, cls.mask_folder) if cls.mask_folder else (folder,):
            for file in images_and_masks_in(place):
                if owner := cls._owner(file):
                    masks[key_of(owner)].append(file)
        return masks

    @classmethod
    def _owner(cls, file: Path) -> str | None:
        """Return the name of the image that a mask belongs to; None of an image."""
        found = re.fullmatch(cls.masks, file.name, re.IGNORECASE | re.DOTALL)
        return found[1] if found else None


def _matching(root: Path, patterns: Sequence[str]) -> Iterator[LaidOut]:
    """Yield the folders that lie as deep as there are patterns, and match them."""
    if not patterns:
        yield LaidOut(root, {})
        return
    for folder in folders_in(root):
        if found := re.fullmatch(patterns[0], folder.name, re.IGNORECASE):
            for inner in _matching(folder, patterns[1:]):
                yield LaidOut(inner.folder, found.groupdict() | inner.named)
    if patterns[0].endswith("?"):
        yield from _matching(root, patterns[1:])


def _is_tested(place: LaidOut) -> bool:
    return place.named.get("split", "test").casefold() == "test"


class KolektorSdd(Pairs):
    """Fifty electrical commutators, kos01/Part0.jpg with the mask kos01/Part0_label.bmp."""

    folders = resembling = (r"kos\d+",)
    category, example = "electrical_commutator", "kos01/Part0_label.bmp"


class KolektorSdd2(Pairs):
    """Production items, train/10000.png with the mask train/10000_GT.png, and test."""

    folders = ("(?P<split>train|test)",)
    masks, category = r"(.+)_gt\.\w+", "surface"


class Dagm(Pairs):
    """Textures Class1 to Class10: Train/0576.PNG, its mask Train/Label/0576_label.PNG, and Test.

    An image with a mask is defective. The root may also be a single class.
    """

    folders = (r"(?P<category>class\d+)?", "(?P<split>train|test)")
    resembling = (r"class\d+", "train|test")
    mask_folder, example = "Label", "Class1/Train/Label/0576_label.PNG"

    def defect(self, mask: Path | None, kind: str) -> str | None:
        """Return that an image with a mask is defective."""
        return ANY_DEFECT if mask else None

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        known = re.fullmatch(r"class\d+", category, re.IGNORECASE)
        return "textured surface" if known else super().class_name(category)


class MagneticTile(Pairs):
    """Tiles by their defect, MT_Crack/Imgs/NAME.jpg with the mask NAME.png, and MT_Free."""

    folders = ("mt_(?P<kind>.+)", "imgs")
    masks, category = r"(.+)\.png", "magnetic_tile"
    resembling, example = ("mt_.+",), "MT_Crack/Imgs/NAME.png"

    def defect(self, mask: Path | None, kind: str) -> str | None:
        """Return the defect that an image's folder names."""
        return None if kind.casefold() == "free" else kind.casefold()
