"""A run of unlabelled images and a data set that knows them, measured as a bench would.

An image of the run is that of the data set's test split whose file it is, or else the one with
the same bytes, so that a data set may have moved since.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.cells import measure_cell
from vlmad_evaluation.bench.document import (
    describe_cell,
    describe_dataset,
    describe_metrics,
    describe_settings,
    describe_versions,
)
from vlmad_evaluation.bench.measuring import Scored
from vlmad_evaluation.bench.plan import Cell, Settings
from vlmad_evaluation.bench.reading import Results

from vlmad.errors import InputError, OutputError, first_line
from vlmad.files import digest
from vlmad_run.rows import from_line
from vlmad_run.run_folder import LINES, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.results import CellResult

    from vlmad import Sample
    from vlmad_datasets import OpenDataset
    from vlmad_run.rows import Row


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRun(Results):
    """What came of a run, as if a bench had made it."""

    images: tuple[Scored, ...]
    measured: tuple[CellResult, ...]

    def run(self, cell: Mapping[str, Any]) -> Path:
        """Return the run's folder, whichever cell it is."""
        return self.folder

    def stored(self, cell: Mapping[str, Any]) -> CellResult | None:
        """Return what was measured of a cell; a run has no file of it."""
        found = (each for each in self.measured if each.facts["category"] == cell["category"])
        return next(found, None)

    def scored(self, cell: Mapping[str, Any]) -> Iterator[Scored]:
        """Yield the images of a cell, in the order of the data set."""
        return (each for each in self.images if each.sample.category == cell["category"])


