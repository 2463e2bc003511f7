"""All that came of a bench as one document, from which every output is made."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from vlmad_evaluation._bench_folder import cell_place
from vlmad_evaluation._detector_pairs import compare_pairs
from vlmad_evaluation._published_figures import published_beside
from vlmad_evaluation.averaging import (
    average_entries,
    category_entries,
    over_categories,
    over_seeds,
)
from vlmad_evaluation.labelled_maps import describe_resolution
from vlmad_evaluation.result_documents import (
    BenchCell,
    BenchDocument,
    BenchSettings,
    CategoryFacts,
    DatasetFacts,
    DatasetFault,
    DetectorFacts,
    GridAxes,
    GridDocument,
    SkippedEntry,
)
from vlmad_evaluation.result_folders import CellResult
from vlmad_run.manifest import LIBRARIES, options_in_full

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad import Problem
    from vlmad.detector import Detector
    from vlmad_datasets.opening import OpenDataset
    from vlmad_evaluation._bench_plan import Cell, Plan, Settings
    from vlmad_evaluation.result_documents import PublishedEntry


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured."""

    dataset: OpenDataset
    categories: tuple[str, ...]
    detectors: Mapping[str, Detector]
    settings: Settings
    problems: tuple[Problem, ...]
    """Of the data set: none is fatal."""
    axes: GridAxes | None = None
    """Of a grid: its combinations. The first detector is its baseline."""

    @property
    def kind(self) -> Literal["bench", "grid"]:
        """How its files and its folder begin."""
        return "bench" if self.axes is None else "grid"


@dataclass(frozen=True, slots=True)
class Machine:
    """Time and memory."""

    seconds: Mapping[str, float | None]
    """For an image, by detector."""
    peak: int | None
    """The most bytes that were held."""


def make_document(
    bench: Bench,
    plan: Plan,
    came: Mapping[Cell, CellResult | SkippedEntry],
    machine: Machine,
) -> BenchDocument:
    """Put together what `bench.json` holds.

    Args:
        bench: what is measured.
        plan: its cells, finished or not.
        came: what came of those that are done.
        machine: time and memory.
    """
    done = [(cell, came[cell]) for cell in plan.cells if cell in came]
    measured = [(cell, result) for cell, result in done if isinstance(result, CellResult)]
    failures = [result for _, result in done if isinstance(result, SkippedEntry)]
    confidence, results = bench.settings.confidence, [result for _, result in measured]
    by_key = over_seeds(results, confidence)
    averages = over_categories(by_key, confidence)
    document = BenchDocument(
        vlmad=version("vlmad"),
        libraries={name: version(name) for name in LIBRARIES},
        finished=len(done) == len(plan.cells),
        dataset=describe_dataset(bench.dataset, bench.categories, bench.problems),
        settings=describe_settings(bench.settings),
        detectors={n: _detector(d, machine.seconds.get(n)) for n, d in bench.detectors.items()},
        peak_memory_bytes=machine.peak,
        averages=average_entries(averages),
        categories=category_entries(by_key),
        comparisons=compare_pairs(results, by_key, averages, confidence),
        published=_published(bench),
        skipped=[*plan.skipped, *failures],
        cells=[_cell(cell, result) for cell, result in measured],
    )
    if bench.axes is None:
        return document
    baseline = next(iter(bench.detectors))
    return GridDocument(**dict(document), baseline=baseline, grid=bench.axes)


def describe_dataset(
    dataset: OpenDataset, categories: Sequence[str], problems: Sequence[Problem]
) -> DatasetFacts:
    """Return which data set is measured, how many images it has, and what is wrong with it."""
    return DatasetFacts(
        reader=dataset.name,
        root=str(dataset.root),
        categories={category: _category(dataset, category) for category in categories},
        problems=[
            DatasetFault(path=str(p.path), what=p.what, severity=p.severity) for p in problems
        ],
    )


def _category(dataset: OpenDataset, category: str) -> CategoryFacts:
    tested = dataset.select([category], "test")
    return CategoryFacts(
        class_name=dataset.class_name(category),
        train=len(dataset.select([category], "train")),
        normal=sum(not sample.anomalous for sample in tested),
        anomalous=sum(sample.anomalous for sample in tested),
        masks=sum(sample.mask is not None for sample in tested),
    )


def describe_settings(settings: Settings) -> BenchSettings:
    """Return what is measured how."""
    return BenchSettings(
        shots=list(settings.shots),
        seeds=settings.seeds,
        resolution=describe_resolution(settings.resolution),
        replicates=settings.replicates,
        confidence=settings.confidence,
        interval="BCa, images drawn with replacement, normal and anomalous ones apart",
        batch_size=settings.batch_size,
    )


def _detector(detector: Detector, seconds: float | None) -> DetectorFacts:
    backbone = detector.backbone
    return DetectorFacts(
        recipe=detector.assembly.recipe.name,
        parts={k: c.registration.name for k, c in detector.assembly.parts.items()},
        options=options_in_full(detector),
        notes=list(detector.assembly.notes),
        backbone=backbone.spec.name,
        licence=backbone.spec.licence,
        weights_sha256=backbone.weights_hash,
        device=str(getattr(backbone, "device", "unknown")),
        precision=getattr(backbone, "precision", "float32"),
        seconds_per_image=seconds,
    )


def _published(bench: Bench) -> list[PublishedEntry]:
    facts = {category: _category(bench.dataset, category) for category in bench.categories}
    counts = {category: (each.normal, each.anomalous) for category, each in facts.items()}
    return [
        entry
        for name, detector in bench.detectors.items()
        for shots in bench.settings.shots
        for entry in published_beside(name, detector.assembly, bench.dataset.name, counts, shots)
    ]


def _cell(cell: Cell, result: CellResult) -> BenchCell:
    place = cell_place(cell)
    has_threshold = result.metrics["image_f1_max"].threshold is not None
    return BenchCell(
        **result.facts.plain(),
        run=f"cells/{place}",
        threshold=f"thresholds/{place}.json" if has_threshold else None,
        metrics=result.documents(),
    )
