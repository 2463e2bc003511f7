"""Reading folders of images, and finding the mask that belongs to an image."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

from vlmad.datasets import GOOD, Problem, Sample
from vlmad_run.finding import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmad.datasets import Label, Split


def images_in(folder: Path) -> list[Path]:
    """Return the image files right in a folder, sorted; none if there is no such folder."""
    return [e for e in _entries(folder) if e.suffix.lower() in SUFFIXES and not e.is_dir()]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders right in a folder, sorted; links to folders count."""
    return [entry for entry in _entries(folder) if entry.is_dir()]


def name_of(folder: Path) -> str:
    """Return a folder's name, also of one given as ``.``; a link has a name of its own."""
    return os.path.basename(os.path.abspath(folder))


def _entries(folder: Path) -> list[Path]:
    # a leading dot marks what systems leave behind, such as "._000.png" beside "000.png"
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


class Masks:
    """The masks of a folder, found by the names of images: NAME_mask.*, NAME.* or NAME/."""

    def __init__(self, folder: Path) -> None:
        entries = (*folders_in(folder), *images_in(folder))
        self._found = {_key(e.name if e.is_dir() else e.stem): e for e in reversed(entries)}
        self._used: set[Path] = set()

    def of(self, image: Path) -> Path | None:
        """Return the mask of an image, or None."""
        stem = _key(image.stem)
        mask = self._found.get(f"{stem}_mask") or self._found.get(stem)
        if mask is not None:
            self._used.add(mask)
        return mask

    def unused(self) -> list[Problem]:
        """Return a problem for each mask that was never found by an image."""
        masks = sorted(set(self._found.values()) - self._used)
        return [Problem(mask, "a mask that belongs to no image") for mask in masks]


def _key(name: str) -> str:
    """Return a name such that the spellings that file systems make of it are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def samples_in(
    folder: Path, category: str, defect: str | None, split: Split, *masks: Masks
) -> Iterator[Sample]:
    """Yield a sample for each image right in a folder.

    Args:
        folder: it may be missing.
        category: what the images show.
        defect: what is wrong with them; None of normal images.
        split: what they are for.
        masks: where theirs are looked for, in turn.
    """
    label: Label = "normal" if defect is None else "anomalous"
    for image in images_in(folder):
        mask = next(filter(None, (each.of(image) for each in masks)), None)
        yield Sample(image, label, category, split, defect or GOOD, mask)
