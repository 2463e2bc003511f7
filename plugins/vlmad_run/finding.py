"""Finding image files: in folders, by patterns, in lists, and where plugins look."""

from __future__ import annotations

import codecs
import glob
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_run.kinds import finder_for
from vlmad_run.walking import READ

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SUFFIXES = READ
MASK_FOLDER = "ground_truth"
"""Folders of this name hold masks in the MVTec AD layout and are not searched for images."""
WRITTEN = frozenset({"maps", "overlays"})
"""Folders of pictures in that of a run."""
RUN_FILES = frozenset({"maps", "manifest.json"})
"""By these it is known."""
STANDARD_INPUT = "-"


def find_images(paths: Collection[str | Path]) -> list[Path]:
    """Return the image files that paths name, each once, under the first name given for it.

    Args:
        paths: what `find_files` takes, ``-`` for a list on standard input, or what a plugin
            finds images for (see `vlmad_run.kinds.ImageFinder`).

    Raises:
        InputError: a path does not exist, or there is no image at all.
    """
    found: dict[str, Path] = {}
    for path in map(str, paths):
        find = finder_for(path) or find_files
        for file in _read_list() if path == STANDARD_INPUT else find(path):
            found.setdefault(os.path.abspath(file), file)
    if not found:
        raise InputError(f"no images in {', '.join(map(str, paths)) or 'nothing'}")
    return list(found.values())


def _read_list() -> Iterator[Path]:
    """Yield the files of a list, one a line, or separated by NULs as by ``find -print0``."""
    content = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
    for line in content.split(b"\0") if b"\0" in content else content.splitlines():
        if line.strip():
            yield from find_files(os.fsdecode(line))


def find_files(argument: str) -> list[Path]:
    """Return the image files that a file, a folder (searched to the bottom) or pattern names.

    Files named directly are taken whatever their ending; in folders the ending decides. Links
    are followed; the pictures that a run wrote are passed over. Those of a folder come sorted by
    name. A folder that cannot be opened stands in the list itself, so that it is reported like
    an unreadable file.

    Raises:
        InputError: there is nothing of that name.
    """
    if argument == "":  # as of a shell's variable that is not set; a Path of it would be "."
        raise InputError("an empty name names no images")
    path = Path(argument)
    try:
        if path.is_dir():
            return sorted(_in_folder(path))
        if path.exists() or path.is_symlink():
            return [path]
        matches = sorted(glob.glob(str(path), recursive=True))
    except (OSError, ValueError) as error:  # such as a NUL
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not matches:
        raise InputError(f"{path}: no such file or folder")
    return [file for match in matches for file in find_files(match)]


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder, each folder once however many links lead to it."""
    closed: list[Path] = []
    seen: set[tuple[int, int]] = set()
    walk = os.walk(folder, followlinks=True, onerror=lambda e: closed.append(Path(e.filename)))
    for place, folders, files in walk:
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        written = WRITTEN if {*files, *folders} >= RUN_FILES else frozenset()
        folders[:] = sorted({n for n in folders if not _is_passed_over(n)} - written)
        yield from (
            Path(place, name)
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not _is_passed_over(name)
        )
    yield from closed


def _is_passed_over(name: str) -> bool:
    """Tell whether a file or folder holds masks, or is hidden (as the forks that macOS leaves)."""
    return name == MASK_FOLDER or name.startswith(".")
