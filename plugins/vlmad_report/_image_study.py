"""What images, masks and maps of a bench show, looked at once for all sections about them.

What is known of a defect comes from image and mask alone; so the classes of defects are made
first, and then each cell is looked at once for all of them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vlmad.errors import InputError, VlmadError
from vlmad_evaluation.curves import Curve, metrics_of
from vlmad_evaluation.image_curves import ImageCurveCollector
from vlmad_evaluation.image_metrics import image_curve, image_metrics
from vlmad_evaluation.labelled_maps import at_resolution
from vlmad_evaluation.notation import shots_name
from vlmad_evaluation.streaming import PixelStream
from vlmad_report._defects import DefectFacts, defect_of
from vlmad_report._report_text import some_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jaxtyping import Bool, Float

    from vlmad.datasets import Sample
    from vlmad_evaluation.image_curves import ImageCurves
    from vlmad_evaluation.labelled_maps import LabelledMap, Resolution
    from vlmad_evaluation.result_documents import BenchCell
    from vlmad_evaluation.result_folders import Scored
    from vlmad_report._result_source import ResultSource

    Points = Float[np.ndarray, "k 2"]

DefectClass: TypeAlias = "tuple[str, str]"
"""A kind of class and its name in it, such as contrast and low."""
NORMAL: DefectClass = ("normal", "")
CONTRAST, SIZE, DEFECT = "contrast", "size", "defect"
PIXEL_NAMES = ("pixel_auroc", "pixel_aupro_30")
BINS, POINTS = 4096, 200
"""Thresholds at which curves are computed, and at which they are drawn."""
PRO_LIMIT = 0.3
NO_MAPS = "no map is on disk: they were deleted, and pixel figures are made from them"


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """Names of classes of a quantity, and the rising limits between them.

    >>> sizes = ClassLimits(("small", "medium", "large"), (0.01, 0.05))
    >>> sizes.name_of(0.01), sizes.name_of(0.02), sizes.name_of(0.5)
    ('small', 'medium', 'large')
    """

    names: tuple[str, str, str]
    limits: tuple[float, float]

    def name_of(self, value: float) -> str:
        """Return the class of a value; one that equals a limit belongs to the class below it."""
        return self.names[bisect_left(self.limits, value)]

    def ranges(self, shown: str, times: float = 1) -> dict[str, str]:
        """Return the classes as they are written, each with its limits `times` a factor."""
        low, high = (shown.format(limit * times) for limit in self.limits)
        limits = (f"up to {low}", f"above {low}, up to {high}", f"above {high}")
        return {name: f"{name}: {limit}" for name, limit in zip(self.names, limits, strict=True)}


SIZES = ClassLimits(("small", "medium", "large"), (0.01, 0.05))
"""By the share of the image that is defective."""


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """How well anomalous images of a class are told from a category's normal images."""

    images: int
    """Of the class, with a score."""
    mapped: int
    """Those of them with a map and a mask that can be read."""
    metrics: Mapping[str, float | None]
    """image_auroc, pixel_auroc, pixel_aupro_30; a pixel metric is missing without maps."""

    def weight(self, metric: str) -> int:
        """Return how many anomalous images are behind a metric."""
        return self.images if metric.startswith("image") else self.mapped


