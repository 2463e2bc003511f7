"""The folder of a bench: one process writes to it, and it stays a bench of the same things.

- ``bench.json``, ``bench.csv``, ``bench.md``: what came of it
- ``cells/DETECTOR/CATEGORY/SHOTS-SEED/``: run folders, each with its ``metrics.json``
- ``thresholds/DETECTOR/CATEGORY/SHOTS-SEED.json``: for ``vlmad run --threshold``
- ``manifest.json``: what is measured
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from vlmad.errors import OutputError
from vlmad.files import write_atomically
from vlmad.manifest import differences
from vlmad.runs.folder import LOCK, MANIFEST, read_manifest, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from vlmad_evaluation.bench.plan import Cell


class BenchFolder:
    """A bench's folder, to be written in a ``with`` statement.

    Args:
        path: the folder; it is made if it does not exist.
        manifest: what the bench is; its `identity` decides whether it is the same.

    Raises:
        OutputError: it holds something else, or another process writes to it.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, dict(manifest)
        self._lock = FileLock(path / LOCK, timeout=0)

    def __enter__(self) -> Self:
        """Take the folder."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            inside = {each.name for each in self.path.iterdir()}
            if inside - {LOCK} and MANIFEST not in inside:
                raise OutputError(
                    f"{self.path} exists and holds something else; choose another --out"
                )
            self._lock.acquire()
        except Timeout:
            raise OutputError(f"another bench is writing to {self.path}; wait for it") from None
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot write {self.path}: {reason}") from error
        try:
            self._check_identity()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let others write to the folder."""
        with suppress(OSError):
            self._lock.release()

    def _check_identity(self) -> None:
        before = read_manifest(self.path)
        if before is None:
            self.write(MANIFEST, to_json(self.manifest))
            return
        other = differences(before["identity"], self.manifest["identity"])
        if other:
            raise OutputError(
                f"{self.path} holds a bench that differs in {'; '.join(other[:4])}: "
                "choose another --out"
            )

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
    if safe == name.lower():
        return name
    own = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{own}" if safe else own
