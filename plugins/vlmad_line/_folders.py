"""The folders of one that is watched: none goes away unnoticed, and those passed over cost nothing.

What stays of a disk that is unmounted is an empty folder; so where something was mounted is known.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_line._notifications import mount_of, mounted
from vlmad_run.walking import walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from vlmad_run.walking import Place


@dataclass
class Folders:
    """What is known of the folders from looking through them."""

    known: set[str] = field(default_factory=set)
    """Those that images may be in, as they were at the last look."""
    passed_over: set[str] = field(default_factory=set)
    """Those beside them that no images are taken from."""
    _mounts: set[str] = field(default_factory=set)

    def look_through(self, root: Path) -> Iterator[Place]:
        """Yield a folder and all below it that images may be in.

        Raises:
            InputError: there is no such folder, or one that was known cannot be listed.
        """
        self.require(root)
        found, passed_over = set(), set()
        for place in walk(root):
            own = str(place.path)
            if not place.closed:
                found.add(own)
            passed_over |= {f"{own}/{name}" for name, kind in place.folders if kind != "image"}
            place.folders = [each for each in place.folders if each[1] == "image"]
            yield place
        _require_still(self.known - found)
        self.known, self.passed_over = found, passed_over

    def is_news(self, path: Path) -> bool:
        """Return whether a change there may mean a folder that was not looked into yet."""
        if str(path.parent) in self.known and not path.is_dir():
            return False
        return self.passed_over.isdisjoint(map(str, (path, *path.parents)))

    def require_all(self, root: Path) -> None:
        """Raise unless `look_through` will find all that it knows.

        Raises:
            InputError: it will not.
        """
        self.require(root)
        _require_still(self.known)

    def require(self, root: Path) -> None:
        """Raise unless a folder is there, and all that was mounted there still is.

        Raises:
            InputError: it is not; or something was mounted there meanwhile, and is known from now.
        """
        require_folder(root)
        all_mounts = {place for place, _ in mounted()}
        real = os.path.realpath(root)
        below = {each for each in all_mounts if each.startswith(f"{real}/")}
        own = ({mount_of(real)[0]} & all_mounts) | below  # nobody may tell
        gone, come = self._mounts - all_mounts, own - self._mounts
        if gone:
            raise InputError(f"{root}: nothing is mounted at {min(gone)} any more")
        is_first, self._mounts = not self._mounts, self._mounts | own
        if come and not is_first:
            raise InputError(f"{root}: {min(come)} was mounted meanwhile; it is watched anew")


def require_folder(path: Path) -> None:
    """Raise unless a folder can be listed.

    Raises:
        InputError: it cannot.
    """
    try:
        os.scandir(path).close()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _require_still(folders: Collection[str]) -> None:
    """Raise unless folders that were known can be listed, or are gone for good."""
    for path in map(Path, sorted(folders)):
        try:
            require_folder(path)
        except InputError as error:
            gone = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
            if not gone or path.is_symlink():
                raise
