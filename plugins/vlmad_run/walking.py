"""What lies in folders: each file once, and what kind of thing its name makes of it."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind: TypeAlias = Literal["image", "mask", "hidden", "written", "format", "ending"]
"""`format` is a photograph in a format that is not read, `ending` any other file."""

UNREADABLE = (
    ".heic .heif .avif .jxl .jp2 .j2k .jpf .jpx .jls .psd .exr .hdr .svg .dcm .tga .ico .pcx "
    ".pam .dds .qoi .fits "
    ".raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef .srw .mp4 .mov .avi .mkv .webm"
)
NOT_READ = frozenset(UNREADABLE.split())
"""Endings by which photographs or films are known that no format here reads."""
MASK_FOLDERS = frozenset({"groundtruth", "groundtruths", "gt", "masks", "mask", "segmentation"})
"""Names of folders that hold no photographs; neither case nor marks between letters count."""
MASK_BESIDE = re.compile(r"(.+)[_-](?:mask|gt|ground_?truth)", re.DOTALL | re.IGNORECASE)
"""The name of a mask, without its ending, that lies beside the image of the first part's name."""
KEPT_BY_SYSTEMS = frozenset(
    {"@eadir", "#recycle", "@recycle", "$recycle.bin", "lost+found", "__macosx"}
    | {"thumbs", "thumbnails"}
)
"""Folders of previews and of what was deleted, on shares and disks; case does not count."""
WRITTEN = frozenset({"maps", "overlays"})
"""Folders of pictures in that of a run."""
RUN_FILES = frozenset({"maps", "manifest.json"})
"""By these it is known."""
EXPLANATION = re.compile(r"(.*-)?[0-9a-f]{8}\.png", re.DOTALL)
"""How `vlmad explain` names its pictures, each beside a JSON file."""
RUNS_FOLDER = "vlmad-runs"
"""Where commands write if they are not told."""


@dataclass(slots=True)
class Place:
    """A folder with what is right in it, by name: files with what they are, and folders.

    Who walks may take folders out, to pass them over.
    """

    path: Path
    files: list[tuple[str, Kind]] = field(default_factory=list)
    folders: list[tuple[str, Kind]] = field(default_factory=list)
    closed: bool = False
    """It cannot be listed."""

    def named(self, kind: Kind) -> list[Path]:
        """Return the files of a kind."""
        return [self.path / name for name, what in self.files if what == kind]


def is_readable(name: str) -> bool:
    """Return whether an image of this name can be read, by its ending."""
    return os.path.splitext(name)[1].lower() in _endings()


@cache
def _endings() -> frozenset[str]:
    from vlmad_formats.stored_values import endings

    return endings()


def is_mask_folder(name: str) -> bool:
    """Return whether a folder of this name holds masks.

    >>> is_mask_folder("Ground_Truth"), is_mask_folder("masked parts")
    (True, False)
    """
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name).casefold()) in MASK_FOLDERS


def walk(folder: Path) -> Iterator[Place]:
    """Yield a folder and all below it, each once however many links lead to it, at any depth."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        place = look_into(waiting.pop())
        if not place.closed:
            try:
                status = os.stat(place.path)
            except FileNotFoundError:  # it went while it was listed
                continue
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        yield place
        waiting += [place.path / name for name, _ in reversed(place.folders)]


def walk_photographs(folder: Path) -> Iterator[Place]:
    """Yield what `walk` does, without folders that hold masks, what vlmad wrote or hidden ones."""
    for place in walk(folder):
        place.folders = [each for each in place.folders if each[1] == "image"]
        yield place


def look_into(folder: Path) -> Place:
    """List what is right in a folder, sorted by name."""
    place = Place(folder)
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _is_folder(entry)) for entry in entries)
    except OSError:
        place.closed = True
        return place
    return sort_out(folder, found)


def sort_out(folder: Path, found: Sequence[tuple[str, bool]]) -> Place:
    """Tell what each name in a folder is, of those with whether they are folders."""
    place = Place(folder)
    names = {name for name, _ in found}
    stems = {os.path.splitext(name)[0] for name in names}
    of_run = names >= RUN_FILES
    for name, is_folder in found:
        if is_folder:
            place.folders.append((name, _kind_of_folder(name, of_run)))
        else:
            explains = EXPLANATION.fullmatch(name) and f"{name[:-4]}.json" in names
            kind = "written" if explains else _kind_of_file(name)
            beside = MASK_BESIDE.fullmatch(os.path.splitext(name)[0])
            is_mask = kind == "image" and beside and beside[1] in stems
            place.files.append((name, "mask" if is_mask else kind))
    return place


def names_of_folders(folder: Path) -> list[str]:
    """List the folders right in a folder, sorted by name: quick where there are many files."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or to a closed place
        return False


def _kind_of_folder(name: str, of_run: bool) -> Kind:
    """Return what is in a folder of this name: `image` if that is to be seen."""
    if name.startswith(".") or name.casefold() in KEPT_BY_SYSTEMS:
        return "hidden"
    if name == RUNS_FOLDER or (of_run and name in WRITTEN):
        return "written"
    return "mask" if is_mask_folder(name) else "image"


def _kind_of_file(name: str) -> Kind:
    if name.startswith("."):  # what systems leave behind, such as "._000.png" beside "000.png"
        return "hidden"
    if is_readable(name):
        return "image"
    return "format" if os.path.splitext(name)[1].lower() in NOT_READ else "ending"


def whole_name(image: str | Path, folder: str = "") -> str:
    """Return by which name an image is known from anywhere; `folder` is where its name starts.

    >>> whole_name("s3://bucket/1.png", "/data"), whole_name("1.png", "/data")
    ('s3://bucket/1.png', '/data/1.png')
    """
    name = str(image)
    return name if "://" in name else os.path.abspath(os.path.join(folder, name))


def has_vanished(path: Path) -> bool:
    """Tell whether the place of a file is gone, as when a network share or disk goes away.

    What stays of a disk that is unmounted is an empty folder.
    """
    try:
        return next(path.absolute().parent.iterdir(), None) is None
    except OSError as error:
        gone = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO, errno.ENODEV)
        return error.errno in (*gone, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENXIO)
