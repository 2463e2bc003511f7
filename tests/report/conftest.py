"""Results as a bench writes them, made without any model, and a browser to look at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.datasets import GOOD, Sample
from vlmad.files import digest
from vlmad_evaluation.averaging import (
    metric_entries,
    over_categories,
    over_seeds,
)
from vlmad_evaluation.bootstrap import bootstrap_images, bootstrap_pixels, with_interval
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.pixel_metrics import pixel_metrics
from vlmad_evaluation.result_documents import (
    BenchCell,
    BenchDocument,
    BenchSettings,
    CategoryFacts,
    DatasetFacts,
    DetectorFacts,
    GridAxes,
    GridDocument,
    PairEntry,
    PublishedEntry,
    write_document,
)
from vlmad_evaluation.result_folders import CellResult, write_result, write_samples
from vlmad_run.identity import Identity
from vlmad_run.manifest import Manifest
from vlmad_run.pictures import to_16_bits
from vlmad_run.rows import ScoreRow, to_line

SIDE, REPLICATES = 40, 20
PARTS = ("backbone", "prompts", "extractor", "attention", "scorer")


@dataclass
class BenchMaker:
    """Makes the folder of a bench whose detectors see defects more or less clearly."""

    place: Path
    detectors: dict[str, float] = field(default_factory=lambda: {"sharp": 1.0, "blunt": 0.25})
    """How much a defect raises the map, by name."""
    categories: dict[str, dict[str, int]] = field(
        default_factory=lambda: {
            "metal nut": {GOOD: 6, "scratch": 3, "spot": 3},
            "bolt": {GOOD: 4, "chip": 3},
        }
    )
    """Images of each kind; those of the last category have no masks."""
    shots: tuple[int, ...] = (0, 1)
    scales: dict[str, int] = field(default_factory=dict)
    """The only window size of some detectors."""
    axes: GridAxes | None = None
    published: list[PublishedEntry] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.place / "bench"

    @property
    def data(self) -> Path:
        return self.place / "parts"

    def make(self) -> BenchDocument:
        """Write everything that a bench of these would write."""
        self.folder.mkdir(parents=True)
        samples = [s for category in self.categories for s in self._draw(category)]
        write_samples(self.folder, samples)
        results = {}
        for number, (name, clarity) in enumerate(self.detectors.items()):
            for category in self.categories:
                for shots in self.shots:
                    own = [sample for sample in samples if sample.category == category]
                    run = f"cells/{number}/{len(results)}/{shots}"
                    results[run] = self._score(run, (name, category, shots), own, clarity)
        document = self._document(results)
        write_document(document, self.folder)
        return document

    def _draw(self, category: str) -> Iterator[Sample]:
        rng = np.random.default_rng(len(category))
        masked = category != list(self.categories)[-1]
        for kind, count in self.categories[category].items():
            for index in range(count):
                pixels = rng.integers(60, 100, (SIDE, SIDE, 3)).astype(np.uint8)
                mask = np.zeros((SIDE, SIDE), np.uint8)
                if kind != GOOD:
                    mask[2 + index : 8 + 3 * index, 3:9] = 255
                    pixels[mask > 0] = 120 if kind == "scratch" else 250
                image = self.data / category / "test" / kind / f"{index:03d}.png"
                place = self.data / category / "ground_truth" / kind / f"{index:03d}.png"
                for path, array in ((image, pixels), (place, mask)):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(array).save(path)
                label = "normal" if kind == GOOD else "anomalous"
                shown = place if masked and kind != GOOD else None
                yield Sample(image, label, category, "test", kind, shown)

    def _score(
        self, run: str, key: tuple[str, str, int], samples: list[Sample], clarity: float
    ) -> CellResult:
        (self.folder / run / "maps").mkdir(parents=True)
        rng = np.random.default_rng(len(samples))
        maps, masks, rows = [], [], []
        for index, sample in enumerate(samples):
            mask = np.zeros((SIDE, SIDE), bool)
            if sample.anomalous:
                place = self.data / sample.category / "ground_truth" / sample.defect
                mask = np.asarray(Image.open(place / sample.image.name)) > 0
            heat = (rng.random((SIDE, SIDE)) * 0.5 + clarity * mask * rng.random()).astype("f4")
            levels, scale = to_16_bits(heat)
            Image.fromarray(levels).save(self.folder / run / "maps" / f"{index}.png")
            rows.append(
                ScoreRow(
                    image=str(sample.image),
                    score=float(heat.max()),
                    map=f"maps/{index}.png",
                    map_low=scale.low,
                    map_high=scale.high,
                    overlay=f"overlays/{index}.jpg",
                    sha256=digest(sample.image),
                )
            )
            maps.append(heat)
            masks.append(mask if sample.mask or not sample.anomalous else None)
        (self.folder / run / "scores.jsonl").write_bytes(b"".join(map(to_line, rows)))
        _manifest(key[1]).write(self.folder / run / "manifest.json")
        labels = np.array([sample.anomalous for sample in samples])
        scores = np.array([row.score for row in rows])
        result = _measured(key, labels, scores, maps, masks, run)
        write_result(self.folder / run, result)
        return result

    def _document(self, results: dict[str, CellResult]) -> BenchDocument:
        cells = over_seeds(results.values(), 0.95)
        first = next(iter(self.detectors))
        facts: dict[str, Any] = {
            "vlmad": "0.1.0",
            "libraries": {},
            "finished": True,
            "dataset": DatasetFacts(
                reader="mvtec",
                root=str(self.data),
                categories={name: _category(kinds) for name, kinds in self.categories.items()},
                problems=[],
            ),
            "settings": BenchSettings(
                shots=list(self.shots),
                seeds=2,
                resolution="each mask's own",
                replicates=REPLICATES,
                confidence=0.95,
                interval="BCa",
                batch_size=1,
            ),
            "detectors": {name: self._detector(name) for name in self.detectors},
            "averages": metric_entries(over_categories(cells, list(self.categories), 0.95)),
            "categories": metric_entries(cells),
            "comparisons": [_pair(name, first) for name in self.detectors if name != first],
            "published": self.published,
            "skipped": [],
            "cells": [result.cell for result in results.values()],
        }
        if self.axes is None:
            return BenchDocument(**facts)
        return GridDocument(**facts, baseline=first, grid=self.axes)

    def _detector(self, name: str) -> DetectorFacts:
        scales = {"scales": self.scales[name]} if name in self.scales else {"depth": 1}
        return DetectorFacts(
            recipe="winclip",
            parts={**dict.fromkeys(PARTS, "none"), "extractor": "window"},
            options={"extractor": {**scales, "stage": "normed"}},
            notes=[],
            backbone="tiny",
            licence=None,
            weights_sha256="00ff" * 16,
            device="cpu",
            precision="float32",
        )


def _measured(
    key: tuple[str, str, int],
    labels: np.ndarray,
    scores: np.ndarray,
    maps: list[np.ndarray],
    masks: list[np.ndarray | None],
    run: str,
) -> CellResult:
    pixels = pixel_metrics(maps, masks, labels=labels.tolist()).metrics
    metrics = {**image_metrics(labels, scores), **pixels}
    replicates = bootstrap_images(labels, scores, replicates=REPLICATES)
    replicates |= bootstrap_pixels(maps, masks, labels=labels.tolist(), replicates=REPLICATES)
    for name, found in replicates.items():
        metrics[name] = with_interval(metrics[name], found)
    detector, category, shots = key
    cell = BenchCell(
        detector=detector,
        category=category,
        class_name=category,
        shots=shots,
        seed=0 if shots else None,
        references=[],
        normal=int((~labels).sum()),
        anomalous=int(labels.sum()),
        failed=0,
        left_out=[],
        pixels=None,
        run=run,
        threshold=None,
        metrics=metrics,
    )
    return CellResult(cell, replicates, labels, scores)


def _category(kinds: dict[str, int]) -> CategoryFacts:
    anomalous = sum(count for kind, count in kinds.items() if kind != GOOD)
    return CategoryFacts(
        class_name="part", train=0, normal=kinds[GOOD], anomalous=anomalous, masks=anomalous
    )


def _pair(name: str, against: str) -> PairEntry:
    return PairEntry(
        metric="image_auroc",
        shots=0,
        category=None,
        detector=name,
        against=against,
        difference=-0.125,
        low=-0.2,
        high=-0.05,
        p_value=0.01,
        p_value_max_t=0.02,
        categories=["metal nut", "bolt"],
    )


def _manifest(class_name: str) -> Manifest:
    return Manifest(
        vlmad="0.1.0",
        created="2026-05-01",
        recipe="winclip",
        identity=Identity(
            parts={},
            weights_sha256="00",
            precision="float32",
            preprocessing={},
            resize="squash",
            class_name=class_name,
            sentences_sha256=None,
            references_sha256=[],
            threshold=None,
        ),
        options={},
        files={},
        backbone="gone",
        licence="",
        device="cpu",
        references=[],
        folder="/",
        libraries={},
        python="3",
        platform="any",
    )


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> BenchMaker:
    """Two detectors, with and without references, on nuts with masks and bolts without."""
    maker = BenchMaker(tmp_path_factory.mktemp("report"))
    maker.make()
    return maker


@pytest.fixture
def own(bench: BenchMaker, tmp_path: Path) -> BenchMaker:
    """A copy of the bench and its data set that a test may damage."""
    maker = BenchMaker(tmp_path)
    shutil.copytree(bench.folder, maker.folder)
    shutil.copytree(bench.data, maker.data)
    for path in maker.folder.rglob("*.json*"):
        path.write_text(path.read_text().replace(str(bench.place), str(tmp_path)))
    return maker
