"""Folders that commands write: new ones, stopped ones, and one process at a time in each."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from vlmad.errors import InputError, OutputError
from vlmad.files import PARTLY, refuse_links
from vlmad_run.manifest import MANIFEST, Manifest
from vlmad_run.walking import RUNS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RUNS = Path(RUNS_FOLDER)
"""Where they are if their folder was not named, from the working directory."""
LOCK = ".lock"
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def stopped_run(manifest: Manifest) -> Path | None:
    """Return the latest folder where this very run, of the same images, was stopped."""
    for path in sorted(RUNS.glob(f"*/{MANIFEST}"), reverse=True):
        with suppress(InputError):
            before = Manifest.read(path)
            same = not before.identity.differences(manifest.identity)
            stopped = before.result is not None and not before.result.finished
            same = same and before.shard == manifest.shard
            if same and stopped and before.images_sha256 == manifest.images_sha256:
                return path.parent
    return None


@contextmanager
def new_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder named for the time and `name`; it goes again if nothing is written to it.

    Raises:
        OutputError: it cannot be made.
    """
    folder = _make_folder(parent, f"{time.strftime('%Y-%m-%d-%H%M%S')}-{folder_name(name)}")
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
            parent.rmdir()


def folder_name(name: str) -> str:
    """Return a name as one that every file system takes, and that no other name becomes.

    >>> folder_name("metal_nut"), folder_name("../nut")
    ('metal_nut', 'nut-7ebddd75')
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    own_ending = re.search(r"-[0-9a-f]{8}$", safe)  # as this function makes them
    reserved = re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", safe)
    if name and safe == name.lower() and not (own_ending or reserved):
        return name
    own = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{own}" if safe else own


def _make_folder(parent: Path, name: str) -> Path:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    for folder in map(parent.joinpath, names):
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot write {parent}: {error.strerror or error}") from error
    return folder


def _take_back(made: Iterable[Path]) -> None:
    """Delete the lock and the empty folders that were made for it."""
    with suppress(OSError):
        for each in made:
            if each.name == LOCK:
                each.unlink(missing_ok=True)
            elif each.exists():
                each.rmdir()


@contextmanager
def locked(path: Path, manifest: str) -> Iterator[None]:
    """Make a folder, or take one that holds such a manifest; others cannot write to it meanwhile.

    Raises:
        OutputError: it holds something else, another process writes to it, or it cannot be
            written.
    """
    lock = FileLock(path / LOCK, timeout=0, fallback_to_soft=False)
    made = [each for each in (path / LOCK, path, *path.parents) if not os.path.lexists(each)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        refuse_links(path.iterdir())
        inside = {each.name for each in path.iterdir() if not each.name.startswith(PARTLY)}
        if inside - {LOCK} and manifest not in inside:
            raise OutputError(f"{path} exists and holds something else; choose another --out")
        lock.acquire()
    except Timeout:
        busy = f"another run is writing to {path}; wait for it or choose another --out"
        raise OutputError(busy) from None
    except OSError as error:
        _take_back(made)
        reason = error.strerror or error
        if error.errno in NO_LOCKS:
            what = f"{path} is where nothing can be locked ({reason}), as on some network shares"
            raise OutputError(f"{what}; choose an --out on a disk of this machine") from error
        raise OutputError(f"cannot write {path}: {reason}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            lock.release()