@dataclass(frozen=True, slots=True)
class CellView:
    """What a cell shows."""

    cell: BenchCell
    scored: list[Scored]
    by_class: Mapping[DefectClass, ClassAccuracy]
    roc: Points | None
    """False positive rate and recall of images."""
    pro: Points | None
    """False positive rate of pixels up to `PRO_LIMIT`, and mean region overlap."""
    problems: list[str]

    @property
    def threshold(self) -> float | None:
        """At which F1 is largest on these images."""
        return self.cell.metrics["image_f1_max"].threshold

    @property
    def labels(self) -> Bool[np.ndarray, " n"]:
        """True for anomalous images."""
        return np.array([each.sample.anomalous for each in self.scored], dtype=bool)

    @property
    def scores(self) -> Float[np.ndarray, " n"]:
        """The score of each image."""
        return np.array([each.row.score for each in self.scored], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class DetectorView:
    """A detector at its fewest references: for each category the cell of the first seed."""

    name: str
    shots: int
    cells: list[CellView]

    def __str__(self) -> str:
        return f"{self.name}, {shots_name(self.shots)}"


@dataclass
class ImageStudy:
    """What a bench shows of its images, made when it is first needed."""

    source: ResultSource

    @cached_property
    def defects(self) -> dict[Sample, DefectFacts | str]:
        """Each anomalous image's defect, or why nothing is known."""
        return {each: defect_of(each) for each in self.source.samples if each.anomalous}

    @cached_property
    def contrasts(self) -> ClassLimits | None:
        """Classes that each hold a third of the defects; None if nothing is known of any."""
        known = [each.contrast for each in self.defects.values() if isinstance(each, DefectFacts)]
        if not known:
            return None
        low, high = np.quantile(known, [1 / 3, 2 / 3])
        return ClassLimits(("low", "medium", "high"), (float(low), float(high)))

    def classes_of(self, sample: Sample) -> Iterator[DefectClass]:
        """Yield all classes to which an anomalous image belongs."""
        yield DEFECT, sample.defect
        defect = self.defects.get(sample)
        if isinstance(defect, DefectFacts) and self.contrasts:
            yield CONTRAST, self.contrasts.name_of(defect.contrast)
            yield SIZE, SIZES.name_of(defect.share)

    @cached_property
    def detectors(self) -> list[DetectorView]:
        """All detectors of which something was measured."""
        found = map(self._view, self.source.document.detectors)
        return [each for each in found if each.cells]

    def _view(self, detector: str) -> DetectorView:
        cells = [cell for cell in self.source.document.cells if cell.detector == detector]
        fewest = min((cell.shots for cell in cells), default=0)
        first: dict[str, BenchCell] = {}
        for cell in sorted(cells, key=lambda cell: cell.seed or 0):
            if cell.shots == fewest:
                first.setdefault(cell.category, cell)
        order = [category for category in self.source.categories if category in first]
        return DetectorView(detector, fewest, [view_cell(self, first[each]) for each in order])

    @property
    def which(self) -> str:
        """Which cells are looked at, in a sentence."""
        kinds: dict[int, list[str]] = {}
        for each in self.detectors:
            kinds.setdefault(each.shots, []).append(each.name)
        parts = [
            f"{shots_name(shots)}{' (the first seed)' if shots else ''}: {', '.join(names)}"
            for shots, names in kinds.items()
        ]
        return f"Detectors at the fewest references that were measured ({'; '.join(parts)})."

    @property
    def unknown(self) -> list[str]:
        """Why nothing is known of some defects."""
        return [reason for reason in self.defects.values() if isinstance(reason, str)]

    @property
    def problems(self) -> list[str]:
        """What could not be read, each once."""
        cells = (cell for detector in self.detectors for cell in detector.cells)
        return list(dict.fromkeys(problem for cell in cells for problem in cell.problems))

    @property
    def left_out(self) -> list[str]:
        """What figures lack, in sentences."""
        unknown = f"{len(self.unknown)} of {len(self.defects)} anomalous images are left out"
        found = [f"{unknown}: {some_of(dict.fromkeys(self.unknown))}."] if self.unknown else []
        return found + ([f"Not in the figures: {some_of(self.problems)}."] if self.problems else [])


def view_cell(study: ImageStudy, cell: BenchCell) -> CellView:
    """Look at a cell; what cannot be read of it is left out and listed."""
    problems: list[str] = []
    scored: list[Scored] = []
    run = study.source.run(cell)
    try:
        scored = study.source.scored(cell)
    except VlmadError as error:
        problems.append(str(error))
    measured = cell.normal + cell.anomalous
    if len(scored) < measured:
        problems.append(f"{run} has the scores of {len(scored)} of {measured} measured images")
    members: dict[DefectClass, list[int]] = {}
    for index, each in enumerate(scored):
        for name in study.classes_of(each.sample) if each.sample.anomalous else [NORMAL]:
            members.setdefault(name, []).append(index)
    pixels = PixelCurves(scored, study.source.resolution, members.get(NORMAL, []))
    problems += dict.fromkeys(pixels.problems.values())
    by_class = {
        name: _accuracy(scored, indices, pixels)
        for name, indices in members.items()
        if name != NORMAL
    }
    pro = _pro(pixels.curve([i for i, each in enumerate(scored) if each.sample.anomalous]))
    return CellView(cell, scored, by_class, _roc(scored), pro, problems)


def _accuracy(scored: list[Scored], indices: list[int], pixels: PixelCurves) -> ClassAccuracy:
    chosen = [scored[index] for index in (*indices, *pixels.normal)]
    labels = [each.sample.anomalous for each in chosen]
    found = image_metrics(labels, [each.row.score or 0.0 for each in chosen])
    curve = pixels.curve(indices)
    values = {"image_auroc": found["image_auroc"].value}
    if curve is not None:
        values |= {name: each.value for name, each in metrics_of(curve, PIXEL_NAMES).items()}
    return ClassAccuracy(len(indices), pixels.mapped(indices), values)


class PixelCurves:
    """The curve of every image of a cell over shared thresholds, to be added up by class.

    Args:
        scored: the images of the cell.
        resolution: at which maps and masks are compared.
        normal: the indices of the normal images.
    """

    def __init__(self, scored: list[Scored], resolution: Resolution, normal: list[int]) -> None:
        self.scored, self.resolution, self.normal = scored, resolution, normal
        self.problems: dict[int | None, str] = {}
        """By the index of the image; None for what concerns all."""
        self._curves: ImageCurves | None = None
        self._rows: dict[int, int] = {}
        """From the index of an image to its row in the curves."""
        if any(each.sample.anomalous and each.sample.mask for each in scored):
            try:
                self._count()
            except InputError as error:
                self.problems[None] = str(error)

    def _count(self) -> None:
        """Read all maps that can be read, twice."""
        if not any((each.run / each.row.map).is_file() for each in self.scored):
            raise InputError(NO_MAPS)
        stream = PixelStream()
        for _, image in self._maps():
            stream.add(image.scores, image.mask)
        collector = ImageCurveCollector(stream.thresholds(BINS))
        for index, image in self._maps():
            collector.add(image)
            self._rows[index] = len(self._rows)
        self._curves = collector.curves()

    def _maps(self) -> Iterator[tuple[int, LabelledMap]]:
        for index, each in enumerate(self.scored):
            if index not in self.problems:
                try:
                    whole = each.map()
                    if whole is not None:
                        name = str(each.sample.image)
                        yield index, at_resolution(whole.scores, whole.mask, self.resolution, name)
                except VlmadError as error:
                    self.problems[index] = str(error)

    def mapped(self, indices: list[int]) -> int:
        """Return how many of these images are in the curves with a defect.

        A thin defect can vanish at the resolution of the bench; then it is in no figure.
        """
        if self._curves is None or self._curves.regions is None:
            return 0
        rows = [self._rows[index] for index in indices if index in self._rows]
        return int(np.count_nonzero(self._curves.regions[rows]))

    def curve(self, indices: list[int]) -> Curve | None:
        """Return the curve of these images together with the normal ones, if it is defined."""
        if self._curves is None or not self.mapped(indices):
            return None
        weights = np.zeros((1, len(self._curves.strata)))
        rows = [self._rows[index] for index in (*indices, *self.normal) if index in self._rows]
        weights[0, rows] = 1
        found = self._curves.curve(weights)
        if not found.false_positives[0, -1] or found.overlap is None:
            return None
        false, true = found.false_positives[0], found.true_positives[0]
        return Curve(false, true, found.thresholds, found.tied, found.overlap[0])


def _roc(scored: list[Scored]) -> Points | None:
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    if labels.all() or not labels.any():  # as it is where there are none at all
        return None
    curve = image_curve(labels, np.array([each.row.score for each in scored], dtype=np.float64))
    points = _with_start(curve.false_positives, curve.true_positives)
    shown: Points = points[np.linspace(0, len(points) - 1, min(len(points), POINTS)).astype(int)]
    return shown


def _pro(curve: Curve | None) -> Points | None:
    if curve is None or curve.overlap is None:
        return None
    rates = np.linspace(0, PRO_LIMIT, POINTS)
    points = _with_start(curve.false_positives, curve.overlap)
    return np.stack([rates, np.interp(rates, *points.T)], axis=1)


def _with_start(false: Float[np.ndarray, " k"], found: Float[np.ndarray, " k"]) -> Points:
    points = np.stack([false / false[-1], found / found[-1]], axis=1)
    return np.concatenate([np.zeros((1, 2)), points])
