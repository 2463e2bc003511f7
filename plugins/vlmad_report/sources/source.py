"""One folder of results that a report is made of: its document, checked, and its stored cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.reading import DOCUMENTS
from vlmad_evaluation.bench.results import from_table

from vlmad.errors import InputError, OutputError
from vlmad_report.sources.shape import DOCUMENT, GRID, checked
from vlmad_run.manifest import NOT_SUBSTANCE
from vlmad_run.run_folder import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from vlmad_evaluation.bench.reading import Results
    from vlmad_evaluation.bench.results import CellResult

    from vlmad_evaluation.bootstrap import Replicates

AGAIN = "run its command again, which keeps what is done"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A folder whose document has been checked."""

    results: Results
    document: Mapping[str, Any]

    def stored(self, cell: Mapping[str, Any]) -> CellResult:
        """Return what a cell was computed from: scores, and metrics of resampled images.

        Raises:
            InputError: it is not there, or damaged.
        """
        found = self.results.stored(cell)
        if found is None or not _is_sound(found, self.document["settings"]["replicates"]):
            run = self.results.run(cell)
            raise InputError(f"{run} holds no metrics, or damaged ones: {AGAIN}")
        facts = {name: cell[name] for name in ("detector", "category", "shots", "seed")}
        facts["left_out"] = cell.get("left_out", [])
        metrics = {name: from_table(each) for name, each in cell["metrics"].items()}
        return type(found)(facts, metrics, found.replicates, found.labels, found.scores)

    def identity(self, detector: str) -> dict[str, Any]:
        """Return what a detector's scores depend on, besides class names and references."""
        return self.substance(detector) | self._of_run(detector)

    def substance(self, detector: str) -> dict[str, Any]:
        """Return what the document says of it: parts, options, weights and precision."""
        facts = self.document["detectors"][detector]
        known = {name: facts[name] for name in ("parts", "weights_sha256", "precision")}
        known["options"] = {
            kind: {name: each for name, each in options.items() if name not in left_out}
            for kind, options in facts["options"].items()
            for left_out in [NOT_SUBSTANCE.get(kind, ())]
        }
        return known

    def _of_run(self, detector: str) -> dict[str, Any]:
        """Return what its first run knows beyond the document: the content of files, sizes."""
        cell = next((c for c in self.document["cells"] if c["detector"] == detector), None)
        manifest = _manifest(self.results.run(cell)) if cell else None
        own = manifest["identity"] if manifest else {}
        return {f"run's {name}": own.get(name) for name in ("parts", "preprocessing", "resize")}

    def truth(self, category: str) -> tuple[str, frozenset[tuple[str, str, str]]]:
        """Return the class name of a category, and its test images with labels and masks."""
        samples = (s for s in self.results.samples if s.category == category)
        class_name = self.document["dataset"]["categories"][category]["class_name"]
        return class_name, frozenset((str(s.image), s.label, str(s.mask)) for s in samples)


def _manifest(run: Path) -> dict[str, Any] | None:
    try:
        return read_manifest(run)
    except OutputError as error:
        raise InputError(f"cannot read the manifest in {run}: it is damaged; {AGAIN}") from error


def open_source(results: Results) -> Source:
    """Check the document of a folder.

    Raises:
        InputError: it lacks something, or something in it is of another kind.
    """
    folder = results.folder
    path = next((folder / name for name in DOCUMENTS if (folder / name).is_file()), folder)
    try:
        shape = DOCUMENT | ({"grid": GRID} if "grid" in results.document else {})
        document = checked(dict(results.document), shape)
        for problem in _contradictions(document):
            raise ValueError(problem)
    except ValueError as error:
        raise InputError(f"cannot read {path}: it is damaged, {error}; {AGAIN}") from error
    return Source(results, document)


def _contradictions(document: Mapping[str, Any]) -> Iterator[str]:
    confidence = document["settings"]["confidence"]
    if confidence is None or not 0 < confidence < 1:
        yield "settings.confidence is not between 0 and 1"
    detectors, categories = document["detectors"], document["dataset"]["categories"]
    if not detectors:
        yield "detectors has none"
    for part in ("averages", "categories", "cells", "published"):
        for index, entry in enumerate(document[part]):
            if entry["detector"] not in detectors:
                yield f"{part}[{index}].detector is none of the detectors"
            if part in ("categories", "cells") and entry["category"] not in categories:
                yield f"{part}[{index}].category is none of the categories"
    baseline = document.get("baseline")
    if baseline is not None and baseline not in list(detectors):
        yield "baseline is none of the detectors"


def _is_sound(result: CellResult, replicates: int) -> bool:
    """Tell whether arrays are of numbers and fit each other, so that one can compute with them."""
    plain = all(_is_plain(each) for each in (result.labels, result.scores))
    return (
        plain
        and result.labels.dtype == bool
        and len(result.labels) == len(result.scores)
        and all(_fits(each, replicates) for each in result.replicates.values())
    )


def _fits(found: Replicates, replicates: int) -> bool:
    arrays = (found.values, found.without, found.strata)
    return (
        all(map(_is_plain, arrays))
        and len(found.values) == replicates
        and len(found.without) == len(found.strata)
    )


def _is_plain(array: np.ndarray) -> bool:
    return array.ndim == 1 and array.dtype.kind in "bif"
