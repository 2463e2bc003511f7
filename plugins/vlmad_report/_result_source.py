"""The one folder of results that a report is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_evaluation.result_folders import Results, read_results
from vlmad_run.manifest import reading_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad.datasets import Sample
    from vlmad_evaluation.labelled_maps import Resolution
    from vlmad_evaluation.metric import Metric
    from vlmad_evaluation.result_documents import BenchCell, BenchDocument
    from vlmad_evaluation.result_folders import CellResult, Scored
    from vlmad_formats.reading import Reading

MOST_DRAWN, MOST_BARS = 6, 120
"""Detectors in a chart, and bars of one metric; the tables have all."""
AGAIN = "run its command again, which keeps what is done"


@dataclass(frozen=True, slots=True, eq=False)
class ResultSource:
    """What a bench or a grid gave, and where its images are now."""

    results: Results
    data: Path | None = None
    """Where the data set is now, if it has moved."""

    @property
    def document(self) -> BenchDocument:
        """All that came of it."""
        return self.results.document

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
        return list(map(self.now, self.results.samples))

    @property
    def reading(self) -> Reading:
        """How the images were read."""
        return reading_of(self.results.run(self.document.cells[0]))

    def now(self, sample: Sample) -> Sample:
        """Return a sample as it was recorded with the places where its files are now."""
        mask = None if sample.mask is None else self._place(sample.mask)
        return replace(sample, image=self._place(sample.image), mask=mask)

    def _place(self, path: Path) -> Path:
        root = Path(os.path.abspath(self.document.dataset.root))
        if self.data is None or not path.is_relative_to(root):
            return path
        return self.data / path.relative_to(root)

    @property
    def resolution(self) -> Resolution:
        """The size at which maps and masks were compared."""
        return self.document.settings.size

    def metrics(self, shots: int, category: str | None = None) -> dict[str, Mapping[str, Metric]]:
        """Return the metrics of each detector that was measured on a category, or on average."""
        found = {each.detector: each.metrics for each in self.document.entries(shots, category)}
        return {name: found[name] for name in self.document.detectors if name in found}

    def metric(self, name: str, detector: str, shots: int, category: str | None) -> Metric | None:
        """Return a metric of a detector on a category, or on average, if it was measured."""
        found = self.metrics(shots, category).get(detector)
        return None if found is None else found.get(name)

    def best(self, names: Sequence[str], groups: int = 1) -> list[str]:
        """Return the detectors to draw in so many groups: the first and the best ones."""
        found: dict[str, float] = {}
        for entry in self.document.averages:
            value = entry.metrics["image_auroc"].value or 0.0
            found[entry.detector] = max(value, found.get(entry.detector, 0.0))
        room = min(MOST_DRAWN, max(1, MOST_BARS // groups))
        ranked = sorted(names, key=lambda n: (n != self.document.first, -found.get(n, 0.0)))
        return [name for name in names if name in ranked[:room]]

    def scored(self, cell: BenchCell) -> list[Scored]:
        """Return the images of a cell that were scored, with what is true of them.

        Raises:
            InputError: the cell's scores cannot be read.
        """
        scored = self.results.scored(cell)
        return [replace(each, sample=self.now(each.sample)) for each in scored]

    def stored(self) -> list[CellResult]:
        """Return what the cells were computed from.

        Raises:
            InputError: the files of a cell are not there, or damaged.
        """
        found = []
        for cell in self.document.cells:
            result = self.results.stored(cell)
            if result is None:
                run = self.results.run(cell)
                raise InputError(f"{run} holds no metrics, or damaged ones: {AGAIN}")
            found.append(result)
        return found


def open_source(folder: Path, data: Path | None = None) -> ResultSource:
    """Read a bench or a grid, with its images by their names below `data` if that is given.

    Raises:
        InputError: it is no such folder, is damaged, or no image is below `data`.
    """
    source = ResultSource(read_results(folder), data)
    if data is None:
        return source
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; name the root of the data set")
    if not any(sample.image.is_file() for sample in source.samples):
        first = next((str(each.image) for each in source.samples), source.document.dataset.root)
        raise InputError(f"no image of {folder} is below {data}; there should be {first}")
    return source