@dataclass(frozen=True, slots=True)
class _Match:
    """The rows of a run beside the samples that they are of."""

    pairs: tuple[tuple[Sample, Row], ...]
    unknown: int
    """Images of the run that the data set does not have in its test split."""
    references: int
    """Images that the detector was fitted on, which say nothing of it."""


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run."""
    return (folder / LINES).is_file()


def label_run(
    folder: Path, dataset: OpenDataset, progress: Callable[[int, int], None]
) -> LabelledRun:
    """Measure a run with the labels and masks of a data set.

    Args:
        folder: of the run.
        dataset: has the images that were scored in its test split.
        progress: told how many images were compared by their bytes, if need be.

    Raises:
        InputError: the run cannot be read, or no image of it is in the data set.
    """
    manifest = _manifest(folder)
    match = _match(folder, manifest, dataset, progress)
    scored = [Scored(s, row, folder) for s, row in match.pairs if row.status == "done"]
    if not scored:
        raise InputError(
            f"no scored image of {folder} is in the test split of {dataset.root}; "
            "name the data set that the run's images are from"
        )
    by_category: dict[str, list[Scored]] = {}
    for each in scored:
        by_category.setdefault(each.sample.category, []).append(each)
    settings = Settings(shots=(len(manifest["references"]),), seeds=1)
    results = [
        measure_cell(_cell(category, manifest, match.pairs), images, manifest, settings)
        for category, images in by_category.items()
    ]
    document = _document(manifest, dataset, match, by_category, results, settings)
    samples = tuple(each.sample for each in scored)
    return LabelledRun(folder, document, samples, tuple(scored), tuple(results))


def _document(
    manifest: Mapping[str, Any],
    dataset: OpenDataset,
    match: _Match,
    by_category: Mapping[str, Sequence[Scored]],
    results: Sequence[CellResult],
    settings: Settings,
) -> dict[str, Any]:
    """Describe the run as a bench is described."""
    [shots] = settings.shots
    reasons = _left_out(match, dataset)
    skipped = {"detector": _name(manifest), "category": None, "shots": shots}
    return {
        **describe_versions(),
        "finished": bool(_table(manifest, "result").get("finished")),
        "dataset": _describe_dataset(dataset, by_category),
        "settings": {**describe_settings(settings), "batch_size": None},
        "detectors": {_name(manifest): _detector(manifest)},
        "peak_memory_bytes": None,
        **describe_metrics(results, settings.confidence),
        "published": [],  # whether a run is of a published recipe, its manifest does not say
        "skipped": [{**skipped, "reason": reason} for reason in reasons],
        "cells": [describe_cell(result, ".", None) for result in results],
    }


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(folder)
    except OutputError as error:
        raise InputError(f"{folder} cannot be read: its manifest is damaged") from error
    if manifest is None:
        raise InputError(f"{folder} has no manifest.json: it is no run")
    references = manifest.get("references")
    if not isinstance(references, list) or not all(map(_is_reference, references)):
        raise InputError(f"the manifest of {folder} lacks its references: it is no run")
    return manifest


def _is_reference(table: object) -> bool:
    return isinstance(table, dict) and isinstance(table.get("sha256"), str)


def _match(
    folder: Path,
    manifest: Mapping[str, Any],
    dataset: OpenDataset,
    progress: Callable[[int, int], None],
) -> _Match:
    base = Path(str(manifest.get("folder", ".")))
    rows = {os.path.abspath(base / row.image): row for row in _rows(folder)}
    fitted_on = {each["sha256"] for each in manifest["references"]}
    tested = {path: row for path, row in rows.items() if row.sha256 not in fitted_on}
    references = len(rows) - len(tested)
    samples = dataset.select(split="test")
    by_path = [(sample, tested.pop(os.path.abspath(sample.image), None)) for sample in samples]
    pairs = {sample.image: row for sample, row in by_path if row is not None}
    for path, row in pairs.items():
        _check_unchanged(path, row)
    others = [sample for sample, row in by_path if row is None]
    by_content = _match_contents(others, tested, progress) if tested else {}
    pairs |= by_content
    matched = tuple((s, pairs[s.image]) for s in samples if s.image in pairs)
    return _Match(matched, len(tested) - len(by_content), references)


def _match_contents(
    samples: Sequence[Sample], tested: Mapping[str, Row], progress: Callable[[int, int], None]
) -> dict[Path, Row]:
    """Match what has the same bytes; of several images the first that is left."""
    by_content: dict[str, list[Row]] = {}
    for row in tested.values():
        if row.sha256 is not None:
            by_content.setdefault(row.sha256, []).append(row)
    pairs: dict[Path, Row] = {}
    labels: dict[str, Sample] = {}
    for index, sample in enumerate(samples, start=1):
        sha256 = digest(sample.image)
        _check_label(labels.setdefault(sha256, sample), sample)
        if by_content.get(sha256):
            pairs[sample.image] = by_content[sha256].pop(0)
        progress(index, len(samples))
    return pairs


def _check_label(first: Sample, second: Sample) -> None:
    if first.label != second.label:
        raise InputError(
            f"{first.image} and {second.image} are the same image, one {first.label} and one "
            f"{second.label}: mend the data set"
        )


def _check_unchanged(path: Path, row: Row) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {first_line(error)}") from error
    if (status.st_size, status.st_mtime_ns) == (row.bytes, row.modified):
        return
    if row.sha256 is not None and digest(path) != row.sha256:
        raise InputError(f"{path} has changed since it was scored; run the detector again")


def _rows(folder: Path) -> Iterator[Row]:
    try:
        with (folder / LINES).open("rb") as file:
            yield from (row for line in file if (row := from_line(line)) is not None)
    except OSError as error:
        raise InputError(f"cannot read {folder / LINES}: {first_line(error)}") from error


def _cell(
    category: str, manifest: Mapping[str, Any], pairs: Sequence[tuple[Sample, Row]]
) -> Cell:
    shots, seed = len(manifest["references"]), manifest.get("seed")
    return Cell(
        _name(manifest),
        category,
        str(manifest["identity"].get("class_name") or "object"),
        shots,
        (seed if isinstance(seed, int) else 0) if shots else None,
        tuple(sample for sample, _ in pairs if sample.category == category),
    )


def _describe_dataset(
    dataset: OpenDataset, by_category: Mapping[str, Sequence[Scored]]
) -> dict[str, Any]:
    """Describe what of the data set was measured: a run need not have seen all of it."""
    table = describe_dataset(dataset, tuple(by_category), ())
    for category, scored in by_category.items():
        samples = [each.sample for each in scored]
        table["categories"][category] |= {
            "normal": sum(not sample.anomalous for sample in samples),
            "anomalous": sum(sample.anomalous for sample in samples),
            "masks": sum(sample.mask is not None for sample in samples),
        }
    return table


def _name(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("recipe") or "detector")


def _detector(manifest: Mapping[str, Any]) -> dict[str, Any]:
    identity = manifest["identity"]
    parts = _table(identity, "parts")
    return {
        "recipe": _name(manifest),
        "parts": {kind: _table(parts, kind).get("name") for kind in parts},
        "options": _table(manifest, "options"),
        "notes": [],
        "backbone": str(manifest.get("backbone", "unknown")),
        "licence": manifest.get("licence"),
        "weights_sha256": identity.get("weights_sha256"),
        "device": str(manifest.get("device", "unknown")),
        "precision": str(identity.get("precision", "unknown")),
        "seconds_per_image": None,
    }


def _left_out(match: _Match, dataset: OpenDataset) -> Iterator[str]:
    if match.unknown:
        yield f"images of the run that the test split of {dataset.root} lacks: {match.unknown}"
    if match.references:
        yield f"images that are references of the detector: {match.references}"


def _table(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}
