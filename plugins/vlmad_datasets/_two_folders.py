"""Good and bad images in two folders, for those who bring their own."""

from __future__ import annotations

from pathlib import Path

from vlmad.datasets import GOOD, Contents, Dataset, Problem
from vlmad.errors import InputError
from vlmad_datasets._layout import Masks, folders_in, name_of, samples_in

BAD, TRAIN, MASKS = "bad", "train", "masks"


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
        self.good, self.bad = root / good, root / bad
        self.train, self.masks = root / (train or TRAIN), root / (masks or MASKS)
        self.category = category or name_of(root)
        for name in filter(None, (good, bad, train, masks)):
            if not (root / name).is_dir():
                remedy = "name it with --set dataset.good or .bad"
                raise InputError(f"{root / name}: no such folder; {remedy}")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are folders good and bad."""
        return (root / GOOD).is_dir() and (root / BAD).is_dir()

    def read(self) -> Contents:
        """Return train, good and bad images, in this order."""
        samples = [
            *samples_in(self.train, self.category, None, "train"),
            *samples_in(self.train / GOOD, self.category, None, "train"),
            *samples_in(self.good, self.category, None, "test"),
        ]
        problems: list[Problem] = []
        shared, kinds = Masks(self.masks), folders_in(self.bad)
        for folder in (self.bad, *kinds):
            own = Masks(self.masks / folder.name)
            samples += samples_in(folder, self.category, folder.name, "test", own, shared)
            problems += own.unused()
        # folders of masks for one defect were looked into by themselves
        names = {folder.name for folder in kinds}
        problems += (problem for problem in shared.unused() if problem.path.name not in names)
        return Contents(tuple(samples), tuple(problems))
