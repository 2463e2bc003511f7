"""What tells the code of one version of a distribution from that of another."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad_openclip.store import remembered_digest, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SMALL = 1 << 20
"""Bytes up to which a file is read each time; of a larger one the digest is remembered."""
NO_CODE = (".pyc", ".pth")
COMPILED = (".so", ".pyd", ".dll", ".dylib")
"""Machines have their own: in their place the version counts."""
_INSTALLERS = re.compile(r"\.\.$|__editable__|_editable_impl_|.*\.(dist|egg)-info$")
"""Where an installer puts scripts, what leads to an editable install, and metadata."""


@cache
def distribution_digest(name: str) -> str | None:
    """Return the SHA-256 of the files of an installed distribution, or None.

    They are those that its RECORD names and, of an editable install, those of its packages. A
    result belongs to the code that made it: this tells one from another, whatever the version says.
    """
    total = hashlib.sha256()
    try:
        distribution = Distribution.from_name(name)
        files = _files_of(distribution)
        plain = sorted(label for label in files if not label.endswith(COMPILED))
        for label in plain:
            total.update(f"{label} {_digest(files[label])}\n".encode("utf-8", "surrogateescape"))
        if len(plain) < len(files):
            total.update(distribution.version.encode())
    except Exception:  # whatever stands in the files of a stranger
        return None
    return total.hexdigest() if files else None


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= SMALL:
            return hashlib.sha256(file.read()).hexdigest()
    return remembered_digest(Path(path), stamp(Path(path)), "bytes", lambda: _whole(path))


def _whole(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_of(distribution: Distribution) -> dict[str, str]:
    """Return the files that code is in or may read, by their names from where packages lie."""
    files: dict[str, str] = {}
    for file in distribution.files or ():
        path = str(distribution.locate_file(file))
        if file.suffix == ".pth":
            for folder in filter(os.path.isdir, Path(path).read_text().splitlines()):
                for package in Path(folder).glob("*/__init__.py"):
                    files |= _below(package.parent, folder)
        elif not file.name.endswith(NO_CODE) and not _INSTALLERS.match(file.parts[0]):
            files |= {file.as_posix(): path} if os.path.isfile(path) else {}
    modules = {point.module for point in distribution.entry_points}
    modules |= set((distribution.read_text("top_level.txt") or "").split())
    for module in modules:
        files |= _found(module, files)
    return files


def _found(module: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the files of the outermost package of a module that is no namespace.

    Nothing if Python finds it where it is known to be.
    """
    words = module.split(".")
    for depth in range(len(words)):
        spec = find_spec(".".join(words[: depth + 1]))
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            place = origin if spec.submodule_search_locations is None else origin.parent
            base = place.parents[depth]
            there = known.get(origin.relative_to(base).as_posix())
            same = there is not None and os.path.samefile(there, origin)
            return {} if same else _below(place, base)
    return {}


def _below(place: Path, base: Path | str) -> dict[str, str]:
    """Return a module's file, or the files of a package, by their names from `base`."""
    paths = [str(place)] if place.is_file() else _walk(place)
    return {os.path.relpath(path, base).replace(os.sep, "/"): path for path in paths}


def _walk(place: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(place):
        folders[:] = [each for each in folders if each[0] != "." and each != "__pycache__"]
        own = (each for each in names if each[0] != "." and not each.endswith(NO_CODE))
        yield from (os.path.join(folder, each) for each in own)
