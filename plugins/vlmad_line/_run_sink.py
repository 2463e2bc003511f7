"""``folder:PATH``: run folders of files that were judged, one for each detector and threshold."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError, OutputError
from vlmad_line._notifications import mount_of
from vlmad_line.endpoints import WaitingRow
from vlmad_run.manifest import Manifest
from vlmad_run.rows import LINES, ScoreRow, to_line
from vlmad_run.run_folder import RunFolder
from vlmad_run.storing import row_of, store_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.types import Result
    from vlmad_line.judgements import Message
    from vlmad_line.line_products import LineProduct


def waiting_row(product: LineProduct, result: Result) -> WaitingRow:
    """Return what a run folder is to have of an image."""
    row, heat = row_of(result, product.manifest.good, product.threshold)
    content = io.BytesIO(to_line(row))
    content.seek(0, io.SEEK_END)
    if heat is not None:
        np.save(content, heat, allow_pickle=False)
    run = re.sub(r"[^\w.-]+", "-", f"{product.name}-{product.digest[:8]}")
    return WaitingRow(run, product.manifest.to_json(), content.getvalue())


class RunFolders:
    """Writes rows and maps into a folder of run folders, of which one is open at a time.

    Args:
        path: where they are; the folder above it has to be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mount = ""
        """Where the disk is mounted on which it lies."""
        self._folder: RunFolder | None = None
        """The run folder that is written."""

    def __call__(self, messages: Sequence[Message]) -> None:
        """Leave out what has no row, such as alarms, parts and the frames of cameras."""

    def take_row(self, waiting: WaitingRow) -> None:
        """Write a row and its map."""
        try:
            folder = self._open(waiting)
            line, _, heat = waiting.content.partition(b"\n")
            row = ScoreRow.parse(line, "a row of the ledger")
            if heat:
                store_map(folder.path, row, np.load(io.BytesIO(heat), allow_pickle=False))
            folder.add([row])
            for name in filter(None, (row.map, LINES)):  # then the ledger may forget them
                with (folder.path / name).open("rb") as file:
                    os.fsync(file.fileno())
        except BaseException:
            self._abandon()
            raise

    def close(self) -> None:
        """Make the folder that is open a whole run."""
        if self._folder is None:
            return
        try:
            self._require_disk()
            self._folder.adopt(list(self._folder.all_rows()), 0.0)
            self._folder.__exit__(None, None, None)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.abandon()

    def _open(self, waiting: WaitingRow) -> RunFolder:
        self._require_disk()
        path, folder = self._path / waiting.run, self._folder
        if folder is None or folder.path != path:
            self.close()
            manifest = Manifest.parse(waiting.manifest, "a manifest of the ledger")
            self._folder = folder = RunFolder(path, manifest).__enter__()
        return folder

    def _require_disk(self) -> None:
        """Refuse the empty folder that a disk leaves which has gone away."""
        real = os.path.realpath(self._path)
        above = os.path.dirname(real)
        if not os.path.isdir(above):
            raise OutputError(f"{above}: no such folder; make it, or mount its disk")
        mount = mount_of(real)[0]
        if len(mount) < len(self._mount):
            raise OutputError(f"nothing is mounted at {self._mount} any more")
        self._mount = mount


def to_run_folders(argument: str) -> RunFolders:
    """Return what writes run folders into the folder that ``folder:PATH`` names."""
    path = Path(argument.partition(":")[2])
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; choose a folder")
    return RunFolders(path)
