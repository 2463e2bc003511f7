"""The folder of a bench: one process writes to it, and it stays a bench of the same things.

- ``bench.json``, ``bench.csv``, ``bench.md``: what came of it
- ``cells/DETECTOR/CATEGORY/SHOTS-SEED/``: run folders, each with its ``metrics.json``
- ``thresholds/DETECTOR/CATEGORY/SHOTS-SEED.json``: for ``vlmad run --threshold``
- ``samples.json``: the test images with their labels, defects and masks, for the cells' scores
- ``manifest.json``: what is measured
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from vlmad.errors import OutputError, first_line
from vlmad.files import write_atomically
from vlmad_run.manifest import differences
from vlmad_run.run_folder import LOCK, MANIFEST, read_manifest, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vlmad_evaluation._bench_plan import Cell


@contextmanager
def open_folder(path: Path, manifest: Mapping[str, Any]) -> Iterator[BenchFolder]:
    """Take a bench's folder, which is made if it does not exist, and let go of it in the end.

    Args:
        path: the folder.
        manifest: what the bench is; its `identity` decides whether it is the same.

    Raises:
        OutputError: it holds something else, or another process writes to it.
    """
    lock = FileLock(path / LOCK, timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        inside = {each.name for each in path.iterdir()}
        if inside - {LOCK} and MANIFEST not in inside:
            raise OutputError(f"{path} exists and holds something else; choose another --out")
        lock.acquire()
    except Timeout:
        raise OutputError(f"another bench is writing to {path}; wait for it") from None
    except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
        raise OutputError(f"cannot write {path}: {first_line(error)}") from error
    try:
        yield BenchFolder(path, manifest)
    finally:
        with suppress(OSError):
            lock.release()


class BenchFolder:
    """A bench's folder that this process may write to; `open_folder` gives it.

    Raises:
        OutputError: it holds another bench.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, dict(manifest)
        self._check_identity()

    def _check_identity(self) -> None:
        before = read_manifest(self.path)
        if before is None:
            self.write(MANIFEST, to_json(self.manifest))
            return
        other = _differences(before["identity"], self.manifest["identity"])
        if other:
            raise OutputError(
                f"{self.path} holds a bench that differs in {'; '.join(other[:4])}: "
                "choose another --out"
            )

        self.write(MANIFEST, to_json(self.manifest))

    def finish(self) -> None:
        """Note that everything is done."""
        self.write(MANIFEST, to_json({**self.manifest, "result": {"finished": True}}))

    def write(self, name: str, content: bytes | str) -> None:
        """Write a file of the folder."""
        write_atomically(self.path / name, content)

    def cell(self, cell: Cell) -> Path:
        """Return a cell's run folder."""
        return self.path / "cells" / cell_place(cell)

    def threshold(self, cell: Cell) -> Path:
        """Return a cell's threshold file."""
        return self.path / "thresholds" / f"{cell_place(cell)}.json"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return where a bench differs from the one in the folder otherwise than by having more.

    Its cells stand on their own: more detectors, shots or seeds leave those that are there alone.
    """
    was, own = dict(before), dict(now)
    known, wanted = was.pop("detectors", {}), own.pop("detectors", {})
    found = [f"detectors ({name} is missing)" for name in known if name not in wanted]
    common = [name for name in known if name in wanted]
    found += differences({n: known[n] for n in common}, {n: wanted[n] for n in common})
    shots = set(was.pop("shots", ())) - set(own.pop("shots", ()))
    found += [f"shots ({number} is missing)" for number in sorted(shots)]
    if was.pop("seeds", 0) > own.pop("seeds", 0):
        found.append("seeds (there are more)")
    return found + differences(was, own)


def cell_place(cell: Cell) -> str:
    """Return where in a bench's folders a cell lies."""
    last = "zero-shot" if cell.seed is None else f"{cell.shots}-shot-seed-{cell.seed}"
    return f"{folder_name(cell.detector)}/{folder_name(cell.category)}/{last}"


def folder_name(name: str) -> str:
    """Return a name as one that every file system takes, and that no other name becomes.

    >>> folder_name("metal_nut"), folder_name("../nut")
    ('metal_nut', 'nut-7ebddd75')
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    own_ending = re.search(r"-[0-9a-f]{8}$", safe)  # as this function makes them
    reserved = re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", safe)
    if safe == name.lower() and not (own_ending or reserved):
        return name
    own = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{own}" if safe else own
