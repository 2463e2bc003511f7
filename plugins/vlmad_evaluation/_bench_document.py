"""All that came of a bench as one table of plain values, from which every output is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from vlmad_evaluation._bench_folder import cell_place
from vlmad_evaluation._bench_plan import Skipped
from vlmad_evaluation._cell_results import CellResult, to_table
from vlmad_evaluation._detector_pairs import compare_pairs
from vlmad_evaluation._published_figures import published_beside
from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.resolution import describe_resolution
from vlmad_run.manifest import LIBRARIES, options_in_full

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vlmad import Problem
    from vlmad.detector import Detector
    from vlmad_datasets import OpenDataset
    from vlmad_evaluation._bench_plan import Cell, Plan, Settings
    from vlmad_evaluation._image_timing import Machine
    from vlmad_evaluation.averaging import OverCategories, OverSeeds

FORMAT = "vlmad bench 1"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of bench: how its folders are called and what is written of its document."""

    name: str
    files: Callable[[Mapping[str, Any]], Mapping[str, str]]
    tells: bool = True
    """Whether a line is said of each cell."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured."""

    dataset: OpenDataset
    categories: tuple[str, ...]
    detectors: Mapping[str, Detector]
    settings: Settings
    problems: tuple[Problem, ...]
    """Of the data set: none is fatal."""
    kind: Kind
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What its document says besides."""


def make_document(
    bench: Bench,
    plan: Plan,
    came: Mapping[Cell, CellResult | Skipped],
    machine: Machine,
) -> dict[str, Any]:
    """Put together what `bench.json` holds.

    Args:
        bench: what is measured.
        plan: its cells, finished or not.
        came: what came of those that are done.
        machine: time and memory.
    """
    done = [(cell, came[cell]) for cell in plan.cells if cell in came]
    measured = [(cell, result) for cell, result in done if isinstance(result, CellResult)]
    results = [result for _, result in measured]
    failures = [result for _, result in done if isinstance(result, Skipped)]
    return {
        **describe_versions(),
        "finished": len(done) == len(plan.cells),
        "dataset": describe_dataset(bench.dataset, bench.categories, bench.problems),
        "settings": describe_settings(bench.settings),
        "detectors": {
            name: _detector(detector, machine.seconds.get(name))
            for name, detector in bench.detectors.items()
        },
        "peak_memory_bytes": machine.peak,
        **describe_metrics(results, bench.settings.confidence),
        "published": _published(bench),
        "skipped": [asdict(skipped) for skipped in (*plan.skipped, *failures)],
        "cells": [_cell(cell, result) for cell, result in measured],
        **bench.extra,
    }


def describe_versions() -> dict[str, Any]:
    """Return what a document begins with: its format, and which versions made it."""
    return {
        "format": FORMAT,
        "vlmad": version("vlmad"),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def describe_metrics(results: Sequence[CellResult], confidence: float) -> dict[str, Any]:
    """Return averages, the figures of each category, and how detectors compare."""
    by_key = over_seeds(results, confidence)
    averages = over_categories(by_key, confidence)
    return {
        "averages": [
            {"detector": detector, "shots": shots, "metrics": _tables(metrics)}
            for (detector, shots), metrics in averages.items()
        ],
        "categories": [
            {"detector": key[0], "category": key[1], "shots": key[2], "metrics": _tables(metrics)}
            for key, metrics in by_key.items()
        ],
        "comparisons": compare_pairs(results, by_key, averages, confidence),
    }


def _tables(metrics: Mapping[str, OverSeeds] | Mapping[str, OverCategories]) -> dict[str, Any]:
    return {name: found.table(name) for name, found in metrics.items()}


def describe_dataset(
    dataset: OpenDataset, categories: Sequence[str], problems: Sequence[Problem]
) -> dict[str, Any]:
    """Return which data set is measured, how many images it has, and what is wrong with it."""
    return {
        "reader": dataset.name,
        "root": str(dataset.root),
        "categories": {category: _category(dataset, category) for category in categories},
        "problems": [
            {"path": str(p.path), "what": p.what, "severity": p.severity} for p in problems
        ],
    }


def _category(dataset: OpenDataset, category: str) -> dict[str, Any]:
    tested = dataset.select([category], "test")
    return {
        "class_name": dataset.class_name(category),
        "train": len(dataset.select([category], "train")),
        "normal": sum(not sample.anomalous for sample in tested),
        "anomalous": sum(sample.anomalous for sample in tested),
        "masks": sum(sample.mask is not None for sample in tested),
    }


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return what is measured how."""
    return {
        "shots": list(settings.shots),
        "seeds": settings.seeds,
        "resolution": describe_resolution(settings.resolution),
        "replicates": settings.replicates,
        "confidence": settings.confidence,
        "interval": "BCa, images drawn with replacement, normal and anomalous ones apart",
        "batch_size": settings.batch_size,
    }


def _detector(detector: Detector, seconds: float | None) -> dict[str, Any]:
    backbone = detector.backbone
    return {
        "recipe": detector.assembly.recipe.name,
        "parts": {k: c.registration.name for k, c in detector.assembly.parts.items()},
        "options": options_in_full(detector),
        "notes": list(detector.assembly.notes),
        "backbone": backbone.spec.name,
        "licence": backbone.spec.licence,
        "weights_sha256": backbone.weights_hash,
        "device": str(getattr(backbone, "device", "unknown")),
        "precision": getattr(backbone, "precision", "float32"),
        "seconds_per_image": seconds,
    }


def _published(bench: Bench) -> list[dict[str, Any]]:
    counts = {
        category: (facts["normal"], facts["anomalous"])
        for category, facts in (
            (category, _category(bench.dataset, category)) for category in bench.categories
        )
    }
    return [
        {"detector": name, "shots": shots, **entry}
        for name, detector in bench.detectors.items()
        for shots in bench.settings.shots
        for entry in published_beside(detector.assembly, bench.dataset.name, counts, shots)
    ]


def _cell(cell: Cell, result: CellResult) -> dict[str, Any]:
    place = cell_place(cell)
    has_threshold = result.metrics["image_f1_max"].threshold is not None
    threshold = f"thresholds/{place}.json" if has_threshold else None
    return describe_cell(result, f"cells/{place}", threshold)


def describe_cell(result: CellResult, run: str, threshold: str | None) -> dict[str, Any]:
    """Return what came of a cell.

    Args:
        result: what was measured.
        run: its run folder, from that of the document.
        threshold: the file of its threshold, from there too.
    """
    return {
        **result.facts,
        "run": run,
        "threshold": threshold,
        "metrics": {name: to_table(metric, name) for name, metric in result.metrics.items()},
    }
