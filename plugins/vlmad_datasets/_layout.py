"""Reading folders of images, and finding the mask that belongs to an image."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmad import Problem
from vlmad_run.finding import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def images_in(folder: Path) -> list[Path]:
    """Return the image files right in a folder, sorted; none if there is no such folder."""
    return [
        entry
        for entry in _entries(folder)
        if entry.suffix.lower() in SUFFIXES and not entry.is_dir()
    ]


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


@dataclass(slots=True)
class Masks:
    """The masks of a folder, found by the names of images: NAME_mask.*, NAME.* or NAME/."""

    folder: Path
    _found: dict[str, Path] = field(default_factory=dict)
    _used: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        for entry in (*folders_in(self.folder), *images_in(self.folder)):
            self._found.setdefault(_key(entry.name if entry.is_dir() else entry.stem), entry)

    def of(self, image: Path) -> Path | None:
        """Return the mask of an image, or None."""
        for name in (f"{image.stem}_mask", image.stem):
            mask = self._found.get(_key(name))
            if mask is not None:
                self._used.add(mask)
                return mask
        return None

    def unused(self) -> Iterator[Problem]:
        """Yield the masks that no image asked for."""
        for mask in self._found.values():
            if mask not in self._used:
                yield Problem(mask, "a mask that belongs to no image")


def _key(name: str) -> str:
    """Return a name such that the spellings that file systems make of it are equal."""
    return unicodedata.normalize("NFC", name).casefold()
