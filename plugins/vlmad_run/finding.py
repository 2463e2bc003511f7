"""Finding image files: in folders, by patterns, and in lists."""

from __future__ import annotations

import codecs
import glob
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MASK_FOLDER = "ground_truth"
"""Folders of this name hold masks in the MVTec AD layout and are not searched for images."""
WRITTEN = frozenset({"maps", "overlays"})
"""Folders of pictures in that of a run, which is known by these and its manifest."""
RUN_FILES = WRITTEN | {"manifest.json"}
STANDARD_INPUT = "-"


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files that paths, folders (searched to the bottom) and patterns name.

    Files named directly are taken whatever their ending; in folders the ending decides. Links
    are followed; the pictures that a run wrote are passed over. A file comes once, under the
    first name given for it in full; those of a folder come sorted by name. A folder that cannot
    be opened stands in the list itself, so that it is reported like an unreadable file.

    Raises:
        InputError: a path does not exist, or there is no image at all.
    """
    found: dict[str, Path] = {}
    paths = list(paths)
    for path in paths:
        if path == "":  # as of a shell's variable that is not set; a Path of it would be "."
            raise InputError("an empty name names no images")
        for file in _expand(Path(path)):
            found.setdefault(os.path.abspath(file), file)
    if not found:
        raise InputError(f"no images in {', '.join(map(str, paths)) or 'nothing'}")
    return list(found.values())


def read_list(file: str | Path) -> list[Path]:
    r"""Read paths from a list, one a line, or separated by NULs as by ``find -print0``.

    Args:
        file: a text file, or ``-`` for the standard input.

    Raises:
        InputError: the list cannot be read or is empty.
    """
    try:
        if str(file) == STANDARD_INPUT:
            content = sys.stdin.buffer.read()
        else:
            content = read_bounded(Path(file))
    except OSError as error:
        raise InputError(f"list {file}: {error.strerror or error}") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise InputError(f"the list {file} names no files")
    return paths


def _expand(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            return sorted(_in_folder(path))
        if path.exists() or path.is_symlink():
            return [path]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        matches = sorted(glob.glob(str(path), recursive=True))
    except ValueError as error:  # a NUL
        raise InputError(f"{path}: {error}") from error
    if not matches:
        raise InputError(f"{path}: no such file or folder")
    return [file for match in matches for file in _expand(Path(match))]


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
