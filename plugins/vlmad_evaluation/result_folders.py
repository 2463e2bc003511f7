"""A bench's folder, read: what came of it, and what each figure was computed from.

A finished cell is a run folder with two more files: `metrics.json`, and `replicates.npz`, from
which averages and comparisons are made. `read_results` opens the folder of a bench or a grid.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from vlmad import Sample
from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad_datasets.masks import mask_of
from vlmad_evaluation.bootstrap import Replicates
from vlmad_evaluation.labelled_maps import LabelledMap
from vlmad_evaluation.metric import Metric, Reason
from vlmad_evaluation.result_documents import (
    METRICS_FILE,
    SAMPLES_FILE,
    BenchCell,
    CellDocument,
    SampleEntry,
    SamplesDocument,
    read_document,
)
from vlmad_run.pictures import Range, read_map
from vlmad_run.stored_run import read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Bool, Float

    from vlmad_evaluation.conditions import Change
    from vlmad_evaluation.labelled_maps import Resolution
    from vlmad_evaluation.result_documents import BenchDocument
    from vlmad_run.rows import ScoreRow

REPLICATES_FILE = "replicates.npz"
LEVELS = 65535
HALF = 0.51
"""Of a level; arithmetic in float32 can push a score a hundredth of a level further."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A test image with its score and its stored map."""

    sample: Sample
    row: ScoreRow
    run: Path
    """The run folder that the map is in."""
    change: Change | None = None
    """The condition under which it was scored."""
    size: Resolution = None
    """Of stored maps, if that is not the image's own."""

    def map(self) -> LabelledMap | None:
        """Return the stored map with its mask, or None if nobody knows where the defect is.

        The mask has the image's size, the map its own; `at_resolution` brings them together.

        Raises:
            OutputError: the stored map is damaged.
            InputError: the mask can no longer be read, or the image has another size now.
        """
        mask = mask_of(self.sample)
        if mask is None:
            return None
        heat = self.heat()
        if heat.shape not in (mask.shape, self.size):
            raise InputError(f"{self.sample.image} has changed since it was scored; start anew")
        if self.change is None:
            return LabelledMap(heat, mask)
        return LabelledMap(heat, *self.change.of_mask(mask, self.row.sha256 or ""))

    def heat(self) -> Float[np.ndarray, "H W"]:
        """Return the stored map, whatever is known of the image; raises as `map` does."""
        return read_map(self.run / self.row.map, self.scale)

    @property
    def scale(self) -> Range:
        """What the lowest and the highest level of the map stand for."""
        return Range(float(self.row.map_low or 0), float(self.row.map_high or 0))

    @property
    def half_level(self) -> float:
        """How far a stored score can be from the computed one, rounding to float32 included."""
        rounding = 4 * float(np.finfo(np.float32).eps) * max(map(abs, self.scale))
        return (self.scale.high - self.scale.low) / LEVELS * HALF + rounding


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came of a cell."""

    cell: BenchCell
    replicates: Mapping[str, Replicates]
    labels: Bool[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    """Of the images that could be scored, in the order of the data set."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of the cell, by name."""
        return self.cell.metrics


def write_result(folder: Path, result: CellResult) -> None:
    """Write a cell's replicates, then its metrics: with those it is finished.

    Raises:
        OutputError: the folder cannot be written.
    """
    arrays: dict[str, Any] = {"labels": result.labels, "scores": result.scores}
    for name, found in result.replicates.items():
        arrays |= {f"{name}.{f.name}": getattr(found, f.name) for f in fields(Replicates)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(folder / REPLICATES_FILE, buffer.getvalue())
    CellDocument(cell=result.cell).write(folder / METRICS_FILE)


def read_result(folder: Path) -> CellResult | None:
    """Return what came of a cell, or None if it is not finished or its files are damaged."""
    try:
        cell = CellDocument.read(folder / METRICS_FILE).cell
        stored = io.BytesIO((folder / REPLICATES_FILE).read_bytes())
        with np.load(stored, allow_pickle=False) as arrays:
            replicates = {
                name: _replicates(arrays, name)
                for name in cell.metrics
                if f"{name}.values" in arrays
            }
            labels, scores = _plain(arrays["labels"], "b"), _plain(arrays["scores"], "f")
    except Exception:  # whatever a damaged archive makes numpy and zipfile raise
        return None
    whole = len(labels) == len(scores) and len({len(r.values) for r in replicates.values()}) < 2
    return CellResult(cell, replicates, labels, scores) if whole else None


def _replicates(arrays: Mapping[str, np.ndarray], name: str) -> Replicates:
    found = {field.name: arrays[f"{name}.{field.name}"] for field in fields(Replicates)}
    values, without, strata = (_plain(found[n], "fi") for n in ("values", "without", "strata"))
    if len(without) != len(strata):
        raise ValueError("lists of different length")
    estimate, error = float(found["estimate"]), float(found["error"])
    reason: Reason = next(each for each in get_args(Reason) if each == str(found["reason"]))
    return Replicates(estimate, values, without, strata, error, reason)


def _plain(array: np.ndarray, kinds: str) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError("no list of numbers")
    return array


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write the test samples of a bench; paths become absolute, so that they hold anywhere.

    Raises:
        OutputError: the file cannot be written.
    """
    entries = [
        SampleEntry(
            image=os.path.abspath(sample.image),
            label=sample.label,
            category=sample.category,
            defect=sample.defect,
            mask=None if sample.mask is None else os.path.abspath(sample.mask),
        )
        for sample in samples
    ]
    SamplesDocument(samples=entries).write(folder / SAMPLES_FILE)


def read_samples(folder: Path) -> tuple[Sample, ...]:
    """Read what `write_samples` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        entries = SamplesDocument.read(folder / SAMPLES_FILE).samples
    except InputError as error:
        raise InputError(f"{error}; run the bench again, which keeps what is done") from error
    masks = (None if entry.mask is None else Path(entry.mask) for entry in entries)
    return tuple(
        Sample(Path(entry.image), entry.label, entry.category, "test", entry.defect, mask)
        for entry, mask in zip(entries, masks, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What came of a bench or a grid; two are equal only if they are one object."""

    folder: Path
    document: BenchDocument
    samples: tuple[Sample, ...]

    def cells(self, **facts: str | int | None) -> list[BenchCell]:
        """Return the document's cells with these facts: detector, category, shots, seed."""
        return [
            cell
            for cell in self.document.cells
            if all(getattr(cell, name) == value for name, value in facts.items())
        ]

    def run(self, cell: BenchCell) -> Path:
        """Return the run folder of a cell."""
        return self.folder / cell.run

    def stored(self, cell: BenchCell) -> CellResult | None:
        """Return what a cell was computed from, or None if it is not there or damaged."""
        return read_result(self.run(cell))

    def scored(self, cell: BenchCell) -> Iterator[Scored]:
        """Yield the images of a cell that were scored, in the order of the data set.

        Raises:
            InputError: the cell's scores cannot be read.
        """
        run, size = read_run(self.run(cell)), self.document.settings.size
        rows = {run.file_of(row): row for row in run.rows()}
        for sample in self.samples:
            row = rows.get(sample.image)
            if sample.category == cell.category and row is not None and row.status == "done":
                yield Scored(sample, row, run.folder, cell.change, size)


def read_results(folder: Path) -> Results:
    """Read the folder of a bench or a grid, finished or not.

    Raises:
        InputError: it is no such folder, or is damaged.
    """
    return Results(folder, read_document(folder), read_samples(folder))
