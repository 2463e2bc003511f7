"""Real-IAD, by the JSON files that split it (Wang et al., CVPR 2024)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import Contents, Dataset, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._foreign import ForeignTable, inside, json_table, label_text, reading
from vlmad_datasets._layout import folders_in, folders_named, labelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Split

LISTS = "realiad_jsons"
PART = re.compile(r"S\d{3,}", re.IGNORECASE)
DEFECTS = {
    "AK": "pit",
    "BX": "deformation",
    "CH": "abrasion",
    "HS": "scratch",
    "PS": "damage",
    "QS": "missing parts",
    "YW": "foreign objects",
    "ZW": "contamination",
}


class ListedView(ForeignTable):
    """One photograph of a part."""

    image_path: str
    mask_path: str | None = None
    anomaly_class: str


class ListMeta(ForeignTable):
    """What holds for all photographs of a file."""

    prefix: str
    normal_class: str


class CategoryList(ForeignTable):
    """The file of one category."""

    meta: ListMeta
    train: list[ListedView]
    test: list[ListedView]


class RealIad(Dataset):
    """Parts seen from five sides; each view is an image with a label of its own.

    Args:
        split: the folder of JSON files, from the root; realiad_jsons (all views) by default,
            realiad_jsons/realiad_jsons_sv for those from above.
        images: the folder of images, from the root; by default the only one.
    """

    def __init__(self, root: Path, split: str | None = None, images: str | None = None) -> None:
        self.root, self.split, self.images = root, split, images

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is a folder realiad_jsons…."""
        return any(_holds_lists(folder) for folder in folders_in(root))

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are parts, in the folder or its own, but no lists of them."""
        parts = any(map(holds_parts, (root, *folders_in(root))))
        return f"there is no folder {LISTS}; name the folder that holds it" if parts else None

    def read(self) -> Contents:
        """Return the samples of each category, as its file lists them."""
        lists = self._lists()
        images = self._images([path.stem for path in lists])
        samples: list[Sample] = []
        problems: list[Problem] = []
        absent = []
        for path in lists:
            with reading(path):
                category = CategoryList.of(json_table(label_text(path)))
                folder = inside(images, category.meta.prefix or ".")
            if folder.is_dir():
                samples += self._samples(category, folder, path, problems)
            else:
                absent.append(path.stem)
        if absent:
            what = f"no images of {', '.join(absent)}, left out"
            problems.append(Problem(images, what, "note"))
        return Contents(tuple(samples), tuple(problems))

    def _samples(
        self, category: CategoryList, folder: Path, path: Path, problems: list[Problem]
    ) -> Iterator[Sample]:
        splits: dict[Split, list[ListedView]] = {"train": category.train, "test": category.test}
        for split, views in splits.items():
            for number, view in enumerate(views):
                good = view.anomaly_class == category.meta.normal_class
                defect = None if good else DEFECTS.get(view.anomaly_class, view.anomaly_class)
                try:
                    image = inside(folder, view.image_path)
                    drawn = view.mask_path and not good
                    mask = inside(folder, view.mask_path or "") if drawn else None
                except InputError as error:
                    problems.append(Problem(path, f"{split}.{number}: {error}", "fatal"))
                    continue
                yield labelled(image, path.stem, split, defect, mask)

    def _lists(self) -> list[Path]:
        """Return the JSON files of the split, by category."""
        usual = (f"{LISTS}/{LISTS}", LISTS)
        for name in (self.split,) if self.split else usual:
            folder = self.root / name
            found = sorted(folder.glob("*.json")) if folder.is_dir() else []
            if found:
                return found
        others = [f for f in folders_in(self.root) if _holds_lists(f)]
        names = " or ".join(_from(self.root, f) for o in others for f in (o, *folders_in(o)))
        where = self.root / (self.split or LISTS)
        raise InputError(f"{where}: no JSON files; choose with --set dataset.split: {names}")

    def _images(self, categories: list[str]) -> Path:
        """Return the folder of images: the one that is named, or the only one there is."""
        if self.images:
            return self.root / self.images
        folders = [f for f in folders_in(self.root) if not _holds_lists(f)]
        found = [f for f in folders if any((f / name).is_dir() for name in categories)]
        if len(found) == 1:
            return found[0]
        names = " or ".join(folder.name for folder in found)
        several = f"images in {names}" if names else f"no folder holds {categories[0]} …"
        raise InputError(f"{self.root}: {several}; choose with --set dataset.images=FOLDER")


def holds_parts(category: Path) -> bool:
    """Return whether a folder has good parts in folders OK/S0001, as Real-IAD's categories do."""
    good = folders_named(category, "ok")
    return any(PART.fullmatch(part.name) for each in good for part in folders_in(each))


def _holds_lists(folder: Path) -> bool:
    return folder.name.casefold().startswith(LISTS)


def _from(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()
