"""Good and bad images in two folders, for those who bring their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmad import Contents, Dataset, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._layout import Masks, folders_in, images_in, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD, BAD, TRAIN, MASKS = "good", "bad", "train", "masks"


class TwoFolders(Dataset):
    """A folder of good and one of bad images; folders inside of bad are named for defects.

    Masks are found by name: NAME_mask.*, NAME.* or a folder NAME, in masks/ or masks/DEFECT.

    Args:
        good: the folder of good images under test, from the root.
        bad: the folder of bad images, from the root.
        train: a folder of good images to take references from; train if there is one.
        masks: the folder of masks; masks if there is one.
        category: what the images show; the root's name by default.
    """

    def __init__(
        self,
        root: Path,
        good: str = GOOD,
        bad: str = BAD,
        train: str | None = None,
        masks: str | None = None,
        category: str | None = None,
    ) -> None:
        self.root = root
        self.good = self._folder(good)
        self.bad = self._folder(bad)
        self.train = self._optional(train, TRAIN)
        self.masks = self._optional(masks, MASKS)
        self.category = category or name_of(root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are folders good and bad."""
        return (root / GOOD).is_dir() and (root / BAD).is_dir()

    def read(self) -> Contents:
        """Return train, good and bad images, in this order."""
        samples: list[Sample] = []
        problems: list[Problem] = []
        for folder in [] if self.train is None else [self.train, self.train / GOOD]:
            samples += (Sample(i, "normal", self.category, "train") for i in images_in(folder))
        samples += (Sample(image, "normal", self.category) for image in images_in(self.good))
        shared = None if self.masks is None else Masks(self.masks)
        for folder in (self.bad, *folders_in(self.bad)):
            samples += self._bad_ones(folder, shared, problems)
        if shared is not None:  # folders of masks by defect are looked into by themselves
            defects = {folder.name for folder in folders_in(self.bad)}
            problems += (p for p in shared.unused() if p.path.name not in defects)
        return Contents(tuple(samples), tuple(problems))

    def _bad_ones(
        self, folder: Path, shared: Masks | None, problems: list[Problem]
    ) -> Iterator[Sample]:
        defect = self.bad.name if folder == self.bad else folder.name
        own = Masks(self.masks / defect) if self.masks is not None else None
        for image in images_in(folder):
            mask = own.of(image) if own else None
            if mask is None and shared is not None:
                mask = shared.of(image)
            yield Sample(image, "anomalous", self.category, defect=defect, mask=mask)
        problems += own.unused() if own else ()

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name it with --set dataset.good or .bad")
        return folder

    def _optional(self, name: str | None, usual: str) -> Path | None:
        if name is not None:
            return self._folder(name)
        folder = self.root / usual
        return folder if folder.is_dir() else None
