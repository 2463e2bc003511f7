"""All that came of a bench as one document, from which every output is made."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from vlmad_evaluation._condition_entries import condition_entries
from vlmad_evaluation._detector_pairs import compare_pairs
from vlmad_evaluation._published_figures import published_beside
from vlmad_evaluation.averaging import metric_entries, over_categories, over_seeds
from vlmad_evaluation.result_documents import (
    BenchDocument,
    CategoryFacts,
    DatasetFacts,
    DatasetFault,
    DetectorFacts,
    GridAxes,
    GridDocument,
    SkippedEntry,
)
from vlmad_evaluation.result_folders import CellResult
from vlmad_run.manifest import LIBRARIES
from vlmad_run.part_options import options_in_full, recipe_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad import Problem
    from vlmad.detector import Detector
    from vlmad_evaluation._bench_plan import Cell, Plan
    from vlmad_evaluation.result_documents import BenchSettings, PublishedEntry
    from vlmad_run.opening import OpenDataset


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured."""

    dataset: OpenDataset
    categories: tuple[str, ...]
    detectors: Mapping[str, Detector]
    settings: BenchSettings
    problems: tuple[Problem, ...]
    """Of the data set: none is fatal."""
    axes: GridAxes | None = None
    """Of a grid: its combinations. The first detector is its baseline."""

    @property
    def kind(self) -> Literal["bench", "grid"]:
        """How its files and its folder begin."""
        return "bench" if self.axes is None else "grid"


def make_document(
    bench: Bench,
    plan: Plan,
    came: Mapping[Cell, CellResult | SkippedEntry],
) -> BenchDocument:
    """Put together what `bench.json` holds, from what came of the cells that are done."""
    done = [(cell, came[cell]) for cell in plan.cells if cell in came]
    scored = [result for _, result in done if isinstance(result, CellResult)]
    results = [result for result in scored if result.cell.change is None]
    changed = [result for result in scored if result.cell.change is not None]
    failures = [result for _, result in done if isinstance(result, SkippedEntry)]
    confidence, categories = bench.settings.confidence, bench.categories
    by_place = over_seeds(results, confidence)
    dataset = _dataset(bench)
    document = BenchDocument(
        vlmad=version("vlmad"),
        libraries={name: version(name) for name in LIBRARIES},
        finished=len(done) == len(plan.cells),
        dataset=dataset,
        settings=bench.settings,
        detectors={name: _detector(each) for name, each in bench.detectors.items()},
        averages=metric_entries(over_categories(by_place, categories, confidence)),
        categories=metric_entries(by_place),
        comparisons=compare_pairs(results, by_place, categories, confidence),
        published=_published(bench, dataset.categories),
        skipped=[*plan.skipped, *failures],
        cells=[result.cell for result in results],
        conditions=condition_entries(results, changed, categories, bench.settings),
        changed_cells=[result.cell for result in changed],
    )
    if bench.axes is None:
        return document
    baseline = next(iter(bench.detectors))
    return GridDocument(**dict(document), baseline=baseline, grid=bench.axes)


def _dataset(bench: Bench) -> DatasetFacts:
    return DatasetFacts(
        reader=bench.dataset.name,
        root=str(bench.dataset.root),
        categories={category: _category(bench.dataset, category) for category in bench.categories},
        problems=[
            DatasetFault(path=str(each.path), what=each.what, severity=each.severity)
            for each in bench.problems
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


def _detector(detector: Detector) -> DetectorFacts:
    backbone = detector.backbone
    return DetectorFacts(
        recipe=recipe_name(detector.assembly),
        parts={k: c.registration.name for k, c in detector.assembly.parts.items()},
        options=options_in_full(detector),
        notes=list(detector.assembly.notes),
        backbone=backbone.spec.name,
        licence=backbone.spec.licence,
        weights_sha256=backbone.weights_hash,
        device=str(getattr(backbone, "device", "cpu")),
        precision=getattr(backbone, "precision", "float32"),
    )


def _published(bench: Bench, facts: Mapping[str, CategoryFacts]) -> list[PublishedEntry]:
    counts = {name: (each.normal, each.anomalous) for name, each in facts.items()}
    return [
        entry
        for name, detector in bench.detectors.items()
        for shots in bench.settings.shots
        for entry in published_beside(name, detector.assembly, bench.dataset.name, counts, shots)
    ]
