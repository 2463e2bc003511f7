"""Good and bad images in two folders, for those who bring their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import GOOD, Contents, Dataset, Sample
from vlmad.errors import InputError
from vlmad_datasets._layout import (
    LABELS,
    Masks,
    check_chosen,
    folders_in,
    folders_named,
    images_below,
    label_places,
    name_of,
    samples_below,
)
from vlmad_datasets._real_iad import holds_parts
from vlmad_datasets.sides import key_of, side_of
from vlmad_run.walking import is_mask_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Label, Split

BAD, TRAIN = "bad", ("train", "training")
REMEDY = "name it with --set dataset.good or .bad"


class TwoFolders(Dataset):
    """A folder of good and one of bad images, by their usual names: good, ok … and bad, ng ….

    Images lie at any depth; the first folder inside of bad names the defect. Masks are found by
    name: NAME_mask.*, NAME.* or a folder NAME, in masks/ or its folders of the same names. Label
    files of annotation tools are masks, in masks/, beside their images or for all of them.

    Args:
        good: the folder of good images under test, from the root; any of a usual name by default.
        bad: the folder of bad images, from the root; likewise.
        train: a folder of good images to take references from; train if there is one.
        masks: the folder of masks, or the label file of all images; by default those of usual
            names: masks, ground_truth, annotations, labels, annotations.json ….
        category: what the images show; the root's name by default.
    """

    def __init__(
        self,
        root: Path,
        good: str | None = None,
        bad: str | None = None,
        train: str | None = None,
        masks: str | None = None,
        category: str | None = None,
    ) -> None:
        check_chosen(root, good=good, bad=bad, train=train, masks=masks)
        self.good = [root / good] if good else _of_side(root, "normal")
        self.bad = [root / bad] if bad else _of_side(root, "anomalous")
        self.train = [root / train] if train else folders_named(root, *TRAIN)
        self.masks = [root / masks] if masks else label_places(root, *self.bad)
        self.category = category or name_of(root)
        for name, found in ((GOOD, self.good), (BAD, self.bad)):
            if not found:
                raise InputError(f"{root / name}: no such folder; {REMEDY}")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are folders of good and of bad images."""
        sides = {side_of(folder.name) for folder in folders_in(root)}
        return sides >= {"normal", "anomalous"} and not holds_parts(root)

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there is a folder of good images, but none of bad ones."""
        if not _of_side(root, "normal") or _of_side(root, "anomalous"):
            return None
        others = [f.name for f in folders_in(root) if not (side_of(f.name) or _is_known(f.name))]
        move = "put those of defects into one folder bad"
        name = f"name it with --dataset folder --set 'dataset.bad={others[0]}'" if others else ""
        return f"there is no folder of bad images; {name if len(others) == 1 else move}"

    def read(self) -> Contents:
        """Return train, good and bad images, in this order."""
        masks = Masks(*self.masks)
        samples = [sample for folder in self.train for sample in self._trained(folder)]
        for folder in self.good:
            samples += samples_below(folder, self.category, None, "test")
        for folder in self.bad:
            samples += self._defects(folder, "test", masks)
        shared = masks.of_many([sample.image for sample in samples])
        found = (replace(each, mask=each.mask or shared.get(each.image)) for each in samples)
        return Contents(tuple(found), tuple(masks.unused()))

    def _trained(self, folder: Path) -> Iterator[Sample]:
        """Yield what is for training: a folder of bad images in it is one of bad images."""
        bad = _of_side(folder, "anomalous")
        inside = {image for each in bad for image in images_below(each)}
        for sample in samples_below(folder, self.category, None, "train"):
            if sample.image not in inside:
                yield sample
        for each in bad:
            yield from self._defects(each, "train", Masks())

    def _defects(self, folder: Path, split: Split, masks: Masks) -> Iterator[Sample]:
        for image in images_below(folder):
            inner = image.relative_to(folder).parts[:-1]
            defect = inner[0] if inner else folder.name
            mask = masks.of(image, (folder.name, *inner))
            yield Sample(image, "anomalous", self.category, split, defect, mask)


def _is_known(name: str) -> bool:
    return is_mask_folder(name) or key_of(name) in (*TRAIN, *LABELS)


def _of_side(root: Path, side: Label) -> list[Path]:
    return [folder for folder in folders_in(root) if side_of(folder.name) == side]
