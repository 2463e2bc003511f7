"""What images, masks and maps of a bench show, looked at once for all sections about them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vlmad.errors import InputError, VlmadError
from vlmad_evaluation.curves import metrics_of
from vlmad_evaluation.image_curves import ImageCurveCollector
from vlmad_evaluation.image_metrics import image_curve, image_metrics
from vlmad_evaluation.labelled_maps import at_resolution
from vlmad_evaluation.notation import shots_name, some_of
from vlmad_evaluation.pixel_metrics import SortedPixels
from vlmad_evaluation.streaming import PixelStream
from vlmad_report._defects import DefectFacts, defect_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jaxtyping import Bool, Float

    from vlmad.datasets import Sample
    from vlmad_evaluation.curves import Curve
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

ClassFigures: TypeAlias = "dict[str, tuple[float, int]]"
"""By metric, how well a class is told from normal images, and how many of it were looked at."""


@dataclass(frozen=True, slots=True)
class CellView:
    """What a cell shows."""

    cell: BenchCell
    scored: list[Scored]
    labels: Bool[np.ndarray, " n"]
    """True for anomalous images."""
    scores: Float[np.ndarray, " n"]
    by_class: Mapping[DefectClass, ClassFigures]
    curves: Mapping[str, Points]
    """By the metric that is the area below: the ROC of images, and the overlap of regions."""
    problems: list[str]

    @property
    def threshold(self) -> float | None:
        """At which F1 is largest on these images."""
        return self.cell.metrics["image_f1_max"].threshold


@dataclass(frozen=True, slots=True)
class DetectorView:
    """A detector at its fewest references: for each category the cell of the first seed."""

    name: str
    shots: int
    cells: list[CellView]

    @property
    def scored(self) -> bool:
        """Whether the scores of any image can be read."""
        return any(cell.scored for cell in self.cells)

    def __str__(self) -> str:
        return f"{self.name}, {shots_name(self.shots)}"


@dataclass
class ImageStudy:
    """What a bench shows of its images, made when it is first needed."""

    source: ResultSource

    @cached_property
    def defects(self) -> dict[Sample, DefectFacts | str]:
        """Each anomalous image's defect, or why nothing is known."""
        reading = self.source.reading
        return {s: defect_of(s, reading) for s in self.source.samples if s.anomalous}

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
        measured = {cell.detector for cell in self.source.document.cells}
        return [self._view(name) for name in self.source.document.detectors if name in measured]

    def _view(self, detector: str) -> DetectorView:
        cells = self.source.results.cells(detector=detector)
        fewest = min(cell.shots for cell in cells)
        few = [cell for cell in cells if cell.shots == fewest]
        few.sort(key=lambda cell: cell.seed or 0, reverse=True)
        first = {cell.category: cell for cell in few}  # the last one stays
        order = [category for category in self.source.categories if category in first]
        return DetectorView(detector, fewest, [view_cell(self, first[each]) for each in order])

    @property
    def which(self) -> str:
        """Which cells are looked at, in a sentence."""
        shown = some_of((f"{d.name} ({shots_name(d.shots)})" for d in self.detectors), 8)
        return f"Detectors at the fewest references that were measured, first seed: {shown}."

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
    def left_out(self) -> Iterator[str]:
        """What figures lack, in sentences."""
        if self.unknown:
            amount = f"{len(self.unknown)} of {len(self.defects)} anomalous images"
            yield f"{amount} are left out: {some_of(dict.fromkeys(self.unknown))}."
        if self.problems:
            yield f"Not in the figures: {some_of(self.problems)}."


def view_cell(study: ImageStudy, cell: BenchCell) -> CellView:
    """Look at a cell; what cannot be read of it is left out and listed."""
    problems: list[str] = []
    scored: list[Scored] = []
    run = study.source.results.run(cell)
    try:
        scored = study.source.scored(cell)
    except VlmadError as error:
        problems.append(str(error))
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    scores = np.array([each.row.score for each in scored], dtype=np.float64)
    measured = cell.normal + cell.anomalous
    if len(scored) < measured:
        problems.append(f"{run} has the scores of {len(scored)} of {measured} measured images")
    members: dict[DefectClass, list[int]] = {}
    for index, each in enumerate(scored):
        for name in study.classes_of(each.sample) if each.sample.anomalous else [NORMAL]:
            members.setdefault(name, []).append(index)
    pixels = PixelCurves(scored, study.source.resolution, members.get(NORMAL, []))
    problems += pixels.problems
    by_class = {
        name: dict(_figures(labels, scores, indices, pixels))
        for name, indices in members.items()
        if name != NORMAL
    }
    overlap = pixels.curve(np.flatnonzero(labels).tolist())
    curves = dict(_curves(labels, scores, overlap))
    return CellView(cell, scored, labels, scores, by_class, curves, problems)


