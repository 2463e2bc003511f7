"""Magnetic tiles (Huang et al., The Visual Computer 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import Contents, Dataset, Problem, Sample
from vlmad_datasets._beside import labelled, pairs
from vlmad_datasets._layout import folders_in, folders_named, images_in

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX, FREE, IMAGES = "mt_", "free", "imgs"
MASK_SUFFIX = ".png"


class MagneticTile(Dataset):
    """Tiles by their defect, MT_Crack/Imgs/NAME.jpg with the mask NAME.png, and MT_Free.

    All are under test, as the data set has no split.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are folders MT_… with a folder Imgs."""
        return any(True for _ in _kinds(root))

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are folders of defects, but none of images in them."""
        found = any(folder.name.casefold().startswith(PREFIX) for folder in folders_in(root))
        return "its folders MT_… hold no folder Imgs" if found else None

    def read(self) -> Contents:
        """Return the images, defect by defect."""
        samples: list[Sample] = []
        problems: list[Problem] = []
        for kind, folder in _kinds(self.root):
            for image, mask in pairs(images_in(folder), _owner, problems):
                defect = None if kind == FREE else kind
                samples.append(labelled(image, "magnetic_tile", "test", defect, mask))
        return Contents(tuple(samples), tuple(problems))


def _kinds(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield what each folder of images shows, and the folder."""
    for folder in folders_in(root):
        name = folder.name.casefold()
        if name.startswith(PREFIX):
            yield from ((name.removeprefix(PREFIX), each) for each in folders_named(folder, IMAGES))


def _owner(file: Path) -> str | None:
    return file.stem if file.suffix.lower() == MASK_SUFFIX else None
