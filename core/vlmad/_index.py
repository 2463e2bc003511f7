"""An index of what plugins register, so that listing them imports none.

An entry is one file, named for everything that it depends on: the plugin, its distribution's
version, Python, and the name, size and time of change of every file of the plugin's package and of
what reads plugins. So an editable install is never listed as it was before. An entry holds words
alone: one that was tampered with can lie about names but runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vlmad import hookspecs
from vlmad.errors import OutputError
from vlmad.files import cache_folder, read_bounded, refuse_links, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_BYTES = 1 << 20


class Entry(NamedTuple):
    """What a plugin registers: kind, name, summary and former names of each; and what it took."""

    rows: list[list[str]]
    seconds: float
    """How long its import took."""


def entry_of(package: str, name: str, facts: Iterable[str]) -> Path | None:
    """Return the file that tells what the plugin `name` registers, or None where none can be kept.

    It depends on the files of the plugin's top package, which others may share, and on `facts`.
    """
    folder = cache_folder()
    if folder is None:
        return None
    with suppress(Exception):  # a package that is hostile when it is merely looked for
        state = "\n".join([*facts, sys.version, *_stamps(package)])
        return folder / "index" / f"{package}-{_digest(name)[:8]}-{_digest(state)[:32]}.json"
    return None


def read_entry(path: Path) -> Entry | None:
    """Return what a plugin registers, or None if that is not known."""
    try:
        rows, seconds = json.loads(read_bounded(path, MOST_BYTES))
        words = [[str(kind), str(name), *map(str, more)] for kind, name, *more in rows]
        return Entry(words, float(seconds))
    except (OSError, ValueError, TypeError, RecursionError):
        return None  # there is none, or it is nothing that we wrote


def write_entry(path: Path, entry: Entry) -> None:
    """Keep what a plugin registers in place of what it did."""
    with suppress(OSError, OutputError):
        refuse_links([path.parent])
        for earlier in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.json"):
            earlier.unlink(missing_ok=True)
        write_atomically(path, json.dumps(entry))


def _stamps(package: str) -> Iterator[str]:
    """Yield what tells whether a package, or what reads plugins, has changed."""
    core = os.path.dirname(hookspecs.__file__)
    yield from (
        _stamp(os.path.join(core, name)) for name in ("plugin.py", "_api.py", "hookspecs.py")
    )
    spec = find_spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        yield _stamp(str(spec.origin))
        return
    for folder in spec.submodule_search_locations:
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            yield from (_stamp(os.path.join(place, f)) for f in sorted(files) if f.endswith(".py"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: str) -> str:
    try:
        state = os.stat(path)
    except OSError:
        return path
    return f"{path} {state.st_mtime_ns} {state.st_size}"