def _figures(
    labels: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    indices: list[int],
    pixels: PixelCurves,
) -> Iterator[tuple[str, tuple[float, int]]]:
    """Yield the metrics of a class that are defined; those of pixels need maps and masks."""
    chosen = [*indices, *pixels.normal]
    image = image_metrics(labels[chosen], scores[chosen])["image_auroc"].value
    if image is not None:
        yield "image_auroc", (image, len(indices))
    curve = pixels.curve(indices)
    found = {} if curve is None else metrics_of(curve, PIXEL_NAMES)
    for name, metric in found.items():
        if metric.value is not None:
            yield name, (metric.value, pixels.mapped(indices))


class PixelCurves:
    """The curve of every image of a cell over shared thresholds, to be added up by class.

    `normal` are the indices of the normal images.
    """

    def __init__(self, scored: list[Scored], resolution: Resolution, normal: list[int]) -> None:
        self.normal = normal
        self.problems: list[str] = []
        self._rows: list[int] = []
        """The index of the image in each row of the curves."""
        self._curves: ImageCurves | None = None
        if any(each.sample.anomalous and each.sample.mask for each in scored):
            try:
                self._read(scored, resolution)
            except VlmadError as error:
                self.problems.append(str(error))

    def _read(self, scored: list[Scored], resolution: Resolution) -> None:
        if not any((each.run / each.row.map).is_file() for each in scored):
            raise InputError(NO_MAPS)
        stream = PixelStream.of(image for _, image in self._maps(scored, resolution))
        collector = ImageCurveCollector(*stream.thresholds(BINS))
        for index, image in self._maps(scored, resolution):
            collector.add(SortedPixels.of([image]))
            self._rows.append(index)
        self._curves = collector.curves()

    def _maps(
        self, scored: list[Scored], resolution: Resolution
    ) -> Iterator[tuple[int, LabelledMap]]:
        """Yield all maps that can be read, with the indices of their images."""
        for index, each in enumerate(scored):
            try:
                whole = each.map()
                if whole is not None:
                    where = str(each.sample.image)
                    yield index, at_resolution(whole.scores, whole.mask, resolution, where)
            except VlmadError as error:
                self.problems.append(str(error))

    def mapped(self, indices: list[int]) -> int:
        """Return how many of these images are in the curves with a defect.

        A thin defect can vanish at the resolution of the bench; then it is in no figure.
        """
        if self._curves is None or self._curves.regions is None:
            return 0
        return int(np.count_nonzero(self._curves.regions[np.isin(self._rows, indices)]))

    def curve(self, indices: list[int]) -> Curve | None:
        """Return the curve of these images together with the normal ones, if it is defined."""
        if self._curves is None or not self.mapped(indices):
            return None
        weights = np.isin(self._rows, [*indices, *self.normal]).astype(float)
        found = self._curves.curve(weights[None]).rows(0)
        return found if found.false_positives[-1] else None


def _curves(
    labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], overlap: Curve | None
) -> Iterator[tuple[str, Points]]:
    if labels.any() and not labels.all():
        curve = image_curve(labels, scores)
        points = _with_start(curve.false_positives, curve.true_positives)
        few = np.linspace(0, len(points) - 1, min(len(points), POINTS)).astype(int)
        yield "image_auroc", points[few]
    if overlap is not None and overlap.overlap is not None:
        rates = np.linspace(0, PRO_LIMIT, POINTS)
        points = _with_start(overlap.false_positives, overlap.overlap)
        yield "pixel_aupro_30", np.stack([rates, np.interp(rates, *points.T)], axis=1)


def _with_start(false: Float[np.ndarray, " k"], found: Float[np.ndarray, " k"]) -> Points:
    points = np.stack([false / false[-1], found / found[-1]], axis=1)
    return np.concatenate([np.zeros((1, 2)), points])
