"""A bench's folder, read: for whoever analyses what came of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, first_line
from vlmad.files import read_text
from vlmad_evaluation._bench_document import FORMAT
from vlmad_evaluation._bench_samples import SAMPLES, read_samples
from vlmad_evaluation._cell_metrics import Scored
from vlmad_evaluation._cell_results import read_result
from vlmad_run.rows import from_line
from vlmad_run.run_folder import LINES, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad import Sample
    from vlmad_evaluation._cell_results import CellResult
    from vlmad_run.rows import Row

DOCUMENTS = ("bench.json", "grid.json")


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What came of a bench or a grid; two are equal only if they are one object."""

    folder: Path
    document: Mapping[str, Any]
    """As docs/bench.md describes it."""
    samples: tuple[Sample, ...]

    def cells(self, **wanted: Any) -> list[Mapping[str, Any]]:
        """Return the document's cells with these facts: detector, category, shots, seed."""
        return [
            cell
            for cell in self.document["cells"]
            if all(cell[name] == value for name, value in wanted.items())
        ]

    def run(self, cell: Mapping[str, Any]) -> Path:
        """Return the run folder of a cell."""
        return self.folder / str(cell["run"])

    def stored(self, cell: Mapping[str, Any]) -> CellResult | None:
        """Return what a cell was computed from, or None if it is not there or damaged."""
        return read_result(self.run(cell))

    def scored(self, cell: Mapping[str, Any]) -> Iterator[Scored]:
        """Yield the images of a cell that were scored, with what is true of them, in order.

        Raises:
            InputError: the cell's scores cannot be read.
        """
        run = self.run(cell)
        base = _base(run)
        rows = {os.path.normpath(base / row.image): row for row in _rows(run)}
        for sample in self.samples:
            row = rows.get(os.path.normpath(sample.image))
            if sample.category == cell["category"] and row is not None:
                yield Scored(sample, row, run)


def read_results(folder: Path) -> Results:
    """Read the folder of a bench or a grid, finished or not.

    Raises:
        InputError: it is no such folder, or is damaged.
    """
    path = next((folder / name for name in DOCUMENTS if (folder / name).is_file()), None)
    if path is None:
        if (folder / SAMPLES).is_file():
            raise InputError(
                f"{folder} was broken off before it wrote what came of it; "
                "the command that made it goes on from there when it is given again"
            )
        raise InputError(f"{folder} holds no {' or '.join(DOCUMENTS)}: it is no bench or grid")
    try:
        document = json.loads(read_text(path))
        if document["format"] != FORMAT:
            raise InputError(f"{path} is of another version of vlmad: {document['format']}")
        document["cells"], document["detectors"]  # what is always there
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = first_line(error) if isinstance(error, OSError) else "it is damaged"
        raise InputError(f"cannot read {path}: {reason}") from error
    return Results(folder, document, read_samples(folder))


def _rows(run: Path) -> Iterator[Row]:
    try:
        with (run / LINES).open("rb") as file:
            for line in file:
                row = from_line(line)
                if row is not None and row.status == "done":
                    yield row
    except OSError as error:
        raise InputError(f"cannot read {run / LINES}: {first_line(error)}") from error


def _base(run: Path) -> Path:
    """Return the folder that relative names of a run's images start from."""
    manifest = read_manifest(run) or {}
    return Path(str(manifest.get("folder", ".")))
