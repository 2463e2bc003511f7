"""The file `meta.json` that AnomalyCLIP and methods after it are given (Zhou et al., ICLR 2024)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from vlmad.datasets import Contents, Dataset, Problem
from vlmad.errors import InputError
from vlmad_datasets._foreign import ForeignTable, inside, json_table, label_text, reading
from vlmad_datasets._layout import ANY_DEFECT, labelled
from vlmad_datasets._mvtec import Btad, DtdSynthetic, Mpdd, Mvtec, MvtecAd2
from vlmad_datasets._pairs import Dagm, KolektorSdd, KolektorSdd2, MagneticTile
from vlmad_datasets._real_iad import RealIad
from vlmad_datasets._two_folders import TwoFolders
from vlmad_datasets._visa import Visa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Sample, Split

FILE = "meta.json"
SUFFIX = ".json"
KEYS = (b'"img_path"', b'"cls_name"')
HEAD = 65536
"""In so many bytes at the beginning of the file its first image is listed."""
IN_MVTECS = (Mvtec, MvtecAd2, Mpdd, DtdSynthetic, Btad)
FOLDERS = (
    *IN_MVTECS, Visa, TwoFolders, RealIad, KolektorSdd, KolektorSdd2, Dagm, MagneticTile,
)  # fmt: skip
"""Layouts that need no such file; the training scripts leave one beside them."""


class ListedImage(ForeignTable):
    """One image."""

    img_path: str
    mask_path: str | None = None
    specie_name: str = ""
    anomaly: Literal[0, 1]


class MetaFile(ForeignTable):
    """The images of each class that are trained on and tested."""

    train: dict[str, list[ListedImage]] = Field(default_factory=dict)
    test: dict[str, list[ListedImage]]


class MetaJson(Dataset):
    """Images, masks and defects as a file meta.json lists them, by class.

    The root is the file, or its folder; paths start from there.
    """

    def __init__(self, root: Path) -> None:
        self.file = root / FILE if root.is_dir() else root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether it is such a file, or the folder of one that has no other layout."""
        if root.suffix.lower() == SUFFIX and root.is_file():
            return _lists_images(root)
        others = (reader.recognises(root) for reader in FOLDERS)
        return (root / FILE).is_file() and _lists_images(root / FILE) and not any(others)

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there is such a file, but of another form."""
        what = f"{FILE} does not list images with img_path and cls_name"
        return what if (root / FILE).is_file() else None

    def read(self) -> Contents:
        """Return the samples in the order of the file, train before test."""
        with reading(self.file):
            meta = MetaFile.of(json_table(label_text(self.file)))
        problems: list[Problem] = []
        samples = (*self._samples("train", meta, problems), *self._samples("test", meta, problems))
        return Contents(samples, tuple(problems))

    def _samples(self, split: Split, meta: MetaFile, problems: list[Problem]) -> Iterator[Sample]:
        for category, images in (meta.train if split == "train" else meta.test).items():
            for number, listed in enumerate(images):
                try:
                    yield self._sample(listed, category, split)
                except InputError as error:
                    place = f"{split}.{category}.{number}"
                    problems.append(Problem(self.file, f"{place}: {error}", "fatal"))

    def _sample(self, listed: ListedImage, category: str, split: Split) -> Sample:
        folder = self.file.parent
        image = inside(folder, listed.img_path)
        if not listed.anomaly:
            return labelled(image, category, split)
        mask = inside(folder, listed.mask_path) if listed.mask_path else None
        return labelled(image, category, split, listed.specie_name or ANY_DEFECT, mask)


def _lists_images(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    return all(key in head for key in KEYS)
