"""The one folder of results that a report is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_evaluation.result_documents import GridDocument
from vlmad_evaluation.result_folders import Results, read_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad.datasets import Sample
    from vlmad_evaluation.labelled_maps import Resolution
    from vlmad_evaluation.result_documents import (
        AverageEntry,
        BenchCell,
        BenchDocument,
        CategoryEntry,
        SeedMetric,
    )
    from vlmad_evaluation.result_folders import CellResult, Scored

MOST_DRAWN, MOST_BARS = 6, 120
"""Detectors in a chart, and bars of one metric; the tables have all."""
AGAIN = "run its command again, which keeps what is done"


@dataclass(frozen=True, slots=True, eq=False)
class ResultSource:
    """What a bench or a grid gave, and where its images are now."""

    results: Results
    data: Path | None = None
    """Where the data set is now, if it has moved."""
    now: Mapping[Sample, Sample] = field(default_factory=dict)
    """Samples as they were recorded, and where their files are now."""

    @property
    def document(self) -> BenchDocument:
        """All that came of it."""
        return self.results.document

    @property
    def baseline(self) -> str:
        """The detector that the others are compared with."""
        if isinstance(self.document, GridDocument):
            return self.document.baseline
        return next(iter(self.document.detectors))

    @property
    def categories(self) -> list[str]:
        """The names of the categories."""
        return list(self.document.dataset.categories)

    @property
    def shots(self) -> list[int]:
        """The numbers of references with which something was measured."""
        return sorted({entry.shots for entry in self.document.averages})

    @property
    def samples(self) -> list[Sample]:
        """The test images, where they are now."""
        return [self.now.get(sample, sample) for sample in self.results.samples]

    @property
    def resolution(self) -> Resolution:
        """The size at which maps and masks were compared."""
        return self.document.settings.size

    def metrics(
        self, shots: int, category: str | None = None
    ) -> dict[str, Mapping[str, SeedMetric]]:
        """Return the metrics of each detector that was measured on a category, or on average."""
        found: dict[str, Mapping[str, SeedMetric]] = {}
        entries: list[AverageEntry] | list[CategoryEntry] = self.document.averages
        if category is not None:
            entries = [each for each in self.document.categories if each.category == category]
        for entry in entries:
            if entry.shots == shots:
                found[entry.detector] = entry.metrics
        return {name: found[name] for name in self.document.detectors if name in found}

    def metric(
        self, name: str, detector: str, shots: int, category: str | None
    ) -> SeedMetric | None:
        """Return a metric of a detector on a category, or on average, if it was measured."""
        found = self.metrics(shots, category).get(detector)
        return None if found is None else found[name]

    def best(self, names: Sequence[str], groups: int = 1) -> list[str]:
        """Return the detectors to draw in so many groups: the first and the best ones."""
        found: dict[str, float] = {}
        for entry in self.document.averages:
            values = (found.get(entry.detector), entry.metrics["image_auroc"].value)
            found[entry.detector] = max(value or 0.0 for value in values)
        room = min(MOST_DRAWN, max(1, MOST_BARS // groups))
        ranked = sorted(names, key=lambda n: (n != self.baseline, -found.get(n, 0.0)))
        return [name for name in names if name in ranked[:room]]

    def run(self, cell: BenchCell) -> Path:
        """Return the run folder of a cell."""
        return self.results.folder / cell.run

    def scored(self, cell: BenchCell) -> list[Scored]:
        """Return the images of a cell that were scored, with what is true of them.

        Raises:
            InputError: the cell's scores cannot be read.
        """
        scored = self.results.scored(cell)
        return [replace(each, sample=self.now.get(each.sample, each.sample)) for each in scored]

    def stored(self, detector: str | None = None) -> list[CellResult]:
        """Return what the cells of a detector, or of all, were computed from.

        Raises:
            InputError: the files of a cell are not there, or damaged.
        """
        found = []
        for cell in self.document.cells:
            if detector in (None, cell.detector):
                result = self.results.stored(cell)
                if result is None:
                    raise InputError(f"{self.run(cell)} holds no metrics, or damaged ones: {AGAIN}")
                found.append(result)
        return found


def open_source(folder: Path, data: Path | None = None) -> ResultSource:
    """Read the folder of a bench or a grid.

    Args:
        folder: finished or not.
        data: where the data set is now; its files are found by their names below its root.

    Raises:
        InputError: it is no such folder, is damaged, or no image is below `data`.
    """
    results = read_results(folder)
    if data is None:
        return ResultSource(results)
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; name the root of the data set")
    root = results.document.dataset.root
    now = {sample: _moved(sample, root, data) for sample in results.samples}
    if not any(sample.image.is_file() for sample in now.values()):
        first = next((str(each.image) for each in now.values()), root)
        raise InputError(f"no image of {folder} is below {data}; there should be {first}")
    return ResultSource(results, data, now)


def _moved(sample: Sample, root: str, data: Path) -> Sample:
    mask = None if sample.mask is None else _below(sample.mask, root, data)
    return replace(sample, image=_below(sample.image, root, data), mask=mask)


def _below(path: Path, root: str, data: Path) -> Path:
    """Return a path below one folder as it is below another."""
    start = Path(os.path.abspath(root))
    return data / path.relative_to(start) if path.is_relative_to(start) else path
